"""Events on their way: what has been emitted and not yet acknowledged by its stream."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import anyio
import msgspec

from walnats_anyio._events._answers import NO_STREAM, Answer, read_answer
from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._publication import Publication, begins
from walnats_anyio._events._statistics import EmitStatistics
from walnats_anyio._events._stream_rules import other_owner, owned_by
from walnats_anyio._link import (
    ConnectionLostError,
    EmitError,
    Link,
    Message,
    MessageTooLargeError,
    PayloadTooLargeError,
    PendingRequest,
    is_answer,
    is_no_responders,
    not_enabled,
    pub,
)

logger = logging.getLogger("walnats_anyio.events")

MAX_OUTSTANDING = 4096
"""Events that may be on their way at once; at this many `emit` waits."""

MAX_OUTSTANDING_BYTES = 16 * 1024 * 1024
"""Bytes of them, likewise."""

MAX_ERRORS = 100
"""Failures that are kept to be raised; further ones are only counted."""

GONE_AFTER = 30.0
"""Seconds without anybody to take an event after which its stream counts as gone.

Electing a new leader of a replicated stream takes some seconds.
"""

LOOK_AFTER = 2.0
"""Seconds without an acknowledgement after which the stream of a first emit is looked for."""

LATE = "not acknowledged within the event's dedup_window: it may be in its stream, or not"

NOBODY = "no stream takes it: register the event first, and check that JetStream is enabled"


class Wakes(Protocol):
    """Whoever is told that a stream has an event, or does not take it."""

    def wake(self) -> None:
        """It is known now."""
        ...


class Outgoing(Publication):
    """One event on its way."""

    _emitter: Emitter
    event: EventOnWire
    batch: Batch
    error: EmitError | None = None
    _kept: bool = False
    _refused_since: float = math.inf
    _spot: Wakes | None = None
    said: bytes = b""
    """What its stream said last, where somebody waits for that."""

    def answered(self, message: Message) -> None:
        data = message.data
        # As in `Publication`: nearly always it is the acknowledgement. The hot path of emits.
        if data.startswith(self._acknowledgement) and b'"error":{' not in data:
            size = len(self.command)
            self.command = b""
            self._emitter.acknowledged(self.batch, size)
            if self._spot is not None:
                self.said = data
                self._spot.wake()
        else:
            self.said = data
            super().answered(message)

    def failed(self, reason: Exception) -> None:
        if isinstance(reason, PayloadTooLargeError):
            self.finish(str(reason), kind=MessageTooLargeError)
        elif isinstance(reason, TimeoutError):
            self.finish("; ".join(filter(None, (LATE, self._why_late()))))
        else:
            self.finish(str(reason))

    def _why_late(self) -> str:
        if trouble := self.link.trouble:
            return f"not connected: {trouble}"
        prefixes = self.link.prefixes
        refused = self._refused_since < math.inf and prefixes.elsewhere
        return not_enabled(prefixes) if refused else ""

    def nobody(self) -> None:
        """Nobody takes it ("no responders"): there is no stream, or JetStream is not there now.

        That the server stops, starts or elects a leader is no reason to give an event up before
        its `dedup_window`. That there is no stream is one, so the server is asked.
        """
        now = self.link.now()
        self._refused_since = min(self._refused_since, now)
        found_at = self._emitter.found_at.get(self.event.stream, math.inf)
        if now - max(self._refused_since, found_at) >= GONE_AFTER:
            self.finish(f"its stream {self.event.stream!r} does not take it: register the event")
        else:
            self._emitter.look_for_stream(self)
            self.link.retry_later(self)

    def stranger(self, answer: Answer) -> None:
        if answer.stream == self.event.stream:
            self._emitter.say_other_domain(self.event, answer.domain)
        # Perhaps another stream takes the subject as well, and the event's own is not there.
        self._emitter.look_for_stream(self)

    async def wait(self) -> None:
        """Wait for the acknowledgement.

        Raises:
            EmitError: the stream did not accept the event.
        """
        if self.command:
            self._spot = spot = self._emitter.link.new_spot()
            try:
                await spot.wait()
            except BaseException:
                # Whoever was to hear of a failure is cancelled: the next `flush` tells of it.
                if self.error is not None and not self._kept:
                    self._emitter.failed(self.error)
                raise
            finally:
                self._spot = None
        if self.error is not None:
            raise self.error

    def tell(self, waiting: Wakes | None) -> None:
        """Wake somebody who does not `wait` when its stream has answered; None: not any more."""
        self._spot = waiting

    def give_up(self, reason: str) -> None:
        """Give it up, unless it has been answered."""
        if self.command:
            self.link.drop(self)
            self.finish(reason)

    def keep_error(self) -> None:
        """Leave a failure to a later `wait` rather than to the next `flush`."""
        self._kept = True

    def release_error(self) -> None:
        """Leave a failure to the next `flush` after all."""
        self._kept = False
        if self.error is not None:
            self._emitter.failed(self.error)

    def finish(
        self,
        reason: str | None,
        code: int | None = None,
        *,
        kind: type[EmitError] = EmitError,
    ) -> None:
        size = len(self.command)
        self.command = b""
        if reason is not None:
            self._emitter.not_accepted += 1
            self.error = kind(f"event {self.event.name!r} was not accepted: {reason}")
        heard = self._kept or self._spot is not None
        self._emitter.finished(self.batch, size, None if heard else self.error)
        if self._spot is not None:
            self._spot.wake()


class Look(PendingRequest):
    """Asks whether the stream of an event is there, for events that nobody takes."""

    _emitter: Emitter
    _event: EventOnWire
    waiting: set[Outgoing] = msgspec.field(default_factory=set["Outgoing"])
    """Events that are given up if there is no stream."""

    def answered(self, message: Message) -> None:
        if not is_no_responders(message) and not is_answer(message):
            self._emitter.link.keep_waiting(self)
            return
        emitter, name, stream = self._emitter, self._event.name, self._event.stream
        emitter.looks.pop(stream, None)
        if is_no_responders(message):
            emitter.found_at.pop(stream, None)
            # JetStream is not there at all, or only for now.
            link = emitter.link
            # Somewhere else it may be cut off for a moment, whatever this server has itself.
            there = link.info.jetstream or link.prefixes.elsewhere
            missing = not (link.settling or there or name in emitter.confirmed)
            if link.prefixes.elsewhere:
                emitter.say_nobody(name)
        else:
            error = read_answer(message.data).error
            missing = error is not None and error.err_code in NO_STREAM
            if error is None and (owner := self._other_owner(message.data)) is not None:
                self._give_up(owned_by(name, stream, owner))
            elif error is None:
                emitter.found_at.setdefault(stream, emitter.link.now())
        if missing:
            self._give_up(NOBODY)

    def _other_owner(self, answer: bytes) -> str | None:
        """The event whose stream it is, where it is another event's."""
        config = _info_decoder.decode(answer).config
        subject = self._event.subject.decode()
        return other_owner(subject, self._event.stream, config.subjects)

    def _give_up(self, reason: str) -> None:
        self._emitter.confirmed.discard(self._event.name)
        self._emitter.on_missing()
        for outgoing in self.waiting:
            outgoing.give_up(reason)

    def failed(self, reason: Exception) -> None:
        emitter, name = self._emitter, self._event.name
        emitter.looks.pop(self._event.stream, None)
        if isinstance(reason, PermissionError) and name not in emitter.confirmed:
            # This user may not look, and there never was a stream as far as he knows.
            self._give_up(NOBODY)


