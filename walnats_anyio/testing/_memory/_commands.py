"""What clients say: bytes to commands, and what a server says: messages to bytes.

Only what breaks the protocol is an error, and it ends the connection, as with nats-server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

MAX_CONTROL_LINE = 4096
"""Bytes of the longest line that a client may send."""

UNKNOWN = "Unknown Protocol Operation"
TOO_LARGE = "Maximum Payload Violation"

_DIGITS = re.compile(rb"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Publish:
    """`PUB` or `HPUB`, and what a message is made of."""

    subject: str
    reply: str = ""
    header: bytes = b""
    payload: bytes = b""

    @property
    def headers(self) -> dict[str, str]:
        """The headers, the first of each name; none where the block cannot be read."""
        return headers_of(self.header)


@dataclass(frozen=True, slots=True)
class Subscribe:
    """`SUB`."""

    subject: str
    queue: str
    sid: bytes


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """`UNSUB`."""

    sid: bytes
    most: int = 0
    """Messages after which it takes effect; 0 for at once."""


@dataclass(frozen=True, slots=True)
class Connect:
    """`CONNECT`."""

    options: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Ping:
    """`PING`."""


@dataclass(frozen=True, slots=True)
class Pong:
    """`PONG`."""


@dataclass(frozen=True, slots=True)
class Violation:
    """What ends the connection."""

    text: str
    """What the server says before; empty for nothing."""


Command: TypeAlias = Publish | Subscribe | Unsubscribe | Connect | Ping | Pong | Violation


class CommandParser:
    """Splits what a client sends, however it is cut, into commands."""

    def __init__(self, max_payload: int) -> None:
        self._max_payload = max_payload
        self._data = bytearray()
        self._at = 0
        self._broken = False
        self._awaited: tuple[str, str, int, int] | None = None

    def receive(self, data: bytes) -> list[Command]:
        """The commands that are complete; after a `Violation` none comes any more."""
        self._data += data
        commands: list[Command] = []
        while not self._broken:
            command = self._payload() if self._awaited else self._line()
            if command is None:
                break
            if command is not _ON:
                self._broken = isinstance(command, Violation)
                commands.append(command)
        del self._data[: len(self._data) if self._broken else self._at]
        self._at = 0
        return commands

    def _line(self) -> Command | None:
        end = self._data.find(b"\n", self._at)
        begun = bytes(self._data[self._at : self._at + LONGEST_WORD]).upper().split()
        if begun and not any(_fits(begun[0], word) for word in WORDS):
            return Violation(UNKNOWN)
        if (len(self._data) if end < 0 else end) - self._at > MAX_CONTROL_LINE:
            return Violation("maximum control line exceeded")
        if end < 0:
            return None
        line = bytes(self._data[self._at : end]).removesuffix(b"\r")
        self._at = end + 1
        word, _, rest = line.lstrip().replace(b"\t", b" ").partition(b" ")
        read = _READERS.get(word.upper())
        if word.upper() in (b"PUB", b"HPUB"):
            return self._publish(rest.split(), has_header=len(word) == len(b"HPUB"))
        return Violation(UNKNOWN) if read is None else read(rest)

    def _publish(self, parts: list[bytes], *, has_header: bool) -> Command:
        sizes = 2 if has_header else 1
        targets, numbers = parts[:-sizes], parts[-sizes:]
        if len(targets) not in (1, 2) or not all(map(_DIGITS.fullmatch, numbers)):
            return _malformed(parts)
        total = int(numbers[-1])
        header = int(numbers[0]) if has_header else 0
        if header > total:
            return Violation("")
        if total > self._max_payload:
            return Violation(TOO_LARGE)
        subject, *reply = map(_text, targets)
        self._awaited = (subject, reply[0] if reply else "", header, total)
        return _ON

    def _payload(self) -> Command | None:
        assert self._awaited is not None
        subject, reply, header, total = self._awaited
        if len(self._data) < self._at + total + 2:
            return None
        end = self._at + total
        if bytes(self._data[end : end + 2]) != b"\r\n":
            return Violation(UNKNOWN)
        block = bytes(self._data[self._at : self._at + header])
        payload = bytes(self._data[self._at + header : end])
        self._at, self._awaited = end + 2, None
        return Publish(subject, reply, block, payload)


_ON = Pong()
"""Stands for a line that is no command yet."""


def _subscribe(rest: bytes) -> Command:
    parts = rest.split()
    if len(parts) not in (2, 3):
        return _malformed(parts)
    queue = _text(parts[1]) if len(parts) == 3 else ""
    return Subscribe(_text(parts[0]), queue, parts[-1])


def _unsubscribe(rest: bytes) -> Command:
    parts = rest.split()
    if len(parts) not in (1, 2) or (len(parts) > 1 and not _DIGITS.fullmatch(parts[1])):
        return _malformed(parts)
    return Unsubscribe(parts[0], int(parts[1]) if len(parts) > 1 else 0)


def _connect(rest: bytes) -> Command:
    try:
        options: Any = json.loads(rest)
    except (ValueError, RecursionError):
        return Violation("")
    if not isinstance(options, dict):
        return Violation("")
    return Connect(cast("dict[str, Any]", options))


def _malformed(parts: list[bytes]) -> Violation:
    # With wrong arguments, nats-server closes the connection without a word.
    return Violation("" if parts else UNKNOWN)


WORDS = (b"PUB", b"HPUB", b"SUB", b"UNSUB", b"CONNECT", b"PING", b"PONG", b"+OK", b"INFO")
"""What a line may begin with."""

LONGEST_WORD = max(map(len, WORDS))


def _fits(begun: bytes, word: bytes) -> bool:
    """Whether what has come of a line can be, or become, this word."""
    return word.startswith(begun) or begun == word


_READERS: dict[bytes, Callable[[bytes], Command]] = {
    b"SUB": _subscribe,
    b"UNSUB": _unsubscribe,
    b"CONNECT": _connect,
    b"PING": lambda _: Ping(),
    b"PONG": lambda _: Pong(),
    b"+OK": lambda _: Pong(),
    b"INFO": lambda _: Pong(),
}


def _text(data: bytes) -> str:
    # Any byte is fine in a subject, and has to come back as it was.
    return data.decode(errors="surrogateescape")


def to_bytes(text: str) -> bytes:
    """The other way round."""
    return text.encode(errors="surrogateescape")


def headers_of(block: bytes) -> dict[str, str]:
    """The headers in a block, the first of each name; what cannot be read is left out."""
    headers: dict[str, str] = {}
    for line in block.split(b"\r\n")[1:]:
        name, found, value = line.partition(b":")
        if found:
            headers.setdefault(_text(name).strip(), _text(value).strip())
    return headers


def with_headers(block: bytes, headers: dict[str, object]) -> bytes:
    """A block with more headers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (block[:-2] if block else b"NATS/1.0\r\n") + to_bytes(lines) + b"\r\n"


def status(code: int, description: str = "", headers: dict[str, object] | None = None) -> bytes:
    """The header block of a message that the server itself sends."""
    return with_headers(
        f"NATS/1.0 {code} {description}".rstrip().encode() + b"\r\n\r\n", headers or {}
    )


def message(sid: bytes, publish: Publish) -> bytes:
    """`MSG` or `HMSG`."""
    target = to_bytes(publish.subject) + b" " + sid
    if publish.reply:
        target += b" " + to_bytes(publish.reply)
    header, payload = publish.header, publish.payload
    if header:
        size = len(header)
        sizes = b"%d %d" % (size, size + len(payload))
        return b"HMSG %b %b\r\n%b%b\r\n" % (target, sizes, header, payload)
    return b"MSG %b %d\r\n%b\r\n" % (target, len(payload), payload)
