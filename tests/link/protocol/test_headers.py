"""Header blocks (ADR-4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.link.protocol._wire import parse
from walnats_anyio._link.protocol import (
    HeaderError,
    Message,
    Status,
    header_block,
    parse_headers,
)
from walnats_anyio._link.protocol._headers import parse_status


def block(*lines: bytes, first: bytes = b"NATS/1.0") -> bytes:
    return b"".join(line + b"\r\n" for line in (first, *lines)) + b"\r\n"


@pytest.mark.parametrize(
    ("given_block", "headers"),
    [
        (b"", {}),
        (block(), {}),
        (block(b"A: 1"), {"A": "1"}),
        (block(b"A:1"), {"A": "1"}),
        (block(b"A:\t1\t"), {"A": "1"}),
        (block(b"A:   1 2  "), {"A": "1 2"}),
        (block(b"A: 1\t2"), {"A": "1\t2"}),
        (block(b"A:"), {"A": ""}),
        (block(b"A: "), {"A": ""}),
        (block(b"A: b:c: d"), {"A": "b:c: d"}),
        (block(b"A: 1", b"A: 2", b"B: 3"), {"A": "1", "B": "3"}),
        (block(b"A: 1", b"a: 2"), {"A": "1", "a": "2"}),
        (block("Ä: ö".encode()), {"Ä": "ö"}),
        (block(b"A: 1", first=b"NATS/1.0 503 No Responders"), {"A": "1"}),
        (block(b"A: 1\n2"), {"A": "1\n2"}),
    ],
)
def test_headers(given_block: bytes, headers: dict[str, str]) -> None:
    assert parse_headers(given_block) == headers


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"NATS/1.0", Status("", "")),
        (b"NATS/1.0 ", Status("", "")),
        (b"NATS/1.0 503", Status("503", "")),
        (b"NATS/1.0 503 ", Status("503", "")),
        (b"NATS/1.0 100 Idle Heartbeat", Status("100", "Idle Heartbeat")),
        (b"NATS/1.0   408   Request Timeout  ", Status("408", "Request Timeout")),
        (b"NATS/1.0\t409\tConsumer Deleted", Status("409", "Consumer Deleted")),
        (b"NATS/1.0 what else", Status("what", "else")),
    ],
)
def test_statuses(line: bytes, status: Status) -> None:
    assert parse_status(block(first=line)) == status
    assert parse_status(block(b"A: 1", first=line)) == status


MALFORMED = [
    b"NATS/1.0",  # 8 bytes that anybody may publish, and that a server passes on
    b"NATS/1.0\r\n",
    b"NATS/1.0\n\n",
    b"NATS/1.0\r\nA: 1",
    b"NATS/1.0\r\nA: 1\r\n",
    b"\r\n\r\n",
    b"A: 1\r\n\r\n",
    b"nats/1.0\r\n\r\n",
    b"NATS/1.1\r\n\r\n",
    b"NATS/1.0503\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    block(b"A"),
    block(b": 1"),
    block(b" : 1"),
    block(b""),
    block(b"A: 1", b"", b"B: 2"),
    block(b"A: \xff"),
    block(b"\xff: 1"),
    block(first=b"NATS/1.0 503 \xff"),
    b"\xff",
]


@pytest.mark.parametrize("given_block", MALFORMED)
def test_malformed_headers(given_block: bytes) -> None:
    with pytest.raises(HeaderError):
        parse_headers(given_block)


@pytest.mark.parametrize("given_block", MALFORMED)
def test_a_malformed_block_spoils_its_own_message_only(given_block: bytes) -> None:
    size = len(given_block)
    data = b"HMSG a 1 %d %d\r\n%b\r\nPING\r\n" % (size, size, given_block)
    message, _ = parse([data])
    assert isinstance(message, Message)
    assert message.data == b""
    with pytest.raises(HeaderError):
        _ = message.headers


def test_a_message_without_headers() -> None:
    message = Message(b"1", b"a", b"", b"hi")
    assert message.headers == {}
    assert message.status == Status("", "")


def test_an_error_shows_no_more_than_the_beginning() -> None:
    huge = b"x" * 100_000
    for given_block in (huge, block(huge), block(b"A: \xff" + huge), b"NATS/1.0" + huge + b"\r\n"):
        with pytest.raises(HeaderError) as caught:
            parse_headers(given_block)
        assert len(str(caught.value)) < 1000


@given(st.binary(max_size=60) | st.binary(max_size=40).map(block))
def test_any_bytes_are_headers_or_an_error(data: bytes) -> None:
    for read in (parse_headers, parse_status):
        try:
            read(data)
        except HeaderError as error:
            assert str(error)  # noqa: PT017 - what else it raises, it must not


text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Z"]), min_size=1)


@given(st.dictionaries(text.filter(lambda name: ":" not in name), text | st.just("")))
def test_headers_come_back_as_they_were_built(headers: dict[str, str]) -> None:
    assert parse_headers(header_block(headers)) == headers