class _Config(msgspec.Struct):
    subjects: list[str] = []


class _StreamInfo(msgspec.Struct):
    config: _Config


_info_decoder = msgspec.json.Decoder(_StreamInfo)


@dataclass(frozen=True, slots=True)
class EventOnWire:
    """What of an event its publications need."""

    name: str
    subject: bytes
    stream: str
    acknowledgement: bytes
    """What the acknowledgement of its stream begins with, nearly always."""
    largest: float
    """Bytes of payload and headers that its stream takes at most."""
    encode: Callable[[Any], bytes]
    """Of its serializer: `Event.encode` would be a call more."""

    @classmethod
    def of(cls, event: BaseEvent[Any], domain: str | None) -> EventOnWire:
        """Work out what its publications need, once for a connection."""
        stream = event.stream_name
        acknowledgement = begins(stream, domain)
        largest = math.inf if event.limits.message_size is None else event.limits.message_size
        subject, encode = event.subject_name.encode(), event.codec.encode
        return cls(event.name, subject, stream, acknowledgement, largest, encode)


class Batch:
    """The events on their way that were emitted between two calls of `flush`."""

    __slots__ = ("_all_acknowledged", "count")

    def __init__(self) -> None:
        self.count = 0
        self._all_acknowledged: anyio.Event | None = None

    async def acknowledged(self) -> None:
        """Wait until none of them is on its way."""
        if self.count:
            if self._all_acknowledged is None:
                self._all_acknowledged = anyio.Event()
            await self._all_acknowledged.wait()

    def none_left(self) -> None:
        """None of them is on its way any more."""
        if self._all_acknowledged is not None:
            self._all_acknowledged.set()


