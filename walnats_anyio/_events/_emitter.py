"""Events on their way: what has been emitted and not yet acknowledged by its stream."""

from __future__ import annotations

import math

import anyio

from walnats_anyio._events._answers import PASSING, read_answer
from walnats_anyio._events._stream_rules import other_owner, owned_by
from walnats_anyio._link import (
    STREAM_NOT_FOUND,
    Ask,
    EmitError,
    Link,
    Message,
    WalnatsError,
    pub,
    status_of,
    stream_config,
)

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


class Outgoing(Ask):
    """One event on its way."""

    __slots__ = ("_done", "_emitter", "_kept", "_refused_since", "error", "event_name")

    def __init__(self, emitter: Emitter, event_name: str) -> None:
        super().__init__()
        self.event_name = event_name
        self.error: EmitError | None = None
        self._kept = False
        self._refused_since = math.inf
        self._emitter = emitter
        self._done: anyio.Event | None = None

    def answered(self, message: Message) -> None:
        data = message.data
        # Nearly every answer is {"stream":"...","seq":1}: it is not worth decoding.
        if data.startswith(b'{"stream":') and b'"error":{' not in data:
            self._finish(None)
        elif status_of(message.headers) == "503":
            self._again() if self._may_be_up_soon() else self._finish(NOBODY)
        else:
            answer = read_answer(data)
            if answer.error is None:
                # Anybody may listen to the subject, and answer: only the stream's answer counts.
                self._emitter.link.wait_on(self)
            elif answer.error.err_code in PASSING:
                self._again()
            else:
                self._finish(answer.error.description)

    def gave_up(self, reason: Exception) -> None:
        self._finish(LATE if isinstance(reason, TimeoutError) else str(reason))

    def _may_be_up_soon(self) -> bool:
        """Whether "no responders" may only mean a server that stops or starts just now."""
        link = self._emitter.link
        self._refused_since = min(self._refused_since, link.now())
        if link.settling:
            return True
        if self.event_name not in self._emitter.confirmed:
            return False
        self._emitter.look_for_stream(self.event_name)
        return link.now() - self._refused_since < GONE_AFTER

    def _again(self) -> None:
        self._emitter.link.again(self)

    async def wait(self) -> None:
        """Wait for the acknowledgement.

        Raises:
            EmitError: the stream did not accept the event.
        """
        if self.command:
            self._done = anyio.Event()
            try:
                await self._done.wait()
            except BaseException:
                # Whoever was to hear of a failure is cancelled: the next `flush` tells of it.
                if self.error is not None and not self._kept:
                    self._emitter.failed(self.error)
                raise
            finally:
                self._done = None
        if self.error is not None:
            raise self.error

    def fail(self, reason: str) -> None:
        """Give it up, unless it has been answered."""
        if self.command:
            self._emitter.link.drop(self)
            self._finish(reason)

    def keep_error(self) -> None:
        """Leave a failure to a later `wait` rather than to the next `flush`."""
        self._kept = True

    def release_error(self) -> None:
        """Leave a failure to the next `flush` after all."""
        self._kept = False
        if self.error is not None:
            self._emitter.failed(self.error)

    def _finish(self, reason: str | None) -> None:
        size = len(self.command)
        self.command = b""
        if reason is not None:
            self.error = EmitError(f"event {self.event_name!r} was not accepted: {reason}")
        heard = self._kept or self._done is not None
        self._emitter.finished(size, None if heard else self.error)
        if self._done is not None:
            self._done.set()


class Look(Ask):
    """Asks whether a stream is still there."""

    __slots__ = ("_emitter", "_event_name")

    def __init__(self, emitter: Emitter, event_name: str) -> None:
        super().__init__()
        self._emitter = emitter
        self._event_name = event_name

    def answered(self, message: Message) -> None:
        self._emitter.looking.discard(self._event_name)
        if b'"err_code":%d' % STREAM_NOT_FOUND in message.data:
            # From now on "nobody takes it" is final.
            self._emitter.confirmed.discard(self._event_name)

    def gave_up(self, reason: Exception) -> None:
        self._emitter.looking.discard(self._event_name)


