"""Which attempt of its event a delivery is.

Theory of operation. The server counts deliveries, and tells the count in the reply subject of each
(ADR-15). But a delivery may have been a run that failed, one that was handed back, or one that
ended with its process and may never have begun. So whoever gives an event back leaves a *note* of
it in a stream: up to which delivery it has had how many attempts. Whoever gets an event that was
delivered before reads the note of it. The first delivery of an event, which is nearly every one,
needs neither.

Deliveries after the one of the note ended without a word: *deaths*. Each counts as an attempt, as
the handler may have run. But of all events that a process held when it died, one killed it, and the
others are innocent. So an event with two deaths, or with one before its last attempt, is run
*alone* in its process, after a note that says so, and from then on only deaths after such a note
count: others cannot have been a run. So an event has never more runs than `max_attempts`, and one
that has never failed does not become a dead letter for the crashes of another, unless it has but
one attempt.

Each process remembers the notes that it leaves itself, so an event that comes back to it needs no
request (with one process, 25,000 retries a second instead of 10,000).

When notes cannot be read or written, the doubt goes in favour of the event: it is run. So before an
event is given up for the lack of a note, a note of that is written, which shows that notes can be;
and when the stream of the notes is younger than the event, as somebody deleted it, the event is run
once more. What is no note of ours, as anybody may publish, counts as one that cannot be read.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Set
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._events._publication import publish
from walnats_anyio._link import (
    ConnectionLostError,
    Link,
    Message,
    Prefixes,
    Refusal,
    ServerError,
    api,
    ensure_helper_stream,
    pub,
)

if TYPE_CHECKING:
    from walnats_anyio._actors.settle._delivery import Delivery

logger = logging.getLogger("walnats_anyio.actors")

STREAM = "walnats-attempts"
"""The stream of the notes."""

SUBJECTS = "walnats.attempts"
"""What the subjects of notes begin with: `walnats.attempts.<stream>.<actor>.<event>`.

The event is its number in the stream and the moment at which that stored it, as a stream that is
made anew counts from 1 again. A later note takes the place of an earlier one. A delivery that was
given back before its note was read is marked under `<event>.<delivery>`: it was no attempt, and
what came before it is not known there.
"""

KEPT_FOR = 7 * 24 * 3600
"""Seconds that notes are kept; for an event that is retried more slowly, attempts are deaths."""

REMEMBERED = 50_000
"""Notes that a process remembers itself, for each actor: some 10 MB."""

LOOK_AGAIN_AFTER = 0.5
"""Seconds until a note is looked for again before an event is given up without one."""

WARN_EVERY = 60.0
"""Seconds between two warnings of a kind that notes cannot be read or written."""

UNREAD = "the notes of attempts cannot be read, so every delivery counts as one"
UNWRITTEN = (
    "the notes of attempts cannot be written, so an event is run that may have had all its attempts"
)
LOST = "the notes of attempts are younger than an event, so it is run once more"
NOT_ALONE = "an event that may have killed its process is not run alone, as that cannot be noted"

MAX_DIGITS = 12
"""Digits of a number in a note, which anybody may have written."""

V1_TOKENS = 9
"""Tokens of a reply subject without domain and account, which newer servers put in."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of the attempts of an event."""

    delivery: int = 0
    """The delivery up to which it is known."""

    attempts: int = 0
    """Attempts until then, deaths included."""

    deaths: int = 0
    """Deliveries among them that ended without a word."""

    def to_wire(self) -> bytes:
        """The payload of the note."""
        return b"%d %d %d" % (self.delivery, self.attempts, self.deaths)

    @classmethod
    def of(cls, data: bytes) -> Note | None:
        """Read a payload; None for what is no note, as anybody may publish."""
        parts = data.split()
        if len(parts) != 3 or not all(part.isdigit() and len(part) < MAX_DIGITS for part in parts):
            return None
        note = cls(*map(int, parts))
        return note if note.deaths <= note.attempts <= note.delivery else None


def must_be_alone(note: Note, most: int | None) -> bool:
    """Whether an event with these deaths is run with nothing beside it."""
    last = most is not None and note.attempts + 1 >= most
    return note.deaths >= 2 or (note.deaths == 1 and last)


