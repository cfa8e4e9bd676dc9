"""Reading what the server says.

Theory of operation. A chunk from the socket is split at line breaks, all at once, as that is twice
as fast as looking for the end of each message. Then lines are taken in order: a control line, and
for a message the one or more lines that its payload makes, which are put together again until the
size that the control line announced is reached. What is incomplete at the end is kept for the next
chunk.

Whatever the bytes are, and wherever they are cut, the answer is a list of events, the last of which
may be a `ProtocolError`. What is kept is bounded: a line by `MAX_LINE`, a message by the size that
its control line announces, which is checked first.
"""

from __future__ import annotations

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
"""Bytes of the largest payload with headers that a server can be configured to take.

What INFO says is no limit for what is received: a stream may hold messages from a time when the
server took larger ones.
"""

HEADROOM = 64 * 1024
"""Bytes that the server may add to a message as headers of its own."""

MAX_SIZE_DIGITS = 10

PONGS = Pong()
PINGS = Ping()
OKS = Ok()

_info_decoder = msgspec.json.Decoder(ServerInfo)


class Parser:
    """Turns bytes from the server into events."""

    __slots__ = ("_chunks", "_limit", "_need", "_size", "error")

    def __init__(self) -> None:
        self.error: ProtocolError | None = None
        """What was wrong with the bytes, once something was."""
        self._chunks: list[bytes] = []
        self._size = 0
        self._need = 0
        self._limit = MAX_MESSAGE + HEADROOM

    @property
    def buffered(self) -> int:
        """Bytes of what is incomplete."""
        return self._size

    def receive(self, data: bytes) -> list[Event]:
        """Read what came; gives the events that are complete.

        Raises:
            ProtocolError: an earlier call gave one.
        """
        if self.error is not None:
            raise self.error
        if self._chunks:
            self._chunks.append(data)
            self._size += len(data)
            # A large message that comes in many chunks is looked at once, when it is complete, and
            # so is a long line. Otherwise many small chunks would cost the square of their number.
            if self._size < self._need or (self._size <= MAX_LINE and b"\n" not in data):
                return []
            data = b"".join(self._chunks)
        events: list[Event] = []
        lines = data.split(CRLF)
        try:
            read = self._read(lines, events)
        except (ValueError, msgspec.MsgspecError) as error:
            self.error = _protocol_error(error)
        except ProtocolError as error:
            self.error = error
        else:
            self._keep(lines, read, data)
        if self.error is not None:
            self._chunks = []
            self._size = 0
            events.append(self.error)
        return events

    def _keep(self, lines: list[bytes], read: int, data: bytes) -> None:
        """Keep what follows the first `read` lines."""
        if read == 0:
            rest = data
        elif read == len(lines) - 1:
            rest = lines[read]
        else:
            rest = CRLF.join(lines[read:])
        self._chunks = [rest] if rest else []
        self._size = len(rest)

    def _read(self, lines: list[bytes], events: list[Event]) -> int:
        """Read whole events; gives the number of lines that they took.

        The last line has no line break yet, so it is never whole.
        """
        last = len(lines) - 1
        at = 0
        append = events.append
        self._need = 0
        while at < last:
            line = lines[at]
            if line.startswith(b"MSG "):
                # The hot path: everything of one message, with as few steps as can be.
                parts = line.split()
                if len(parts) == 5:
                    _, subject, sid, reply, digits = parts
                else:
                    _, subject, sid, digits = parts
                    reply = b""
                size = int(digits)
                data = lines[at + 1]
                if len(data) == size and at + 1 < last:
                    append(Message(sid, subject, reply, data))
                    at += 2
                    continue
                end = self._end_of(lines, at, size, digits)
                if end is None:
                    return at
                append(Message(sid, subject, reply, CRLF.join(lines[at + 1 : end])))
                at = end
            elif line.startswith(b"HMSG "):
                end = self._read_with_headers(lines, at, line, events)
                if end is None:
                    return at
                at = end
            else:
                append(self._read_line(line))
                at += 1
        if len(lines[last]) > MAX_LINE:
            raise ProtocolError(f"a line of over {MAX_LINE} bytes")
        return at

    def _read_with_headers(
        self, lines: list[bytes], at: int, line: bytes, events: list[Event]
    ) -> int | None:
        parts = line.split()
        if len(parts) == 6:
            _, subject, sid, reply, header_digits, digits = parts
        else:
            _, subject, sid, header_digits, digits = parts
            reply = b""
        header_size, size = int(header_digits), int(digits)
        if not 0 <= header_size <= size:
            raise ProtocolError(f"headers larger than their message: {line[:200]!r}")
        end = self._end_of(lines, at, size, digits)
        if end is not None:
            whole = CRLF.join(lines[at + 1 : end])
            events.append(Message(sid, subject, reply, whole[header_size:], whole[:header_size]))
        return end

    def _end_of(self, lines: list[bytes], at: int, size: int, digits: bytes) -> int | None:
        """Find the line after the payload of a message; None when it is incomplete."""
        if size < 0 or size > self._limit or len(digits) > MAX_SIZE_DIGITS:
            raise ProtocolError(f"a message of {size} bytes; at most {self._limit} are read")
        last = len(lines) - 1
        end = at + 1
        have = len(lines[end])
        while have < size and end < last:
            end += 1
            have += 2 + len(lines[end])
        if end < last:
            if have == size:
                return end + 1
        elif have <= size or (have == size + 1 and lines[last].endswith(b"\r")):
            # Incomplete. One byte too many may be the first half of the line break.
            self._need = len(lines[at]) + 2 + size + 2
            return None
        raise ProtocolError(f"no line break after a message of {size} bytes")

    def _read_line(self, line: bytes) -> Event:
        if line == b"PING":
            return PINGS
        if line == b"PONG":
            return PONGS
        if line == b"+OK":
            return OKS
        if line.startswith(b"-ERR"):
            return Err(line[4:].decode(errors="replace").strip().strip("'"))
        if line.startswith(b"INFO "):
            if len(line) > MAX_LINE:
                raise ProtocolError(f"a line of over {MAX_LINE} bytes")
            info = _info_decoder.decode(line[5:])
            self._limit = max(MAX_MESSAGE, info.max_payload) + HEADROOM
            return info
        raise ProtocolError(f"no command of the NATS protocol: {line[:200]!r}")


def _protocol_error(error: Exception) -> ProtocolError:
    return ProtocolError(f"malformed: {error}")
