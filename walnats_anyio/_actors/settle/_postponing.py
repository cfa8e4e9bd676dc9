"""Retries that do not block: a copy of the event waits in the server, and the event is done with.

An event that waits for its retry by a nak keeps its place in `max_ack_pending`, so an outage of one
dependency stops the actor for everything. A server of 2.14 and later can keep a copy of it until it
is due (`_events/_schedules`); the copy is for this actor alone, and takes no place while it waits.

Why nothing is lost or doubled. There is no transaction over two streams, so the *note* of the event
(`_notes`) decides, as a log that is written ahead. It changes in these ways only, each of them a
compare-and-set on the number of the last note:

1. none, or one of earlier attempts -> *gave way*: attempts so far, when the copy is due, and a
   token. By whoever holds the event, when an attempt has ended and before the copy is written.
2. gave way -> *taken by* the place of the copy. By whoever gets the copy, before it is run, if
   the copy shows the token.
3. gave way -> taken by the event itself. By whoever gets the event again and cannot write the copy.
4. gave way -> taken by nobody, `0-0`. By whoever cancels the event (`_events/_retries`); so what
   comes of it later is acknowledged.

So once an event has given way, it is not run again, but by 3. Whoever gets it again finds the note,
writes the copy as the note says, and acknowledges the event:

| killed | then |
| --- | --- |
| before 1 | the event comes again after `ack_wait`; the attempt counts as a death, as ever |
| between 1 and the copy | the event comes again, and whoever gets it writes the copy |
| between the copy and the acknowledgement | the same; the copy is the same one: see below |
| between the arrival of the copy and 2 | the copy comes again |
| after 2 | the copy comes again; a death, as ever |

A copy that is written twice has the same subject, so the second takes the place of the first while
that waits, and the same `Nats-Msg-Id`, so it is dropped within the stream's window for duplicates.
If both come all the same, as the first had come when the second was written, one of them does 2,
and the other one, which finds another place there, is acknowledged (`Outcome.SUPERSEDED`). The same
holds where the server delivers a copy twice, such as after it was killed while one became due.

A stop in the middle of it hands the event back, and leaves the note: so it goes on as above.

Limits. Notes are kept for seven days: a copy that comes later than that runs, counts its attempts
on, and is identified as a message of its own. So does a copy without a note, or that finds a note
of an event which did not give way, as somebody has deleted or forged it. Whoever shows a token that
is not the one is acknowledged. Where notes cannot be read, the doubt goes in favour of the copy.
"""

from __future__ import annotations

import logging
import math
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.declare._fingerprint import KNOWS_ACTOR
from walnats_anyio._actors.settle._copies import (
    MAX_HEADERS,
    Origin,
    as_emitted,
    block_of,
    expiry_of,
    next_origin,
)
from walnats_anyio._actors.settle._notes import Note, Notes, first_place, place_of
from walnats_anyio._actors.settle._verdict import HandBack, Nak, Postpone, Postponed
from walnats_anyio._events import HEADER_ID, uid_in
from walnats_anyio._events._publication import publish
from walnats_anyio._events._retries import retry_subject
from walnats_anyio._events._schedules import (
    STREAM,
    due_subject,
    has_schedules,
    headers_at,
    known_schedules,
    takes_ttl,
)
from walnats_anyio._link import (
    ConnectionLostError,
    HeaderError,
    Link,
    ServerError,
    api,
    stream_config,
)

if TYPE_CHECKING:
    from walnats_anyio._actors.settle._delivery import Delivery

logger = logging.getLogger("walnats_anyio.actors")

LOOKED_FOR = 30.0
"""Seconds that what was found is relied on: who shares the stream of the event, and its limits."""

NOT_AGAIN_FOR = 60.0
"""Seconds without copies after one could not be written, or none can be."""

TRIES = 5
"""Times that a note is read again, as somebody else has changed it since."""

ADDED = 400
"""Bytes of headers that the server adds to a copy, but for names."""

MIN_LEFT = 1.0
"""Seconds that an event with a time to live must have left when its copy is due."""


class NotThereError(Exception):
    """A copy cannot be kept, for a reason that is no fault of anybody."""


