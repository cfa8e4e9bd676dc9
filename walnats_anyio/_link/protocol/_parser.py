"""Reading what the server says.

Theory of operation. A control line says how long the payload behind it is, so a message is cut out
of the chunk without a look at its payload. For small messages that is slow: behind the first of
them a window of the chunk is split at line breaks, all at once, and lines are taken in pairs as
long as each pair is a small message. The window grows while that goes well. What is incomplete at
the end of the chunk is kept: the start of a line, or a control line that was read and the start of
its payload.

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

SMALL = 768
"""Bytes of a payload behind which others are expected to be small as well. A search for line breaks
reads 1 byte in 1 ns, as two bytes are looked for; to cut a message out costs 0.5 us more."""

SIZES = tuple(b"%d" % size for size in range(SMALL))
"""Sizes as they are written: to look one up takes a fifth of writing it."""

WAIT = 16
"""Messages that are cut out one by one after a window in which there was no small one."""

WINDOWS = (1024, 64 * 1024)
"""Bytes that are split at once: at first, and at most."""

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
            if len(data) <= MAX_LINE:
                self._receive(data, events)
            else:
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
        if len(data) <= WINDOWS[0] and data.startswith(b"MSG "):
            # Nearly always one small message, such as an acknowledgement: a sixth less time.
            at, _ = _read_small(data, 0, WINDOWS[0], events)
            data = data[at:]
        if data:
            self._read(data, events)

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
        if CRLF in data or (kept.endswith(b"\r") and data.startswith(b"\n")):
            self._kept = bytearray()
            return b"".join((kept, data))
        kept += data
        # The last byte may be the first half of the line break.
        if len(kept) - kept.endswith(b"\r") > MAX_LINE:
            raise _line_too_long()
        return b""

    def _read(self, data: bytes, events: list[Event]) -> None:
        """Read whole events, and keep what follows them."""
        append = events.append
        window, wait = WINDOWS[0], 0
        at, total = 0, len(data)
        while at < total:
            end = data.find(CRLF, at)
            if end < 0:
                self._kept = bytearray(data[at:])
                return
            line = data[at:end]
            # Only the space separates: a subject may hold any other whitespace but line breaks and
            # tabs, and whoever publishes chooses it.
            parts = line.split(b" ")
            word = parts[0]
            if len(line) > MAX_LINE:
                raise _line_too_long()
            if word != b"MSG" and word != b"HMSG":
                append(self._read_line(line))
                at = end + 2
                continue
            head = sid, subject, reply, header_size, size = _head(line, parts, self._limit)
            start = end + 2
            payload, end = start + header_size, start + size
            if total < end + 2:
                self._head = head
                self._line_size = len(line) + len(CRLF)
                self._kept = bytearray(data[start:])
                return
            if not data.startswith(CRLF, end):
                raise _no_line_break(size)
            append(Message(sid, subject, reply, data[payload:end], data[start:payload]))
            at = end + 2
            if wait:
                wait -= 1
            elif size < SMALL and not header_size and at < total:
                before = at
                at, window = _read_small(data, at, window, events)
                if at == before:
                    wait = WAIT

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


def _read_small(data: bytes, start: int, window: int, events: list[Event]) -> tuple[int, int]:
    """Read plain messages whose payloads have no line breaks, as long as there are some.

    It is the hot path: as few steps as can be. Gives where it stopped, and the next window.
    """
    part = data[start : start + window]
    lines = part.split(CRLF)
    # The last line has no line break yet, so it is never whole.
    stop = len(lines) - 2
    before, append = len(events), events.append
    for head, payload in zip(lines[0:stop:2], lines[1::2], strict=False):
        parts = head.split(b" ")
        if len(parts) == 5:
            word, subject, sid, reply, digits = parts
        elif len(parts) == 4:
            word, subject, sid, digits = parts
            reply = b""
        else:
            break
        size = len(payload)
        # To write the size takes no other way to write it, and is as fast as to read one.
        written = SIZES[size] if size < SMALL else b"%d" % size
        if word != b"MSG" or digits != written or not subject or not sid:
            break
        append(Message(sid, subject, reply, payload))
    at = 2 * (len(events) - before)
    first, most = WINDOWS
    following = first if at < stop else min(4 * window, most)
    rest = len(lines[-1])
    if at + 1 < len(lines):
        rest += sum(map(len, lines[at:-1])) + 2 * (len(lines) - at - 1)
    return start + len(part) - rest, following


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
