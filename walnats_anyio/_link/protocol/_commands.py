"""What a client says: commands as bytes."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

PING = b"PING\r\n"
PONG = b"PONG\r\n"


def pub(
    subject: str | bytes, payload: bytes, reply: str | bytes = b"", headers: bytes = b""
) -> bytes:
    """Publish. `headers` is a whole header block, or empty.

    Subjects must have been checked: a space or line break in one would be read as something else.
    """
    if isinstance(subject, str):
        subject = subject.encode()
    if reply:
        if isinstance(reply, str):
            reply = reply.encode()
        if not headers:
            return b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload)
        subject = b"%b %b" % (subject, reply)
    if headers:
        size = len(headers)
        return b"HPUB %b %d %d\r\n%b%b\r\n" % (
            subject, size, size + len(payload), headers, payload,
        )  # fmt: skip
    return b"PUB %b %d\r\n%b\r\n" % (subject, len(payload), payload)


def sub(subject: bytes, sid: bytes) -> bytes:
    """Subscribe; messages then come with this number."""
    return b"SUB %b %b\r\n" % (subject, sid)


def unsub(sid: bytes) -> bytes:
    """End a subscription."""
    return b"UNSUB %b\r\n" % sid


def connect(fields: dict[str, Any]) -> bytes:
    """Introduce ourselves; the first command on a connection."""
    return b"CONNECT %b\r\n" % msgspec.json.encode(fields)


def payload_size(command: bytes) -> int:
    """The size of what a command made by `pub` publishes, headers included."""
    return int(command[: command.index(b"\r\n")].rsplit(b" ", 1)[1])


class Publication(NamedTuple):
    """The parts of a command made by `pub`."""

    subject: bytes
    reply: bytes
    headers: bytes
    """The header block, or empty."""
    payload: bytes


def read_publication(command: bytes) -> Publication:
    """Take a command made by `pub` apart, for whoever cannot send bytes.

    Raises:
        ValueError: it is not such a command.
    """
    line, _, rest = command.partition(b"\r\n")
    word, *parts = line.split(b" ")
    sizes = {b"PUB": 1, b"HPUB": 2}.get(word, 0)
    targets = parts[: len(parts) - sizes]
    if not sizes or not 1 <= len(targets) <= 2:
        raise ValueError(f"no command to publish: {line[:200]!r}")
    header_size = int(parts[-2]) if sizes == 2 else 0
    if not 0 <= header_size <= int(parts[-1]) == len(rest) - 2 or not rest.endswith(b"\r\n"):
        raise ValueError(f"no whole command to publish: {line[:200]!r}")
    reply = targets[1] if len(targets) == 2 else b""
    return Publication(targets[0], reply, rest[:header_size], rest[header_size:-2])