class Postponing:
    """Has events of one actor wait in the server, as copies."""

    def __init__(self, actor: Actor[Any, Any], link: Link, notes: Notes) -> None:
        self._actor = actor
        self._link = link
        self._notes = notes
        self._not_before = -math.inf
        self._looked_until = -math.inf
        self._waiting_until = -math.inf
        """When the last of the copies is due that were written here."""
        self._largest = 0
        """Bytes that a message of the event's stream may have; 0: no copies can be."""
        self._max_age = actor.event.limits.age or 0.0
        """Seconds that the event's stream keeps a message; 0: for ever."""
        self._ends_in_time = False
        """Whether the stream takes a time to live from copies, where `max_age` bounds it."""
        self._lock: anyio.Lock | None = None
        self._said: set[str] = set()

    @property
    def is_possible(self) -> bool:
        """Whether copies are worth a try."""
        return self._link.now() >= self._not_before

    def server_time(self) -> float:
        """Seconds since 1970 on the clock of the server, as far as that is known."""
        return self._link.wall() + known_schedules(self._link, self._actor.event).ahead

    def early_by(self, delivery: Delivery) -> float:
        """Seconds until an event is due which is run itself, as its copy could not be written."""
        due = 0 if delivery.moved is None else delivery.moved.due
        return max(0.0, due / 1000 - self.server_time()) if due else 0.0

    async def postpone(self, delivery: Delivery, verdict: Postpone) -> Postponed | Nak | HandBack:
        """Store a copy that takes the place of the event; whoever calls this settles the event.

        Returns:
            What the server is to be told of the event: with a copy that it is done with, else as
            without.
        """
        try:
            await self._check_possible()
            await self._store(delivery, verdict)
        except NotThereError as reason:
            self._say(logging.INFO, str(reason))
        except (ServerError, ConnectionLostError) as error:
            self._on_failure(error)
        else:
            return Postponed(verdict.failed)
        return Nak(verdict.delay) if verdict.failed else HandBack(verdict.delay)

    async def _store(self, delivery: Delivery, verdict: Postpone) -> None:
        place, number = place_of(delivery)
        before = delivery.origin.count if delivery.origin is not None else Note()
        note = Note(
            delivery=number,
            attempts=delivery.attempt - (not verdict.failed) - before.attempts,
            deaths=delivery.deaths - before.deaths,
            due=round((self.server_time() + verdict.delay) * 1000),
            token=secrets.token_hex(8),
        )
        self._check_fits(delivery, note)
        delivery.moved = note = await self._give_way(place, note)
        if not note.taken_by:
            await self._write(delivery, note)

    async def _give_way(self, place: str, note: Note) -> Note:
        """Have an event give way, unless it has; gives the note that says so."""
        # Nobody has left a note of an event that comes for the first time.
        expected = 0 if note.delivery == 1 else None
        for _ in range(TRIES):
            if expected is None:
                found, expected = await self._notes.read(place)
                if found is not None and found.gave_way(place):
                    return found  # by another process, which held it as well
            if await self._notes.swap(place, note, expected):
                return note
            expected = None
        raise ServerError(f"the note of {place} changes all the time")

    async def _write(self, delivery: Delivery, note: Note) -> None:
        """Write the copy that a note speaks of; the same one, whoever does it, and how often."""
        place, _ = place_of(delivery)
        prefixes, event = self._link.prefixes, self._actor.event
        try:
            uid = uid_in(delivery.message.headers)
        except HeaderError:
            uid = None
        subject = retry_subject(
            prefixes, event.stream_name, self._actor.consumer_name, place,
            first_place(delivery), uid,
        )  # fmt: skip
        payload = delivery.message.data
        await publish(
            self._link, prefixes.stream(STREAM), subject, payload, self._block(delivery, note)
        )

        left = note.due / 1000 - self.server_time()
        self._waiting_until = max(self._waiting_until, self._link.now() + left)

    def _block(self, delivery: Delivery, note: Note) -> bytes:
        message, stream = delivery.message, self._actor.event.stream_name
        place, _ = place_of(delivery)
        origin = next_origin(place, delivery.origin, note)
        due = datetime.fromtimestamp(note.due / 1000, UTC)
        # A copy is a message of its own for the server, so its age begins anew.
        expiry = expiry_of(message, self._max_age if self._ends_in_time else 0.0)
        ttl = None if expiry is None else max(expiry - note.due / 1000, MIN_LEFT)
        orders = headers_at(due, due_subject(self._link.prefixes, stream), ttl)
        orders[HEADER_ID] = (
            f"retry:{stream}:{self._actor.consumer_name}:{place}:{origin.attempts}:{note.token}"
        )
        return block_of(message.header, self._actor.name, origin, orders)

    def _check_fits(self, delivery: Delivery, note: Note) -> None:
        message = delivery.message
        try:
            block, expiry = self._block(delivery, note), expiry_of(message, self._max_age)
        except ValueError as error:
            raise NotThereError(f"an event has a time to live that is none: {error}") from None
        if expiry is not None and expiry < note.due / 1000 + MIN_LEFT:
            raise NotThereError("an event expires before its retry")
        # A message that is too large for the event's stream would keep all others from it. The
        # server puts the subjects into headers, up to twice.
        added = ADDED + 3 * len(self._notes.subject) + 2 * len(self._actor.event.subject_name)
        size = len(block) + len(message.data) + added
        if size > min(self._largest, self._link.max_payload) or len(block) + added > MAX_HEADERS:
            raise NotThereError(f"an event is too large for a copy with {added} bytes more")

    # what comes

    async def accept(self, delivery: Delivery, origin: Origin) -> bool:
        """Take a copy that has come, if it is the one that takes the place of its event.

        Returns:
            Whether it is to be run.
        """
        place, _ = place_of(delivery)
        try:
            known = await self._take(origin, place)
        except (ServerError, ConnectionLostError) as error:
            self._say(logging.WARNING, f"the notes of a copy cannot be read, so it is run: {error}")
            known = True
        if known is False:
            return False
        if known is None:
            # Its attempts count, but whose event it is nobody can tell.
            delivery.origin = origin = replace(origin, first=place)
        delivery.message = as_emitted(delivery.message, origin)
        return True

    async def _take(self, origin: Origin, place: str) -> bool | None:
        """Whether it is the one; None: there is nothing that says of what."""
        for _ in range(TRIES):
            note, number = await self._notes.read(origin.before)
            if note is None or not note.due:
                return None
            if note.token != origin.token:
                return False
            if note.taken_by:
                return note.taken_by == place
            if await self._notes.swap(
                origin.before, msgspec.structs.replace(note, taken_by=place), number
            ):
                return True
        raise ServerError(f"the note of {origin.before} changes all the time")

    async def must_run(self, delivery: Delivery, note: Note) -> bool:
        """See that there is the copy of an event that gave way and comes again all the same.

        Returns:
            Whether the event itself is to be run, as there cannot be one.

        Raises:
            ServerError: neither can be written.
            ConnectionLostError: the link is closed for good.
        """
        if note.taken_by:
            return False
        try:
            await self._write(delivery, note)
        except (ServerError, ConnectionLostError) as error:
            self._on_failure(error)
        else:
            return False
        place, _ = place_of(delivery)
        for _ in range(TRIES):
            found, number = await self._notes.read(place)
            if found is None or not found.gave_way(place):
                return True
            if found.taken_by:
                return False
            delivery.moved = msgspec.structs.replace(found, taken_by=place)
            if await self._notes.swap(place, delivery.moved, number):
                return True
        raise ServerError(f"the note of {place} changes all the time")

    # whether there can be copies

    async def look_after(self) -> None:
        """While copies wait, see that they can reach the stream of the event; once a minute.

        A `register` of walnats 1.2 takes the source away, and then they stay where they are.
        """
        if self._link.now() > self._waiting_until + NOT_AGAIN_FOR:
            return
        try:
            await has_schedules(self._link, self._actor.event)
        except ConnectionLostError:
            return  # each actor hears of that from the link

    async def _check_possible(self) -> None:
        """Make sure that there may be copies.

        Raises:
            NotThereError: there may not, and for a while nobody asks again.
        """
        event = self._actor.event
        if self._lock is None:
            self._lock = anyio.Lock()
        async with self._lock:
            try:
                # It remembers the answer by itself.
                if not await has_schedules(self._link, event):
                    why = known_schedules(self._link, event).why_not
                    raise NotThereError(f"the server keeps no copies: {why}")
                if self._link.now() >= self._looked_until:
                    self._largest = await self._look()
                    self._looked_until = self._link.now() + LOOKED_FOR
            except NotThereError:
                self._not_before = self._link.now() + NOT_AGAIN_FOR
                raise

    async def _look(self) -> int:
        """Ask how large messages of the event's stream may be, if copies may be in it.

        Raises:
            NotThereError: they may not.
        """
        event = self._actor.event
        try:
            stranger = await find_stranger(self._link, event.stream_name, event.replicas)
            config = await stream_config(self._link, event.stream_name, replicas=event.replicas)
        except ServerError as error:
            raise NotThereError(f"who shares its stream cannot be seen: {error}") from error
        if stranger is not None:
            raise NotThereError(
                f"consumer {stranger!r} of stream {event.stream_name!r} would handle copies as "
                "well, as it is not one of walnats-anyio or was registered by an older one"
            )
        config = config or {}
        self._max_age = config.get("max_age", 0) / 1e9
        self._ends_in_time = bool(self._max_age) and await takes_ttl(self._link, event)
        # A stream never takes what is larger than all that it may hold.
        limits = (config.get("max_msg_size", -1), config.get("max_bytes", -1))
        return min((most for most in limits if most > 0), default=self._link.max_payload)

    def _on_failure(self, error: Exception) -> None:
        self._not_before = self._link.now() + NOT_AGAIN_FOR
        self._looked_until = -math.inf
        self._say(logging.WARNING, f"copies cannot be written: {error}")

    def _say(self, level: int, what: str) -> None:
        """Say a thing once."""
        if what not in self._said and len(self._said) < 100:
            self._said.add(what)
            logger.log(
                level,
                "actor %r: events keep their places in max_ack_pending until their retry: %s",
                self._actor.name, what,
            )  # fmt: skip


async def find_stranger(link: Link, stream: str, replicas: int) -> str | None:
    """The name of a consumer that would handle an event which is for one actor alone.

    Our `register` leaves a mark on each consumer. What has none is one of walnats, of a program
    that does not know of actors, or was registered by an older version of this library.

    Raises:
        ServerError: the server does not answer, or the user may not ask.
        ConnectionLostError: the link is closed for good.
    """
    seen = 0
    while True:
        answer = await api(
            link,
            f"CONSUMER.LIST.{stream}",
            {"offset": seen},
            replicas=replicas,
            optional=True,
        )
        consumers: list[dict[str, Any]] = answer.get("consumers") or []
        for each in consumers:
            if KNOWS_ACTOR not in (each["config"].get("metadata") or {}):
                return str(each.get("name"))
        seen += len(consumers)
        if seen >= answer.get("total", 0):
            return None
        if not consumers:
            return "(one that the server does not show)"
