"""Copies of events on the wire: what one is kept as, and what a job sees of it.

A copy is a message of the event's stream, like one that was requeued: its header `Walnats-Actor`
names the one actor that it is for, and all others acknowledge it. Its header `Walnats-Retry` says
what it is a copy of. The server takes headers that begin with `Nats-` as orders, and adds some of
its own, so those of the event are kept under another name; on arrival the header block is again
that of the event, byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from walnats_anyio._actors.settle._notes import Note
from walnats_anyio._events import HEADER_ACTOR
from walnats_anyio._events._headers import HEADER_RETRY
from walnats_anyio._link import Message, Metadata, SequencePair

EPOCH = datetime.fromtimestamp(0, UTC)

KEPT_AS: Final = b"Walnats-Kept-"
"""What goes before the name of a header of the event that the copy must not have."""

RESERVED = (b"nats-", b"walnats-kept-", HEADER_ACTOR.lower().encode(), b"walnats-retry")
"""What the names of such headers begin with, in lower case."""

START = b"NATS/1.0\r\n"

TTL: Final = "Nats-TTL"
"""The header with the time to live of an event (ADR-43)."""

MAX_HEADERS = 2**16 - 1
"""The largest header block, in bytes, that a stream stores."""

_ORIGIN = re.compile(
    r"(\d{1,20}-\d{1,20}) (\d{1,11}) (\d{1,11}) (\d{1,11}) (\d{1,20}-\d{1,20}) ([0-9a-f]{16})",
    re.ASCII,
)

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a copy says of itself; anybody may have written it."""

    first: str
    """The place of the event that was emitted; see `_notes`."""

    deliveries: int
    """Deliveries before the copy was made."""

    attempts: int
    """Attempts before the copy was made."""

    deaths: int
    """Deliveries among them that ended without a word."""

    before: str
    """The place of what it takes the place of: the event that was emitted, or another copy."""

    token: str
    """The token in the note of that."""

    @property
    def count(self) -> Note:
        """The attempts before the copy was made, as a note of them."""
        return Note(self.deliveries, self.attempts, self.deaths)

    def to_wire(self) -> str:
        """The value of the header."""
        counts = f"{self.deliveries} {self.attempts} {self.deaths}"
        return f"{self.first} {counts} {self.before} {self.token}"

    @classmethod
    def of(cls, text: str) -> Origin | None:
        """Read the value of a header; None for what is none."""
        found = _ORIGIN.fullmatch(text)
        if found is None:
            return None
        first, deliveries, attempts, deaths, before, token = found.groups()
        if not int(deaths) <= int(attempts) <= int(deliveries):
            return None
        return cls(first, int(deliveries), int(attempts), int(deaths), before, token)


def next_origin(place: str, origin: Origin | None, note: Note) -> Origin:
    """What the next copy says of itself.

    Args:
        place: that of the message which is copied.
        origin: what that says of itself, if it is a copy.
        note: the note of it that says that a copy takes its place.
    """
    before = origin.count if origin is not None else Note()
    return Origin(
        first=place if origin is None else origin.first,
        deliveries=before.delivery + note.delivery,
        attempts=before.attempts + note.attempts,
        deaths=before.deaths + note.deaths,
        before=place,
        token=note.token,
    )


def block_of(headers: bytes, actor: str, origin: Origin, orders: Mapping[str, str]) -> bytes:
    """The header block of a copy.

    Args:
        headers: the header block of the event.
        actor: the name of the actor that it is for.
        origin: what it is a copy of.
        orders: what the server is told: headers of the schedule.
    """
    told = {**orders, HEADER_ACTOR: actor, HEADER_RETRY: origin.to_wire()}
    lines = [f"{name}: {value}".encode() for name, value in told.items()]
    for line in _lines(headers):
        kept = line.lower().startswith(RESERVED)
        lines.append(KEPT_AS + line if kept else line)
    return START + b"\r\n".join(lines) + b"\r\n\r\n"


def restored(headers: bytes) -> bytes:
    """The header block of the event, out of that of a copy which has come."""
    lines: list[bytes] = []
    for line in _lines(headers):
        name = line.lower()
        if name.startswith(KEPT_AS.lower()):
            lines.append(line[len(KEPT_AS) :])
        elif not name.startswith(RESERVED):
            lines.append(line)
    return START + b"\r\n".join(lines) + b"\r\n\r\n" if lines else b""


def _lines(headers: bytes) -> list[bytes]:
    return [line for line in headers.split(b"\r\n")[1:] if line]


class Copy(Message, gc=False):
    """A copy that has come: a message as the event was, with the acknowledgement of the copy."""

    first: str = "0-0"
    """The place of the event that was emitted."""

    deliveries: int = 0
    """Deliveries before the copy was made."""

    @property
    def metadata(self) -> Metadata:
        """What JetStream said of the event that was emitted, and of all its deliveries."""
        own = Metadata.of(self.reply)
        number, stored = map(int, self.first.split("-"))
        return replace(
            own,
            sequence=SequencePair(consumer=own.sequence.consumer, stream=number),
            num_delivered=own.num_delivered + self.deliveries,
            timestamp=EPOCH + timedelta(microseconds=stored // 1000),
        )


def as_emitted(message: Message, origin: Origin) -> Copy:
    """A copy that has come, as a job sees it."""
    sid, subject, reply, data, header = msgspec.structs.astuple(message)
    return Copy(
        sid, subject, reply, data, restored(header), first=origin.first,
        deliveries=origin.deliveries,
    )  # fmt: skip


def expiry_of(message: Message, max_age: float) -> float | None:
    """When the event expires, in seconds since 1970; None: never.

    Args:
        message: the event.
        max_age: seconds that its stream keeps what has no time to live of its own; 0: for ever.

    Raises:
        ValueError: nobody knows.
    """
    ttl = message.headers.get(TTL)
    if ttl == "never" or (ttl is None and not max_age):
        return None
    return message.metadata.timestamp.timestamp() + (max_age if ttl is None else _seconds(ttl))


def _seconds(ttl: str) -> float:
    """A time to live as clients write it: whole seconds, or a duration of Go."""
    if ttl.isascii() and ttl.isdigit() and len(ttl) < 12:
        return float(ttl)
    parts = _DURATION.findall(ttl)
    if not parts or "".join(number + unit for number, unit in parts) != ttl:
        raise ValueError(f"{ttl!r} is no time to live")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
