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

An event that waits for its retry as a copy is looked up as well: `_postponing` has how.

Each process remembers the notes that it leaves itself, so an event that comes back to it needs no
request (with one process, 25,000 retries a second instead of 10,000).

When notes cannot be read or written, the doubt goes in favour of the event: it is run. So before an
event is given up for the lack of a note, a note of that is written, which shows that notes can be;
and when the stream of the notes is younger than the event, as somebody deleted it, the event is run
once more. What is no note of ours, as anybody may publish, counts as one that cannot be read.
"""

from __future__ import annotations

import enum
import logging
from collections import OrderedDict
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.settle._notes import (
    MAX_DIGITS,
    NOTHING,
    Found,
    Note,
    Notes,
    before_delivery,
    must_be_alone,
    place_of,
    tokens_of,
)
from walnats_anyio._actors.settle._postponing import Postponing
from walnats_anyio._events._retries import NOTE_SUBJECTS, NOTES
from walnats_anyio._link import (
    ConnectionLostError,
    Link,
    Prefixes,
    Refusal,
    ServerError,
    api,
    ensure_helper_stream,
)

if TYPE_CHECKING:
    from walnats_anyio._actors.settle._delivery import Delivery

logger = logging.getLogger("walnats_anyio.actors")

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


class Standing(enum.Enum):
    """What is to be done with an event that was looked up."""

    RUN = "run"
    """The handler may run."""

    USED_UP = "used up"
    """The last attempt that was allowed never ended."""

    EARLY = "early"
    """A copy was to take its place and cannot be written, and the retry is not due yet."""

    SUPERSEDED = "superseded"
    """A copy has taken its place; or it is a copy, and another message has taken its place."""


class Attempts:
    """The attempts of the events of one actor."""

    def __init__(self, actor: Actor[Any, Any], link: Link) -> None:
        self.first = b"?"
        """What reply subjects of first deliveries begin with; known once one has come."""
        self._link = link
        self._actor = actor
        self._most = actor.max_attempts
        self._notes = notes = Notes(actor, link)
        self.postponing = Postponing(actor, link, notes)
        self._remembered: OrderedDict[str, Note] = OrderedDict()
        self._may_write = True
        self._warned_at: dict[str, float] = {}

    def is_first(self, reply: bytes) -> bool:
        """Whether the event was never delivered to this actor before."""
        tokens, at = tokens_of(reply)
        if tokens[at] != "1":
            return False
        self.first = (".".join(tokens[: at + 1]) + ".").encode()
        return True

    def knows(self, delivery: Delivery) -> bool:
        """Whether this process itself has given the event back, at its last delivery."""
        place, number = place_of(delivery)
        note = self._remembered.get(place)
        return note is not None and note.delivery == number - 1

    async def look_up(self, delivery: Delivery) -> Standing:
        """Find out which attempt a delivery is, and whether it is to be run, perhaps alone."""
        origin = delivery.origin
        if origin is None:
            # What this process has given back itself: the rest takes a tenth of a retry more.
            place, number = place_of(delivery)
            note = self._remembered.get(place)
            if note is not None and note.delivery == number - 1 and not note.due:
                return self._stand(delivery, before_delivery(note, number, self._most))
        elif not await self.postponing.accept(delivery, origin):
            return Standing.SUPERSEDED
        try:
            found = await self._find(delivery)
            if not await self._must_run(delivery, found):
                return Standing.SUPERSEDED
            if self.postponing.early_by(delivery):
                return Standing.EARLY
        except (ServerError, ConnectionLostError) as error:
            self._warn(UNREAD, error)
            return self._favour(delivery)
        place, number = place_of(delivery)
        known = before_delivery(found.note, number, self._most, found.marked, before(delivery))
        if self._is_used_up(known) and not found.is_certain(number):
            try:
                note = _own(delivery, number, known.attempts, known.deaths)
                await self._notes.write(place, note)
            except (ServerError, ConnectionLostError) as error:
                self._warn(UNWRITTEN, error)
                return self._favour(delivery)
            if found.is_younger_than(place):
                self._warn(LOST, f"stream {self._notes.stream!r} was made at {found.created}")
                return self._favour(delivery)
        return self._stand(delivery, known)

    def _stand(self, delivery: Delivery, known: Note) -> Standing:
        # Not before: cut short, it would be given back with a note of no attempts.
        delivery.looked_up = True
        delivery.attempt = known.attempts + 1
        delivery.deaths = known.deaths
        delivery.alone = must_be_alone(known, self._most)
        return Standing.USED_UP if self._is_used_up(known) else Standing.RUN

    async def _must_run(self, delivery: Delivery, found: Found) -> bool:
        """Whether it is the event itself that is to be run, and no copy."""
        note, (place, _) = found.note, place_of(delivery)
        if note is None or not note.due:
            return True
        if note.gave_way(place):
            return await self.postponing.must_run(delivery, note)
        delivery.moved = note
        return True

    def _favour(self, delivery: Delivery) -> Standing:
        """In doubt there is at least one more attempt."""
        _, number = place_of(delivery)
        attempt = before(delivery).attempts + number
        delivery.looked_up = True
        delivery.attempt = attempt if self._most is None else min(attempt, self._most)
        return Standing.RUN

    def _is_used_up(self, known: Note) -> bool:
        return self._most is not None and known.attempts >= self._most

    async def _find(self, delivery: Delivery) -> Found:
        place, number = place_of(delivery)
        if number == 1:
            return Found(NOTHING)  # a copy that has just come
        found = Found(self._remembered.get(place))
        if not found.is_certain(number):
            found = await self._read(delivery)
        return found

    async def _read(self, delivery: Delivery) -> Found:
        place, number = place_of(delivery)
        found = await self._ask_all(place, number)
        known = before_delivery(found.note, number, self._most, found.marked, before(delivery))
        if self._is_used_up(known) and not found.is_certain(number):
            # The note may be under way from another process.
            await anyio.sleep(LOOK_AGAIN_AFTER)
            found = await self._ask_all(place, number)
        return found

    async def _ask_all(self, place: str, number: int) -> Found:
        note, _ = await self._notes.read(place)
        found = Found(note)
        if found.is_certain(number) or (note is not None and note.gave_way(place)):
            return found
        return await self._add_marks(found, place)

    async def _add_marks(self, found: Found, place: str) -> Found:
        wanted = {"subjects_filter": f"{self._notes.subject}.{place}.*"}
        answer = await api(self._link, f"STREAM.INFO.{self._notes.stream}", wanted)
        marks = [subject.rpartition(".")[2] for subject in answer["state"].get("subjects") or ()]
        # Anybody may publish there, and not every digit makes an `int`.
        numbers = [mark for mark in marks if mark.isascii() and mark.isdigit()]
        marked = {int(number) for number in numbers if len(number) < MAX_DIGITS}
        return replace(found, marked=marked, created=answer["created"])

    def note(self, delivery: Delivery, *, failed: bool) -> bytes:
        """The command that leaves a note of a delivery that is given back."""
        place, number = place_of(delivery)
        if delivery.moved is not None and delivery.moved.gave_way(place):
            return b""  # its note stands: whoever gets it next sees to the copy
        if number == 1 or delivery.looked_up:
            note = _own(delivery, number, delivery.attempt - (not failed), delivery.deaths)
        else:
            before = self._remembered.get(place)
            if before is None or before.delivery != number - 1:
                return self._notes.mark(place, number) if self._may_write else b""
            note = msgspec.structs.replace(before, delivery=number)
        self._remember(place, note)
        return self._notes.command(place, note) if self._may_write else b""

    async def begin_alone(self, delivery: Delivery) -> bool:
        """Leave a note, before the handler starts, that this delivery is a run of it.

        Returns:
            Whether it is stored.
        """
        place, number = place_of(delivery)
        try:
            note = _own(delivery, number, delivery.attempt, delivery.deaths + 1)
            await self._notes.write(place, note)
        except (ServerError, ConnectionLostError) as error:
            self._warn(NOT_ALONE, error)
            return False
        return True

    def on_refusal(self, refusal: Refusal) -> None:
        """The server refused something; perhaps the notes."""
        if refusal.operation == "publish" and (refusal.subject or "").startswith(
            f"{self._notes.subjects}."
        ):
            self._may_write = False

    def _remember(self, place: str, note: Note) -> None:
        self._remembered[place] = note
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    def _warn(self, what: str, error: object) -> None:
        now = monotonic()
        if now - self._warned_at.get(what, -WARN_EVERY) >= WARN_EVERY:
            self._warned_at[what] = now
            logger.warning("actor %r: %s: %s", self._actor.name, what, error)


def before(delivery: Delivery) -> Note:
    """What the event had behind it before it was copied; nothing where it is no copy."""
    return NOTHING if delivery.origin is None else delivery.origin.count


def _own(delivery: Delivery, number: int, attempts: int, deaths: int) -> Note:
    """The note of a delivery: what came before it was copied is in the copy."""
    base = before(delivery)
    claimed = delivery.moved or NOTHING
    return Note(
        number, attempts - base.attempts, deaths - base.deaths,
        claimed.due, claimed.token, claimed.taken_by,
    )  # fmt: skip


async def create_stream(link: Link, replicas: int) -> None:
    """Create the stream of the notes, or raise it to so many replicas.

    Raises:
        ServerError: the server refuses it, or does not answer.
    """
    await ensure_helper_stream(link, new_config(replicas, link.prefixes))


def new_config(replicas: int, prefixes: Prefixes) -> dict[str, Any]:
    """The configuration of a stream of notes that is not there yet."""
    subjects = prefixes.subject(NOTE_SUBJECTS)
    return {
        "name": prefixes.stream(NOTES),
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
