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

When notes cannot be read or written, the doubt goes in favour of the event: it is run.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Set
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._events._publication import publish
from walnats_anyio._link import (
    ConnectionLostError,
    Link,
    Message,
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
"""Seconds between two warnings that notes cannot be read."""

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
        return cls(*map(int, parts))


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
        self._warned_at = -WARN_EVERY

    def is_first(self, reply: bytes) -> bool:
        """Whether the event was never delivered to this actor before."""
        tokens, at = _tokens(reply)
        if tokens[at] != "1":
            return False
        self.first = (".".join(tokens[: at + 1]) + ".").encode()
        return True

    def knows(self, delivery: Delivery) -> bool:
        """Whether this process itself has given the event back, at its last delivery."""
        event, number = _event_and_delivery(delivery.message.reply)
        note = self._remembered.get(event)
        return note is not None and note.delivery == number - 1

    async def look_up(self, delivery: Delivery) -> bool:
        """Find out which attempt a delivery is, and whether it is to be run alone.

        Returns:
            Whether it may be run; not when the last attempt that was allowed never ended.
        """
        event, number = _event_and_delivery(delivery.message.reply)
        note = self._remembered.get(event)
        marked: Set[int] = frozenset()
        delivery.looked_up = True
        if note is None or note.delivery != number - 1:
            try:
                note, marked = await self._read(event, number)
            except (ServerError, ConnectionLostError) as error:
                self._warn(error)
                # In favour of the event: at least one more attempt.
                most = number if self._most is None else self._most
                delivery.attempt = max(1, min(number, most))
                return True
        known = before_delivery(note, number, self._most, marked)
        delivery.attempt = known.attempts + 1
        delivery.deaths = known.deaths
        delivery.alone = must_be_alone(known, self._most)
        return self._most is None or known.attempts < self._most

    async def _read(self, event: str, number: int) -> tuple[Note | None, Set[int]]:
        note, marked = await self._ask_all(event, number)
        known = before_delivery(note, number, self._most, marked)
        given_up = self._most is not None and known.attempts >= self._most
        if given_up and (note is None or note.delivery < number - 1):
            # The note may be under way from another process.
            await anyio.sleep(LOOK_AGAIN_AFTER)
            note, marked = await self._ask_all(event, number)
        return note, marked

    async def _ask_all(self, event: str, number: int) -> tuple[Note | None, Set[int]]:
        note = await self._ask(event)
        if note is not None and note.delivery == number - 1:
            return note, frozenset()
        return note, await self._marks(event)

    async def _marks(self, event: str) -> Set[int]:
        """The deliveries of an event that were given back before its note was read."""
        wanted = {"subjects_filter": f"{self._subject}.{event}.*"}
        answer = await api(self._link, f"STREAM.INFO.{self._stream}", wanted)
        found = [subject.rpartition(".")[2] for subject in answer["state"].get("subjects") or ()]
        return {int(number) for number in found if number.isdigit() and len(number) < MAX_DIGITS}

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
        return Note.of(message.data)

    def note(self, delivery: Delivery, *, failed: bool) -> bytes:
        """The command that leaves a note of a delivery that is given back."""
        event, number = _event_and_delivery(delivery.message.reply)
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

    async def begin_alone(self, delivery: Delivery) -> None:
        """Leave a note, before the handler starts, that this delivery is a run of it.

        Raises:
            ServerError: the note is not stored.
            ConnectionLostError: the link is closed for good.
        """
        event, number = _event_and_delivery(delivery.message.reply)
        note = Note(number, delivery.attempt, delivery.deaths + 1)
        subject = f"{self._subject}.{event}"
        await publish(self._link, self._stream, subject, note.to_wire(), b"")

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

    def _warn(self, error: Exception) -> None:
        now = monotonic()
        if now - self._warned_at >= WARN_EVERY:
            self._warned_at = now
            logger.warning(
                "actor %r: the notes of attempts cannot be read, so every delivery counts as one: "
                "%s", self._actor.name, error,
            )  # fmt: skip


def _is_note(message: Message) -> bool:
    return bool(message.header)


async def create_stream(link: Link, replicas: int) -> None:
    """Create the stream of the notes, or raise it to so many replicas.

    Raises:
        ServerError: the server refuses it, or does not answer.
    """
    subjects = link.prefixes.subject(SUBJECTS)
    config = {
        "name": link.prefixes.stream(STREAM),
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
    await ensure_helper_stream(link, config)


def _tokens(reply: bytes) -> tuple[list[str], int]:
    """The tokens of a reply subject, and where the number of deliveries is."""
    tokens = reply.decode().split(".")
    return tokens, 4 if len(tokens) == V1_TOKENS else 6


def _event_and_delivery(reply: bytes) -> tuple[str, int]:
    """What identifies the event for ever, and how often it has been delivered."""
    tokens, at = _tokens(reply)
    return f"{tokens[at + 1]}-{tokens[at + 3]}", int(tokens[at])