class Emitter:
    """Sends events, counts those on their way and keeps what failed."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.confirmed: set[str] = set()
        """Names of events whose streams are known to exist."""
        self.looks: dict[str, Look] = {}
        """The streams that are being looked for, by their names."""
        self.takes_batches: set[str] = set()
        """Names of events whose streams are known to take atomic batches."""
        self.found_at: dict[str, float] = {}
        """When a stream was found to be there although nobody took its event, by its name."""
        self.on_missing: Callable[[], object] = bool
        """Called when a stream is missing that there should be; `bool` does nothing."""
        self.left = False
        """Whether the connection is being left: whatever is emitted then would be lost with it."""
        self.outstanding = 0
        self.full = False
        self.not_accepted = 0
        """Events that failed, those that somebody waited for included."""
        self._emitted = 0
        self._batch = Batch()
        """Those emitted since the last flush."""
        self._batches = [self._batch]
        self._bytes = 0
        self._errors: list[EmitError] = []
        self._failed = 0
        self._waiting: set[anyio.Event] = set()
        self._said_nobody = False
        self._said_domain: set[str] = set()

    def send(self, event: EventOnWire, payload: bytes, headers: bytes, patience: float) -> Outgoing:
        """Hand an event over. Never blocks: the caller waits for `room` first when it is `full`.

        It counts as failed when it is not acknowledged within `patience` seconds.

        Raises:
            ConnectionLostError: the link is closed for good, or is being left.
        """
        if self.left:
            raise ConnectionLostError("the connection has been left")
        batch, link = self._batch, self.link
        outgoing = Outgoing(link, event.stream, event.acknowledgement, self, event, batch)
        link.publish(outgoing, event.subject, payload, headers)
        outgoing.expires_at = outgoing.sent_at + patience
        self.outstanding += 1
        self._emitted += 1
        batch.count += 1
        self._bytes += len(outgoing.command)
        self.full = self.outstanding >= MAX_OUTSTANDING or self._bytes >= MAX_OUTSTANDING_BYTES
        return outgoing

    @property
    def group(self) -> Batch:
        """Those emitted since the last flush."""
        return self._batch

    def begin_batch(self, count: int, size: int) -> None:
        """So many events are on their way, in `group`, as an atomic batch of so many bytes."""
        self.outstanding += count
        self._emitted += count
        self._batch.count += count
        self._bytes += size
        self.full = self.outstanding >= MAX_OUTSTANDING or self._bytes >= MAX_OUTSTANDING_BYTES

    def end_batch(self, batch: Batch, count: int, size: int, *, failed: bool) -> None:
        """They are not on their way any more."""
        if failed:
            self.not_accepted += count
        self.outstanding -= count - 1
        batch.count -= count - 1
        self.acknowledged(batch, size)

    async def confirm(self, outgoing: Outgoing) -> None:
        """Wait for the acknowledgement that tells that an event has a stream.

        Raises:
            EmitError: it has none, or the stream does not accept it.
        """
        outgoing.keep_error()
        try:
            with anyio.move_on_after(LOOK_AFTER) as patience:
                await outgoing.wait()
            if patience.cancelled_caught:
                # Without a stream there is nobody to refuse it, when anybody else listens to it.
                self.look_for_stream(outgoing)
                await outgoing.wait()
        except EmitError:
            raise
        except BaseException:
            outgoing.release_error()
            raise
        self.confirmed.add(outgoing.event.name)

    def finished(self, batch: Batch, size: int, error: EmitError | None) -> None:
        """One event is not on its way any more."""
        if error is not None:
            self.failed(error)
        self.acknowledged(batch, size)

    def acknowledged(self, batch: Batch, size: int) -> None:
        """One event is not on its way any more, and its failure, if there is one, is kept."""
        self.outstanding -= 1
        self._bytes -= size
        batch.count -= 1
        if not batch.count:
            batch.none_left()
        if self.full:
            self.full = self.outstanding >= MAX_OUTSTANDING or self._bytes >= MAX_OUTSTANDING_BYTES
        # Whoever waits for room is woken at three quarters: a wake-up serves many emits, not one.
        if self._waiting and self._roomy():
            for waiter in self._waiting:
                waiter.set()

    def failed(self, error: EmitError) -> None:
        """Keep a failure that nobody waits for."""
        self._failed += 1
        if len(self._errors) < MAX_ERRORS:
            self._errors.append(error)

    def not_sent(self, event: str, reason: object) -> None:
        """Count an event that was accepted from the program and cannot be sent as failed."""
        self._emitted += 1
        self.not_accepted += 1
        self.failed(EmitError(f"event {event!r} was not accepted: {reason}"))

    def look_for_stream(self, outgoing: Outgoing) -> None:
        """Find out whether there is a stream for an event; give the event up if there is none."""
        event = outgoing.event
        look = self.looks.get(event.stream)
        if look is None:
            self.looks[event.stream] = look = Look(self, event)
            look.reply = self.link.new_reply()
            look.command = pub(self._info_of(event), b"", look.reply)
            look.expires_at = self.link.now() + GONE_AFTER
            self.link.send(look)
        look.waiting.add(outgoing)

    def _info_of(self, event: EventOnWire) -> str:
        return self.link.prefixes.api_subject(f"STREAM.INFO.{event.stream}")

    def say_nobody(self, event: str) -> None:
        """Say, once, that JetStream does not answer where it is said to be."""
        if not self._said_nobody:
            self._said_nobody = True
            logger.warning("event %r: %s; it is sent again", event, not_enabled(self.link.prefixes))

    def say_other_domain(self, event: EventOnWire, domain: str) -> None:
        """Say, once for an event, that a stream in another domain keeps it too."""
        if event.name not in self._said_domain:
            self._said_domain.add(event.name)
            where = f"domain {domain!r}" if domain else "no domain"
            logger.warning(
                "event %r: a stream %r of %s takes it as well, which does not count, as this "
                "connection has domain=%r. Where an account imports the API under that name, pass "
                "js_prefix=%r",
                event.name, event.stream, where, self.link.prefixes.domain, self.link.prefixes.api,
            )  # fmt: skip

    async def room(self) -> None:
        """Wait until another event may be sent."""
        while self.full:
            await self._wake_up()

    def on_their_way(self) -> list[Batch]:
        """The events on their way now; what is emitted later is in none of these batches."""
        batches = [batch for batch in self._batches if batch.count]
        if self._batch.count:
            self._batch = Batch()
        self._batches = [*batches, self._batch]
        return batches

    def raise_failures(self) -> None:
        """Raise what failed since the last call.

        Raises:
            EmitError: the only failure, or one that holds the first of them in `errors`.
        """
        errors, count = self._errors, self._failed
        if not errors:
            return
        self._errors, self._failed = [], 0
        raise one_error(errors, count)

    def statistics(self) -> EmitStatistics:
        """What was emitted so far. Never blocks."""
        return EmitStatistics(
            connection=self.link.statistics(),
            emitted=self._emitted,
            acknowledged=self._emitted - self.not_accepted - self.outstanding,
            failed=self.not_accepted,
            outstanding=self.outstanding,
            outstanding_bytes=self._bytes,
            waiting=len(self._waiting),
        )

    async def _wake_up(self) -> None:
        waiter = anyio.Event()
        self._waiting.add(waiter)
        try:
            await waiter.wait()
        finally:
            self._waiting.discard(waiter)

    def _roomy(self) -> bool:
        return (
            self.outstanding <= MAX_OUTSTANDING * 3 // 4
            and self._bytes <= MAX_OUTSTANDING_BYTES * 3 // 4
        )


def one_error(errors: list[EmitError], count: int) -> EmitError:
    """One error for so many, of which the first ones are given."""
    if count == 1:
        return errors[0]
    return EmitError(f"{count} events were not accepted, the first: {errors[0]}", tuple(errors))


async def failures_of(outgoing: list[Outgoing]) -> list[EmitError]:
    """Wait for all of them, and give what failed."""
    errors: list[EmitError] = []
    for one in outgoing:
        try:
            await one.wait()
        except EmitError as error:
            errors.append(error)
    return errors
