"""Bytes in, events out: the same ones wherever the bytes are cut, whatever the bytes are."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.link.protocol._wire import (
    Frame,
    anything,
    byte_by_byte,
    comparable,
    cut,
    messages,
    parse,
    streams,
)
from walnats_anyio._link.protocol import Message, Parser, Ping, ProtocolError, _parser

LIMIT = _parser.MAX_MESSAGE + _parser.HEADROOM

SMALL = b"MSG a 1 2\r\nhi\r\n"


def error_of(data: bytes) -> str:
    """What is wrong with the bytes; they must be wrong."""
    events = Parser().receive(data)
    assert isinstance(events[-1], ProtocolError), events
    return str(events[-1])


# Whatever comes


@settings(max_examples=400)
@given(data=anything, more=st.data())
def test_anything_gives_events_or_one_error_however_it_is_cut(
    data: bytes, more: st.DataObject
) -> None:
    whole = parse([data])
    assert parse(byte_by_byte(data)) == whole
    assert parse(more.draw(cut(data))) == whole


@contextmanager
def small_limits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_parser, "MAX_LINE", 24)
        patch.setattr(_parser, "MAX_MESSAGE", 64)
        patch.setattr(_parser, "HEADROOM", 0)
        patch.setattr(_parser, "WINDOWS", (8, 20))
        yield


@settings(max_examples=400)
@given(
    data=st.one_of(
        anything,
        st.builds(
            b"MSG %b 1 2\r\nxx\r\nPING\r\n".__mod__, st.integers(10, 20).map(lambda n: b"a" * n)
        ),
        st.integers(55, 75).map(lambda n: b"PING\r\nMSG a 1 %d\r\n%b\r\nPING\r\n" % (n, b"x" * n)),
        st.integers(20, 30).map(lambda n: b"x" * n + b"\r\n"),
    ),
    more=st.data(),
)
def test_the_limits_are_the_same_however_it_is_cut(data: bytes, more: st.DataObject) -> None:
    with small_limits():
        whole = parse([data])
        assert parse(byte_by_byte(data)) == whole
        assert parse(more.draw(cut(data))) == whole


@settings(max_examples=300)
@given(frames=streams, more=st.data())
def test_what_a_server_sends_is_read(frames: list[Frame], more: st.DataObject) -> None:
    data = b"".join(part for part, _ in frames)
    events = [event for _, event in frames]
    assert parse([data]) == events
    assert parse(byte_by_byte(data)) == events
    assert parse(more.draw(cut(data))) == events


@settings(max_examples=300)
@given(
    frames=st.lists(messages(), min_size=4, max_size=30),
    first=st.integers(1, 200),
    most=st.integers(1, 400),
    small=st.integers(0, 60),
    wait=st.integers(0, 3),
    more=st.data(),
)
def test_windows_of_any_size_give_the_same(
    frames: list[Frame], first: int, most: int, small: int, wait: int, more: st.DataObject
) -> None:
    data = b"".join(part for part, _ in frames)
    events = [event for _, event in frames]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_parser, "WINDOWS", (first, max(first, most)))
        patch.setattr(_parser, "SMALL", small)
        patch.setattr(_parser, "WAIT", wait)
        assert parse([data]) == events
        assert parse(more.draw(cut(data))) == events


@given(frames=streams)
def test_an_event_is_given_with_its_last_byte(frames: list[Frame]) -> None:
    parser = Parser()
    for data, event in frames:
        assert parser.receive(data[:-1]) == []
        assert parser.buffered == len(data) - 1
        assert parser.receive(data[-1:]) == [event]
        assert parser.buffered == 0


def test_nothing_is_nothing() -> None:
    parser = Parser()
    assert parser.receive(b"") == []
    assert parser.receive(b"PIN") == []
    assert parser.receive(b"") == []
    assert parser.receive(b"G\r\n") == [Ping()]


def test_after_an_error_nothing_is_read() -> None:
    parser = Parser()
    events = parser.receive(b"PING\r\nwhat\r\nPING\r\n")
    assert comparable(events) == [Ping(), "no command of the NATS protocol: b'what'"]
    assert parser.error is events[-1]
    with pytest.raises(ProtocolError, match="no command of the NATS protocol"):
        parser.receive(b"PING\r\n")


# Subjects that strangers choose


@pytest.mark.parametrize("white", [b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xa0", b"\0"])
def test_whitespace_that_a_server_takes_in_a_subject_separates_nothing(white: bytes) -> None:
    """Whoever may publish could else name the subscription, or end the connection."""
    subject, reply = b"shop.%b7" % white, b"a%bb" % white
    data = b"MSG %b 3 2\r\nhi\r\nMSG %b 3 %b 2\r\nhi\r\nHMSG %b 3 %b 0 2\r\nhi\r\n" % (
        (subject,) + (subject, reply) * 2
    )
    assert parse([data]) == [
        Message(b"3", subject, b"", b"hi"),
        Message(b"3", subject, reply, b"hi"),
        Message(b"3", subject, reply, b"hi"),
    ]


# Control lines that no server sends


@pytest.mark.parametrize(
    "digits",
    [
        b"-2",
        b"+2",
        b"2_0",
        b"0x2",
        b"2.0",
        b"2e0",
        b"two",
        b"'2'",
        b"\xb2",
        b"\xd9\xa2",
        b"2" * 5000,
    ],
)
def test_what_is_no_size(digits: bytes) -> None:
    assert error_of(b"HMSG a 1 %b %b\r\n" % (digits, digits)).startswith("malformed: b")
    twenty = b"x" * 20
    for data in (
        b"MSG a 1 %b\r\n" % digits,
        b"MSG a 1 r %b\r\n" % digits,
        b"HMSG a 1 0 %b\r\n" % digits,
        b"HMSG a 1 %b 20\r\n" % digits,
    ):
        assert error_of(data).startswith("malformed: b")
        assert error_of(data + twenty[:2] + b"\r\n").startswith("malformed: b")
        assert error_of(data + twenty + b"\r\n").startswith("malformed: b")
        assert error_of(SMALL + data + twenty + b"\r\n").startswith("malformed: b")


def test_a_size_may_have_zeros_in_front() -> None:
    assert parse([b"MSG a 1 002\r\nhi\r\n"]) == [Message(b"1", b"a", b"", b"hi")]


@pytest.mark.parametrize(
    "line",
    [
        b"MSG", b"MSG ", b"MSG a", b"MSG a 1", b"MSG a 1 r 2 3", b"MSG  1 2", b"MSG a  2",
        b"MSG a 1 ",
        b"MSG a\t1 2", b"MSG  a 1 2", b"HMSG", b"HMSG a 1", b"HMSG a 1 2", b"HMSG a 1 r 0 2 3",
        b"HMSG  1 0 2", b"HMSG a  0 2",
    ],
)  # fmt: skip
def test_a_control_line_with_parts_too_few_or_too_many(line: bytes) -> None:
    assert error_of(line + b"\r\nhi\r\n") == f"malformed: {line!r}"
    # Behind a small message others are read in another way.
    assert error_of(SMALL + line + b"\r\nhi\r\n" + SMALL) == f"malformed: {line!r}"


@pytest.mark.parametrize(
    "line",
    [
        b"", b" PING", b"ping", b"PINGS", b"PING ", b"+OK ", b"-ERRS", b"INFO", b"PUB a 2",
        b"MSGS a 1 2",
        b"HTTP/1.1 400 Bad Request", b"\x16\x03\x01", b"\n",
    ],
)  # fmt: skip
def test_what_is_no_command(line: bytes) -> None:
    assert error_of(line + b"\r\n") == f"no command of the NATS protocol: {line!r}"


def test_a_message_without_its_line_break() -> None:
    for payload in (b"hiyo", b"hi\r\r", b"hi\n\r", b"h\r\nx", b"hi\rx", b"\r\n\r\r"):
        data = b"MSG a 1 2\r\n" + payload
        if payload != b"\r\n\r\r":
            assert parse([data]) == parse(byte_by_byte(data))
        assert error_of(data) == "no line break after a message of 2 bytes"


def test_headers_larger_than_their_message() -> None:
    assert error_of(b"HMSG a 1 3 2\r\n").startswith("headers larger than their message")


def test_an_error_shows_no_more_than_the_beginning_of_a_line() -> None:
    for word in (b"MSG ", b"HMSG ", b"what "):
        assert len(error_of(word + b"x" * 100_000 + b"\r\n")) < 300


# -ERR


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"-ERR 'Stale Connection'", "Stale Connection"),
        (b"-ERR Stale Connection", "Stale Connection"),
        (b"-ERR  'Stale Connection' ", "Stale Connection"),
        (b"-ERR", ""),
        (b"-ERR ", ""),
        (b"-ERR ''", ""),
        (b"-ERR '", "'"),
        (b"-ERR ''a' and 'b''", "'a' and 'b'"),
        (b"-ERR '\xff'", "\ufffd"),
        (b"-ERR 'two\nlines'", "two\nlines"),
    ],
)
def test_errors_of_the_server(line: bytes, text: str) -> None:
    (event,) = parse([line + b"\r\n"])
    assert event.text == text


# What is kept


def test_a_message_that_is_too_large_is_refused_before_it_comes() -> None:
    for line in (b"MSG a 1 %d\r\n", b"MSG a 1 r %d\r\n", b"HMSG a 1 0 %d\r\n"):
        for size in (LIMIT + 1, 2**31, 10**12, 10**18):
            assert error_of(line % size) == f"a message of {size} bytes; at most {LIMIT} are read"
        assert Parser().receive(line % LIMIT) == []


def test_info_may_allow_larger_messages_but_not_smaller_ones() -> None:
    larger = LIMIT + 1000
    assert (
        Parser().receive(b'INFO {"max_payload":%d}\r\nMSG a 1 %d\r\n' % (larger, larger))[1:] == []
    )
    assert Parser().receive(b'INFO {"max_payload":1}\r\nMSG a 1 %d\r\n' % LIMIT)[1:] == []


@pytest.mark.parametrize("pattern", [b"x", b"\n", b"\r", b"x\n\r", b"MSG a "])
@pytest.mark.parametrize("size", [7, 1000, 65536, 4 * 1024 * 1024])
def test_a_line_without_end_is_not_kept_for_ever(pattern: bytes, size: int) -> None:
    parser = Parser()
    chunk = (pattern * size)[:size]
    for _ in range(2 + 2 * _parser.MAX_LINE // size):
        if parser.receive(chunk):
            break
        assert parser.buffered <= _parser.MAX_LINE + 1
    assert str(parser.error) == f"a line of over {_parser.MAX_LINE} bytes"


def test_the_longest_line() -> None:
    subject = b"a" * (_parser.MAX_LINE - len(b"MSG  1 2"))
    good = b"MSG %b 1 2\r\nhi\r\n" % subject
    longer = b"MSG a%b 1 2\r\nhi\r\n" % subject
    for size in (1000, 65536, _parser.MAX_LINE - 1, _parser.MAX_LINE, len(longer)):
        chunks = [good[at : at + size] for at in range(0, len(good), size)]
        assert parse(chunks) == [Message(b"1", subject, b"", b"hi")]
        chunks = [longer[at : at + size] for at in range(0, len(longer), size)]
        assert parse(chunks) == [f"a line of over {_parser.MAX_LINE} bytes"]


def test_large_messages_in_any_chunks() -> None:
    payload = b"0123456789\r\nMSG a 1 3\r\n\r\n\r" * 100_000
    header = b"NATS/1.0\r\nA: 1\r\n\r\n"
    data = b"PING\r\nHMSG a 1 %d %d\r\n%b%b\r\n" % (
        len(header), len(header) + len(payload), header, payload,
    ) * 2  # fmt: skip
    for size in (999, 65536, 1_000_000, len(data)):
        events = parse(data[at : at + size] for at in range(0, len(data), size))
        assert events == [Ping(), Message(b"1", b"a", b"", payload, header)] * 2


@pytest.mark.parametrize(
    "data",
    [
        b"MSG a 1 1000000\r\n" + b"\r\n" * 500_000,
        b"HMSG a 1 10 1000000\r\n" + b"x" * 1_000_000,
        b"MSG " + b"\n" * 1_000_000,
        b"MSG " + b"\r" * 1_000_000,
    ],
)
def test_many_small_chunks_cost_what_they_hold(data: bytes) -> None:
    """A parser that looks at everything again for each chunk would need many minutes."""
    parser = Parser()
    tracemalloc.start()
    begun = time.process_time()
    for at in range(0, len(data), 7):
        assert parser.receive(data[at : at + 7]) == []
        if at % 70_000 == 0:
            assert time.process_time() - begun < 60
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert parser.error is None
    assert kept < 1.5 * len(data) + 10_000
