"""Notes of the attempts of an event: what they say, and where they are kept.

An event is known by its *place*: its number in its stream and the moment at which that stored it,
as a stream that is made anew counts from 1 again.

The note of a place is under `walnats.attempts.<stream>.<actor>.<place>`. A later note takes the
place of an earlier one. A delivery that was given back before its note was read is marked under
`<place>.<delivery>`: it was no attempt, and what came before it is not known there.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._events._publication import publish
from walnats_anyio._events._retries import NOTE_SUBJECTS, NOTES, read_note, swap_note
from walnats_anyio._link import Link, ServerError, pub

if TYPE_CHECKING:
    from walnats_anyio._actors.settle._delivery import Delivery

MAX_DIGITS = 12
"""Digits of a number in a note, which anybody may have written."""

V1_TOKENS = 9
"""Tokens of a reply subject without domain and account, which newer servers put in."""

_NOTE = re.compile(
    rb"(\d{1,11}) (\d{1,11}) (\d{1,11})(?: (\d{1,14}) ([0-9a-f]{16})(?: (\d{1,20}-\d{1,20}))?)?"
)


class Note(msgspec.Struct, frozen=True):
    """What is known of the attempts of an event.

    A Struct, as each retry makes three: a frozen dataclass of six fields takes a microsecond.
    """

    delivery: int = 0
    """The delivery up to which it is known."""

    attempts: int = 0
    """Attempts until then, deaths included."""

    deaths: int = 0
    """Deliveries among them that ended without a word."""

    due: int = 0
    """When a copy of the event is due that takes its place, in milliseconds since 1970 (UTC).

    0: the event itself comes again.
    """

    token: str = ""
    """What that copy shows to prove that it is the one: 16 hexadecimal digits."""

    taken_by: str = ""
    """The place of the copy, once it has come; or the event's own: no copy is to be run; or `0-0`:
    neither is, as somebody has cancelled it."""

    def to_wire(self) -> bytes:
        """The payload of the note."""
        counts = b"%d %d %d" % (self.delivery, self.attempts, self.deaths)
        if not self.due:
            return counts
        return b" ".join((counts, f"{self.due} {self.token} {self.taken_by}".strip().encode()))

    @classmethod
    def of(cls, data: bytes) -> Note | None:
        """Read a payload; None for what is no note, as anybody may publish."""
        found = _NOTE.fullmatch(data)
        if found is None:
            return None
        delivery, attempts, deaths, due, token, taken_by = found.groups(b"")
        counts = int(delivery), int(attempts), int(deaths)
        note = cls(*counts, int(due or b"0"), token.decode(), taken_by.decode())
        return note if note.deaths <= note.attempts <= note.delivery else None

    def gave_way(self, place: str) -> bool:
        """Whether a copy takes the place of the event, which was at `place`."""
        return bool(self.due) and self.taken_by != place


NOTHING = Note()
"""What is known of an event that comes for the first time."""


def must_be_alone(note: Note, most: int | None) -> bool:
    """Whether an event with these deaths is run with nothing beside it."""
    last = most is not None and note.attempts + 1 >= most
    return note.deaths >= 2 or (note.deaths == 1 and last)


def before_delivery(
    note: Note | None,
    delivery: int,
    most: int | None,
    marked: Set[int] = frozenset(),
    before: Note = NOTHING,
) -> Note:
    """What an event has behind it when it is delivered.

    Args:
        note: the last note of it; None when there is none.
        delivery: the number of this delivery, from 1.
        most: the actor's `max_attempts`.
        marked: deliveries that were given back and were no attempts.
        before: the attempts and deaths from before it was copied, if it is a copy; they are
            counted.
    """
    own = note or NOTHING
    if own.delivery >= delivery:
        own = NOTHING  # forged, or of an earlier life of the stream
    known = Note(own.delivery, own.attempts + before.attempts, own.deaths + before.deaths)
    # Two deaths end it, so a forged number of deliveries does not make it long.
    for number in range(known.delivery + 1, delivery):
        if must_be_alone(known, most):
            break
        if number in marked:
            continue
        known = Note(known.delivery, known.attempts + 1, known.deaths + 1)
    # A forged note may claim anything; that there were so many deliveries is certain.
    attempts = min(known.attempts, before.attempts + delivery - 1)
    return Note(delivery - 1, attempts, min(known.deaths, attempts))


@dataclass(frozen=True, slots=True)
class Found:
    """What the stream of the notes says of an event."""

    note: Note | None
    """The last note of it; None when there is none."""

    marked: Set[int] = frozenset()
    """Deliveries that were given back before the note of the event was read."""

    created: str = ""
    """When the stream was made, where that was asked."""

    def is_certain(self, delivery: int) -> bool:
        """Whether the note tells all that was before a delivery."""
        return self.note is not None and self.note.delivery == delivery - 1

    def is_younger_than(self, place: str) -> bool:
        """Whether the stream was made after the event was stored, so that notes may be lost."""
        stored = int(place.rpartition("-")[2]) / 1e9
        return bool(self.created) and datetime.fromisoformat(self.created).timestamp() > stored


class Notes:
    """The notes of one actor, in their stream."""

    def __init__(self, actor: Actor[Any, Any], link: Link) -> None:
        prefixes = link.prefixes
        self.stream = prefixes.stream(NOTES)
        self.subjects = prefixes.subject(NOTE_SUBJECTS)
        self.subject = f"{self.subjects}.{actor.event.stream_name}.{actor.consumer_name}"
        self._link = link

    def command(self, place: str, note: Note) -> bytes:
        """The command that leaves a note, which nobody acknowledges."""
        return pub(f"{self.subject}.{place}", note.to_wire())

    def mark(self, place: str, delivery: int) -> bytes:
        """The command that marks a delivery as no attempt."""
        return pub(f"{self.subject}.{place}.{delivery}", b"")

    async def write(self, place: str, note: Note) -> None:
        """Leave a note, whatever was there.

        Raises:
            ServerError: it is not stored, or not acknowledged in time.
            ConnectionLostError: the link is closed for good.
        """
        await publish(self._link, self.stream, f"{self.subject}.{place}", note.to_wire(), b"")

    async def swap(self, place: str, note: Note, number: int) -> bool:
        """Leave a note if the last one has this number, 0 for none; False: it has another one.

        Raises:
            ServerError: it is not stored, or not acknowledged in time.
            ConnectionLostError: the link is closed for good.
        """
        return await swap_note(self._link, f"{self.subject}.{place}", note.to_wire(), number)

    async def read(self, place: str) -> tuple[Note | None, int]:
        """The last note of an event, and its number in the stream; None and 0: there is none.

        Raises:
            ServerError: it cannot be read, or is no note.
            ConnectionLostError: the link is closed for good.
        """
        data, number = await read_note(self._link, f"{self.subject}.{place}")
        if data is None:
            return None, 0
        note = Note.of(data)
        if note is None:
            raise ServerError(f"somebody has put {data[:40]!r} where a note should be")
        return note, number


def tokens_of(reply: bytes) -> tuple[list[str], int]:
    """The tokens of a reply subject, and where the number of deliveries is."""
    tokens = reply.decode().split(".")
    return tokens, 4 if len(tokens) == V1_TOKENS else 6


def place_of(delivery: Delivery) -> tuple[str, int]:
    """What identifies the event for ever, and how often it has been delivered."""
    if delivery.place is None:
        tokens, at = tokens_of(delivery.message.reply)
        delivery.place = f"{tokens[at + 1]}-{tokens[at + 3]}", int(tokens[at])
    return delivery.place


def first_place(delivery: Delivery) -> str:
    """The place of the event that was emitted; of a copy it is not its own."""
    return place_of(delivery)[0] if delivery.origin is None else delivery.origin.first
