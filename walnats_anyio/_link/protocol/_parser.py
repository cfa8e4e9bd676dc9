"""Reading what the server says.

Theory of operation. A chunk from the socket is split at line breaks, all at once, as that is twice
as fast as looking for the end of each message. Then lines are taken in order: a control line, and
for a message the one or more lines that its payload makes, which are put together again until the
size that the control line announced is reached. What is incomplete at the end is kept: the start of
a line, or a control line that was read and the start of its payload.

Whatever the bytes are, the answer is a list of events, the last of which may be a `ProtocolError`;
and it is the same list wherever the bytes are cut. What is kept is bounded: a line by `MAX_LINE`, a
message by the size that its control line announces, which is checked first. No byte is looked at
again because another one came, so many small chunks cost no more than their number.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from walnats_anyio._link.protocol._events import (
    Err,
    Event,
    Message,
    Ok,
    Ping,
    Pong,
    ProtocolError,
    ServerInfo,
)

CRLF = b"\r\n"

MAX_LINE = 1024 * 1024
"""Bytes of the longest control line that is read.

The server limits the lines of clients to 4 KiB. Its own are short as well, but for INFO, which
names every server of a cluster.
"""

MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of the largest payload with headers that is read, unless INFO allows larger ones.

What INFO says is no limit for what is received: a stream may hold messages from a time when the
server took larger ones.
"""

HEADROOM = 64 * 1024
"""Bytes that the server may add to a message as headers of its own."""

MAX_SIZE_DIGITS = 20
"""Digits of the two sizes of a message; more are no number of bytes."""

PONGS = Pong()
PINGS = Ping()
OKS = Ok()

_Head: TypeAlias = tuple[bytes, bytes, bytes, int, int]
"""What a control line says: number of the subscription, subject, reply, bytes of the header block,
bytes of header block and payload."""

_info_decoder = msgspec.json.Decoder(ServerInfo)


class Parser:
    """Turns bytes from the server into events."""

    __slots__ = ("_head", "_kept", "_limit", "_line_size", "error")

    def __init__(self) -> None:
        self.error: ProtocolError | None = None
        """What was wrong with the bytes, once something was."""
        self._kept = bytearray()
        self._head: _Head | None = None
        self._line_size = 0
        self._limit = MAX_MESSAGE + HEADROOM

    @property
    def buffered(self) -> int:
        """Bytes of what is incomplete."""
        return self._line_size + len(self._kept)

    def receive(self, data: bytes) -> list[Event]:
        """Read what came; gives the events that are complete.

        Raises:
            ProtocolError: an earlier call gave one.
        """
        if self.error is not None:
            raise self.error
        events: list[Event] = []
        try:
            # In pieces, so that only a line that was kept before can be too long.
            for at in range(0, len(data), MAX_LINE):
                self._receive(data[at : at + MAX_LINE], events)
        except ProtocolError as error:
            self.error = error
            self._kept = bytearray()
            self._head = None
            self._line_size = 0
            events.append(error)
        return events

    def _receive(self, data: bytes, events: list[Event]) -> None:
        if self._head is not None:
            data = self._finish_message(self._head, data, events)
        elif self._kept:
            data = self._finish_line(data)
        if data:
            self._read(data.split(CRLF), events)

    def _finish_message(self, head: _Head, data: bytes, events: list[Event]) -> bytes:
        """Add to the message that is incomplete; gives what follows it."""
        sid, subject, reply, header_size, size = head
        missing = size + len(CRLF) - len(self._kept)
        self._kept += data[:missing]
        if len(data) < missing:
            return b""
        kept, self._kept = memoryview(self._kept), bytearray()
        self._head = None
        self._line_size = 0
        if bytes(kept[size:]) != CRLF:
            raise _no_line_break(size)
        header, payload = bytes(kept[:header_size]), bytes(kept[header_size:size])
        events.append(Message(sid, subject, reply, payload, header))
        return data[missing:]

    def _finish_line(self, data: bytes) -> bytes:
        """Add to the line that is incomplete; gives it with what follows, once it is complete."""
        kept = self._kept
        if kept.endswith(b"\r") and data.startswith(b"\n"):
            end = len(kept) - 1
        elif (found := data.find(CRLF)) >= 0:
            end = len(kept) + found
        else:
            kept += data
            # The last byte may be the first half of the line break.
            if len(kept) - kept.endswith(b"\r") > MAX_LINE:
                raise _line_too_long()
            return b""
        if end > MAX_LINE:
            raise _line_too_long()
        data = b"".join((kept, data))
        self._kept = bytearray()
        return data

    def _read(self, lines: list[bytes], events: list[Event]) -> None:
        """Read whole events, and keep what follows them.

        The last line has no line break yet, so it is never whole.
        """
        last = len(lines) - 1
        stop = last - 1
        at = 0
        append = events.append
        while at < last:
            line = lines[at]
            # Only the space separates: a subject may hold any other whitespace but line breaks and
            # tabs, and whoever publishes chooses it.
            parts = line.split(b" ")
            word = parts[0]
            if word == b"MSG":
                # The hot path: everything of one message, with as few steps as can be.
                if len(parts) == 5:
                    _, subject, sid, reply, digits = parts
                elif len(parts) == 4:
                    _, subject, sid, digits = parts
                    reply = b""
                else:
                    raise _malformed(line)
                data = lines[at + 1]
                # To write the size is as fast as to read one, and takes no other way to write it.
                if digits == b"%d" % len(data) and at < stop and subject and sid:
                    append(Message(sid, subject, reply, data))
                    at += 2
                    continue
            elif word != b"HMSG":
                append(self._read_line(line))
                at += 1
                continue
            head = sid, subject, reply, header_size, size = _head(line, parts, self._limit)
            end = _end_of(lines, at + 1, size)
            body = CRLF.join(lines[at + 1 : end])
            if end > last:
                self._head = head
                self._line_size = len(line) + len(CRLF)
                self._kept = bytearray(body)
                return
            append(Message(sid, subject, reply, body[header_size:], body[:header_size]))
            at = end
        self._kept = bytearray(lines[last])

    def _read_line(self, line: bytes) -> Event:
        if line == b"PING":
            return PINGS
        if line == b"PONG":
            return PONGS
        if line == b"+OK":
            return OKS
        if line.startswith(b"INFO "):
            info = _info(line[5:])
            self._limit = max(MAX_MESSAGE, info.max_payload) + HEADROOM
            return info
        if line == b"-ERR" or line.startswith(b"-ERR "):
            return Err(_without_quotes(line[5:].decode(errors="replace").strip()))
        raise ProtocolError(f"no command of the NATS protocol: {line[:200]!r}")