class Emitter:
    """Sends events, counts those on their way and keeps what failed."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.confirmed: set[str] = set()
        """Names of events whose streams are known to exist."""
        self.looking: set[str] = set()
        """Names of events whose streams are being looked for."""
        self.outstanding = 0
        self.full = False
        self._bytes = 0
        self._errors: list[EmitError] = []
        self._failed = 0
        self._waiting: set[anyio.Event] = set()

    def send(
        self, event_name: str, subject: str, payload: bytes, headers: bytes, patience: float
    ) -> Outgoing:
        """Hand an event over. Never blocks: the caller waits for `room` first when it is `full`.

        It counts as failed when it is not acknowledged within `patience` seconds.
        """
        outgoing = Outgoing(self, event_name)
        link = self.link
        outgoing.reply = reply = link.new_reply()
        outgoing.command = command = pub(subject, payload, reply, headers)
        link.ask(outgoing)
        outgoing.expires_at = outgoing.sent_at + patience
        self.outstanding += 1
        self._bytes += len(command)
        self.full = self.outstanding >= MAX_OUTSTANDING or self._bytes >= MAX_OUTSTANDING_BYTES
        return outgoing

    async def confirm(self, outgoing: Outgoing, stream: str) -> None:
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
                if await stream_config(self.link, stream) is None:
                    outgoing.fail(NOBODY)
                await outgoing.wait()
        except EmitError as error:
            if NOBODY in str(error):
                await self._say_whose(outgoing.event_name, stream)
            raise
        except BaseException:
            outgoing.release_error()
            raise
        self.confirmed.add(outgoing.event_name)

    async def _say_whose(self, event_name: str, stream: str) -> None:
        """Find out whether nobody takes an event because its stream is another event's.

        Raises:
            EmitError: it is.
        """
        try:
            config = await stream_config(self.link, stream)
        except WalnatsError:
            return  # no JetStream, or not allowed to look: the first error says what can be said
        owner = other_owner(event_name, stream, (config or {}).get("subjects"))
        if owner is not None:
            raise EmitError(owned_by(event_name, stream, owner))

    def finished(self, size: int, error: EmitError | None) -> None:
        self.outstanding -= 1
        self._bytes -= size
        if error is not None:
            self.failed(error)
        self.full = self.outstanding >= MAX_OUTSTANDING or self._bytes >= MAX_OUTSTANDING_BYTES
        # Whoever waits for room is woken at three quarters: a wake-up serves many emits, not one.
        if self._waiting and (self.outstanding == 0 or self._roomy()):
            for waiter in self._waiting:
                waiter.set()

    def failed(self, error: EmitError) -> None:
        """Keep a failure that nobody waits for."""
        self._failed += 1
        if len(self._errors) < MAX_ERRORS:
            self._errors.append(error)

    def look_for_stream(self, event_name: str) -> None:
        """Find out whether an event that nobody takes has lost its stream for good."""
        if event_name in self.looking:
            return
        self.looking.add(event_name)
        look = Look(self, event_name)
        look.reply = self.link.new_reply()
        stream = event_name.replace(".", "-")
        look.command = pub(f"$JS.API.STREAM.INFO.{stream}", b"", look.reply)
        look.expires_at = self.link.now() + GONE_AFTER
        self.link.ask(look)

    async def room(self) -> None:
        """Wait until another event may be sent."""
        while self.full:
            await self._wake_up()

    async def drained(self) -> None:
        """Wait until nothing is on its way."""
        while self.outstanding:
            await self._wake_up()

    def raise_failures(self) -> None:
        """Raise what failed since the last call.

        Raises:
            EmitError: the only failure, or one that holds the first of them in `errors`.
        """
        errors, count = self._errors, self._failed
        if not errors:
            return
        self._errors, self._failed = [], 0
        if count == 1:
            raise errors[0]
        raise EmitError(f"{count} events were not accepted, the first: {errors[0]}", tuple(errors))

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


async def failures_of(outgoing: list[Outgoing]) -> list[EmitError]:
    """Wait for all of them, and give what failed."""
    errors: list[EmitError] = []
    for one in outgoing:
        try:
            await one.wait()
        except EmitError as error:
            errors.append(error)
    return errors