def before_delivery(
    note: Note | None, delivery: int, most: int | None, marked: Set[int] = frozenset()
) -> Note:
    """What an event has behind it when it is delivered.

    Args:
        note: the last note of it; None when there is none.
        delivery: the number of this delivery, from 1.
        most: the actor's `max_attempts`.
        marked: deliveries that were given back and were no attempts.
    """
    known = note or Note()
    if known.delivery >= delivery:
        known = Note()  # forged, or of an earlier life of the stream
    # Two deaths end it, so a forged number of deliveries does not make it long.
    for number in range(known.delivery + 1, delivery):
        if must_be_alone(known, most):
            break
        if number in marked:
            continue
        known = Note(known.delivery, known.attempts + 1, known.deaths + 1)
    # A forged note may claim anything; that there were so many deliveries is certain.
    attempts = min(known.attempts, delivery - 1)
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

    def is_younger_than(self, event: str) -> bool:
        """Whether the stream was made after the event was stored, so that notes may be lost."""
        stored = int(event.rpartition("-")[2]) / 1e9
        return bool(self.created) and datetime.fromisoformat(self.created).timestamp() > stored


class Attempts:
    """The attempts of the events of one actor."""

    def __init__(self, actor: Actor[Any, Any], link: Link) -> None:
        self.first = b"?"
        """What reply subjects of first deliveries begin with; known once one has come."""
        self._link = link
        self._actor = actor
        self._most = actor.max_attempts
        prefixes = link.prefixes
        self._stream = prefixes.stream(STREAM)
        self._subjects = prefixes.subject(SUBJECTS)
        self._subject = f"{self._subjects}.{actor.event.stream_name}.{actor.consumer_name}"
        self._get = prefixes.api_subject(f"DIRECT.GET.{self._stream}.{self._subject}")
        self._remembered: OrderedDict[str, Note] = OrderedDict()
        self._may_write = True
        self._warned_at: dict[str, float] = {}

    def is_first(self, reply: bytes) -> bool:
        """Whether the event was never delivered to this actor before."""
        tokens, at = _tokens(reply)
        if tokens[at] != "1":
            return False
        self.first = (".".join(tokens[: at + 1]) + ".").encode()
        return True

    def knows(self, delivery: Delivery) -> bool:
        """Whether this process itself has given the event back, at its last delivery."""
        event, number = _place_of(delivery)
        note = self._remembered.get(event)
        return note is not None and note.delivery == number - 1

    async def look_up(self, delivery: Delivery) -> bool:
        """Find out which attempt a delivery is, and whether it is to be run alone.

        Returns:
            Whether it may be run; not when the last attempt that was allowed never ended.
        """
        event, number = _place_of(delivery)
        found = Found(self._remembered.get(event))
        try:
            if not found.is_certain(number):
                found = await self._read(event, number)
        except (ServerError, ConnectionLostError) as error:
            self._warn(UNREAD, error)
            self._favour(delivery, number)
            return True
        known = before_delivery(found.note, number, self._most, found.marked)
        if self._is_used_up(known) and not found.is_certain(number):
            try:
                await self._publish(event, replace(known, delivery=number))
            except (ServerError, ConnectionLostError) as error:
                self._warn(UNWRITTEN, error)
                self._favour(delivery, number)
                return True
            if found.is_younger_than(event):
                self._warn(LOST, f"stream {self._stream!r} was made at {found.created}")
                self._favour(delivery, number)
                return True
        # Not before: cut short, it would be given back with a note of no attempts.
        delivery.looked_up = True
        delivery.attempt = known.attempts + 1
        delivery.deaths = known.deaths
        delivery.alone = must_be_alone(known, self._most)
        return not self._is_used_up(known)

    def _favour(self, delivery: Delivery, number: int) -> None:
        """In doubt there is at least one more attempt."""
        delivery.looked_up = True
        delivery.attempt = number if self._most is None else min(number, self._most)

    def _is_used_up(self, known: Note) -> bool:
        return self._most is not None and known.attempts >= self._most

    async def _read(self, event: str, number: int) -> Found:
        found = await self._ask_all(event, number)
        known = before_delivery(found.note, number, self._most, found.marked)
        if self._is_used_up(known) and not found.is_certain(number):
            # The note may be under way from another process.
            await anyio.sleep(LOOK_AGAIN_AFTER)
            found = await self._ask_all(event, number)
        return found

    async def _ask_all(self, event: str, number: int) -> Found:
        found = Found(await self._ask(event))
        return found if found.is_certain(number) else await self._add_marks(found, event)

    async def _add_marks(self, found: Found, event: str) -> Found:
        wanted = {"subjects_filter": f"{self._subject}.{event}.*"}
        answer = await api(self._link, f"STREAM.INFO.{self._stream}", wanted)
        marks = [subject.rpartition(".")[2] for subject in answer["state"].get("subjects") or ()]
        # Anybody may publish there, and not every digit makes an `int`.
        numbers = [mark for mark in marks if mark.isascii() and mark.isdigit()]
        marked = {int(number) for number in numbers if len(number) < MAX_DIGITS}
        return replace(found, marked=marked, created=answer["created"])

    async def _ask(self, event: str) -> Note | None:
        """The last note of an event (ADR-31, direct get of the last message of a subject)."""
        message = await self._link.request(f"{self._get}.{event}", accepts=_is_note)
        code = message.status.code
        if code == "404":
            return None
        if code:
            raise ServerError(
                f"{self._stream!r} cannot be read: {code} {message.status.description}"
            )
        note = Note.of(message.data)
        if note is None:
            raise ServerError(f"somebody has put {message.data[:40]!r} where a note should be")
        return note

    def note(self, delivery: Delivery, *, failed: bool) -> bytes:
        """The command that leaves a note of a delivery that is given back."""
        event, number = _place_of(delivery)
        if number == 1 or delivery.looked_up:
            note = Note(number, delivery.attempt - (not failed), delivery.deaths)
        else:
            before = self._remembered.get(event)
            if before is None or before.delivery != number - 1:
                mark = pub(f"{self._subject}.{event}.{number}", b"")
                return mark if self._may_write else b""
            note = Note(number, before.attempts, before.deaths)
        self._remember(event, note)
        return self._command(event, note) if self._may_write else b""

    async def begin_alone(self, delivery: Delivery) -> bool:
        """Leave a note, before the handler starts, that this delivery is a run of it.

        Returns:
            Whether it is stored.
        """
        event, number = _place_of(delivery)
        try:
            await self._publish(event, Note(number, delivery.attempt, delivery.deaths + 1))
        except (ServerError, ConnectionLostError) as error:
            self._warn(NOT_ALONE, error)
            return False
        return True

    async def _publish(self, event: str, note: Note) -> None:
        await publish(self._link, self._stream, f"{self._subject}.{event}", note.to_wire(), b"")

    def on_refusal(self, refusal: Refusal) -> None:
        """The server refused something; perhaps the notes."""
        if refusal.operation == "publish" and (refusal.subject or "").startswith(
            f"{self._subjects}."
        ):
            self._may_write = False

    def _command(self, event: str, note: Note) -> bytes:
        return pub(f"{self._subject}.{event}", note.to_wire())

    def _remember(self, event: str, note: Note) -> None:
        self._remembered[event] = note
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    def _warn(self, what: str, error: object) -> None:
        now = monotonic()
        if now - self._warned_at.get(what, -WARN_EVERY) >= WARN_EVERY:
            self._warned_at[what] = now
            logger.warning("actor %r: %s: %s", self._actor.name, what, error)


