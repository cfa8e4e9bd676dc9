"""What a server may send, as bytes beside the events in it; and ways to cut bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from hypothesis import strategies as st

from walnats_anyio._link.protocol import (
    Err,
    Event,
    Message,
    Ok,
    Parser,
    Ping,
    Pong,
    ProtocolError,
    ServerInfo,
)

Frame = tuple[bytes, Event]


def comparable(events: Iterable[Event]) -> list[Any]:
    """The events, such that two equal lists mean the same."""
    return [str(event) if isinstance(event, ProtocolError) else event for event in events]


def parse(chunks: Iterable[bytes]) -> list[Any]:
    """All events in the chunks, until an error if there is one, which is then the last of them."""
    parser = Parser()
    events: list[Event] = []
    for chunk in chunks:
        found = parser.receive(chunk)
        assert not any(isinstance(event, ProtocolError) for event in found[:-1])
        events += found
        if parser.error is not None:
            assert events[-1] is parser.error
            assert parser.buffered == 0
            break
    else:
        assert not events or not isinstance(events[-1], ProtocolError)
    return comparable(events)


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The bytes in pieces, some of which may be empty."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


# What a server lets a publisher choose as a subject: anything but separators and line breaks.
name = st.binary(min_size=1, max_size=12).map(
    lambda data: data.translate(None, b" \t\r\n") or b"\x0b"
)
nasty = st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b" ", b"MSG a 1 2\r\nhi\r\n", b"PING\r\n", b"\0", b"x"]
    ),
    max_size=8,
).map(b"".join)
payload = nasty | st.binary(max_size=40)


@st.composite
def messages(draw: st.DrawFn) -> Frame:
    subject, reply = draw(name), draw(name | st.just(b""))
    sid = b"%d" % draw(st.integers(0, 2**63))
    data, header = draw(payload), draw(payload | st.just(b"NATS/1.0\r\nA: 1\r\n\r\n"))
    names = b" ".join([subject, sid] + [reply] * bool(reply))
    if draw(st.booleans()):
        sizes = b"%d %d" % (len(header), len(header) + len(data))
        return b"HMSG %b %b\r\n%b%b\r\n" % (names, sizes, header, data), Message(
            sid, subject, reply, data, header
        )
    return b"MSG %b %d\r\n%b\r\n" % (names, len(data), data), Message(sid, subject, reply, data)


infos = st.builds(
    ServerInfo,
    server_id=st.text(max_size=8),
    version=st.text(max_size=8),
    max_payload=st.integers(1, 2**31 - 1),
    nonce=st.none() | st.text(max_size=8),
    ldm=st.booleans(),
    connect_urls=st.lists(st.text(max_size=8), max_size=3),
)


def _info(info: ServerInfo) -> Frame:
    fields = {name: value for name, value in msgspec.to_builtins(info).items() if value is not None}
    return b"INFO %b\r\n" % msgspec.json.encode(fields), info


_error_text = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=20
).filter(lambda text: text == text.strip())

frames = st.one_of(
    messages(),
    messages(),
    st.sampled_from([(b"PING\r\n", Ping()), (b"PONG\r\n", Pong()), (b"+OK\r\n", Ok())]),
    _error_text.map(lambda text: (b"-ERR '%b'\r\n" % text.encode(), Err(text))),
    infos.map(_info),
)

streams = st.lists(frames, max_size=8)
"""What comes on a connection."""

_words = [
    b"MSG ", b"HMSG ", b"MSG", b"PING", b"PONG", b"+OK", b"-ERR ", b"-ERR", b"INFO ", b"{}",
    b"\r\n", b"\r\n", b"\r\n",
    b"\r", b"\n", b" ", b" ", b"\t", b"a", b"1", b"0", b"2", b"-1", b"+1", b"1_0",
    b"01", b"99999999999", b"4", b"'x'", b'{"max_payload":1}', b"\x0b", b"\xff",
    b"\xd9\xa1", b"MSG a 1 2\r\n", b"HMSG a 1 2 4\r\n", b"xx\r\n", b"abcd\r\n",
]  # fmt: skip

almost = st.lists(st.sampled_from(_words), max_size=24).map(b"".join)
"""Bytes that look like the protocol."""


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A good stream in which some bytes were added, removed or replaced."""
    data = b"".join(part for part, _ in draw(streams))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        width = draw(st.integers(0, 3))
        data = data[:at] + draw(st.binary(max_size=3) | almost) + data[at + width :]
    return data


anything = st.binary(max_size=80) | almost | broken()