def _head(line: bytes, parts: list[bytes], limit: int) -> _Head:
    """Read a control line, `[H]MSG <subject> <sid> [reply] [header size] <size>`."""
    header_digits = b"0"
    if parts[0] == b"HMSG":
        if len(parts) < 5:
            raise _malformed(line)
        header_digits = parts.pop(-2)
    if len(parts) == 5:
        _, subject, sid, reply, digits = parts
    elif len(parts) == 4:
        _, subject, sid, digits = parts
        reply = b""
    else:
        raise _malformed(line)
    # `int` alone would read signs, underscores and spaces as well, and take its time for many.
    if not (subject and sid and digits.isdigit() and header_digits.isdigit()):
        raise _malformed(line)
    if len(digits) + len(header_digits) > MAX_SIZE_DIGITS:
        raise _malformed(line)
    size = int(digits)
    header_size = int(header_digits)
    if header_size > size:
        raise ProtocolError(f"headers larger than their message: {line[:200]!r}")
    if size > limit:
        raise ProtocolError(f"a message of {size} bytes; at most {limit} are read")
    return sid, subject, reply, header_size, size


def _end_of(lines: list[bytes], start: int, size: int) -> int:
    """Find the line after `size` bytes of payload; one that is not there when it is incomplete.

    Raises:
        ProtocolError: no line break follows the payload.
    """
    last = len(lines) - 1
    at = start
    have = len(lines[at])
    while have < size and at < last:
        at += 1
        have += 2 + len(lines[at])
    if at == last and have < size + 2:
        return last + 1
    if at < last and have == size:
        return at + 1
    raise _no_line_break(size)


def _info(text: bytes) -> ServerInfo:
    try:
        return _info_decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProtocolError(f"malformed INFO: {error}") from None


def _without_quotes(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "'" else text


def _malformed(line: bytes) -> ProtocolError:
    return ProtocolError(f"malformed: {line[:200]!r}")


def _no_line_break(size: int) -> ProtocolError:
    return ProtocolError(f"no line break after a message of {size} bytes")


def _line_too_long() -> ProtocolError:
    return ProtocolError(f"a line of over {MAX_LINE} bytes")