def _is_note(message: Message) -> bool:
    return bool(message.header)


async def create_stream(link: Link, replicas: int) -> None:
    """Create the stream of the notes, or raise it to so many replicas.

    Raises:
        ServerError: the server refuses it, or does not answer.
    """
    await ensure_helper_stream(link, new_config(replicas, link.prefixes))


def new_config(replicas: int, prefixes: Prefixes) -> dict[str, Any]:
    """The configuration of a stream of notes that is not there yet."""
    subjects = prefixes.subject(SUBJECTS)
    return {
        "name": prefixes.stream(STREAM),
        "description": "how many attempts events have had that were given back",
        "subjects": [f"{subjects}.*.*.*", f"{subjects}.*.*.*.*"],
        "retention": "limits",
        "storage": "file",
        "num_replicas": replicas,
        "max_age": KEPT_FOR * 10**9,
        "max_msgs_per_subject": 1,
        "discard": "old",
        "allow_direct": True,
    }


def _tokens(reply: bytes) -> tuple[list[str], int]:
    """The tokens of a reply subject, and where the number of deliveries is."""
    tokens = reply.decode().split(".")
    return tokens, 4 if len(tokens) == V1_TOKENS else 6


def _place_of(delivery: Delivery) -> tuple[str, int]:
    """What identifies the event for ever, and how often it has been delivered."""
    if delivery.place is None:
        tokens, at = _tokens(delivery.message.reply)
        delivery.place = f"{tokens[at + 1]}-{tokens[at + 3]}", int(tokens[at])
    return delivery.place
