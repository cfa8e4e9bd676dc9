"""Emitting: events of a registry over one connection."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from inspect import isasyncgen
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from walnats_anyio._events._atomic import (
    ROOM,
    EncodedMessage,
    check_headers,
    check_server,
    collect,
    emit_atomically,
)
from walnats_anyio._events._current import current_job
from walnats_anyio._events._emitter import (
    Emitter,
    EventOnWire,
    Outgoing,
    failures_of,
    one_error,
)
from walnats_anyio._events._event import BaseEvent, in_namespace
from walnats_anyio._events._headers import header_block
from walnats_anyio._events._held import check_event, encode, refuse_size
from walnats_anyio._events._statistics import EmitStatistics
from walnats_anyio._events._streams import register_streams
from walnats_anyio._link import (
    Connected,
    EmitError,
    Link,
    Prefixes,
    Server,
    open_link,
)
from walnats_anyio._link._again import refuse_again

if TYPE_CHECKING:
    from walnats_anyio._events._registry import Events

T = TypeVar("T")

C = TypeVar("C", bound="ConnectedEvents")

logger = logging.getLogger("walnats_anyio.events")

CHECKPOINT_EVERY = 128
"""Emits after which one is a checkpoint, which also sends them.

With 32, the turns of the event loop and the system calls are 5 to 10 % of the CPU of an emit.
"""

CHECKPOINT_AFTER = 0.001
"""Seconds after which an emit is one in any case, as large messages take longer to encode."""

LEAVE_WITHIN = 2.0
"""Seconds that a connection still waits for acknowledgements when its body has failed."""


class ConnectedEvents(Connected):
    """The events of a registry, connected to NATS. Made by `Events.connect`.

    Emitting is safe from any number of tasks. No emit outlives its connection: leaving
    `async with events.connect()` waits for every acknowledgement and raises what failed. After an
    exception in its body it waits for 2 seconds at most, and what is not acknowledged by then is
    logged.
    """

    __slots__ = (
        "_breathed_at", "_check_cancelled", "_emitter", "_events", "_hand_over", "_middlewares",
        "_on_server", "_on_wire", "_registry", "_until_checkpoint",
    )  # fmt: skip

    def __init__(self, events: Events, link: Link) -> None:
        super().__init__(link)
        self._registry = events
        self._middlewares = events.middlewares
        self._events = {event.name: event for event in events}
        self._on_server = [in_namespace(event, link.prefixes) for event in events]
        self._on_wire = {
            event.name: EventOnWire.of(event, link.prefixes.domain) for event in self._on_server
        }
        self._emitter = Emitter(link)
        self._hand_over = link.backend.atomic(self._emitter.send)
        self._check_cancelled = link.backend.checkpoint_if_cancelled
        self._until_checkpoint = CHECKPOINT_EVERY
        self._breathed_at = monotonic()

    def __repr__(self) -> str:
        return (
            f"<ConnectedEvents of {self._registry!r}, {self._link.state}, "
            f"{self._emitter.outstanding} outstanding>"
        )

    async def register(
        self, *, create: bool = True, update: bool = True, force: bool = False
    ) -> None:
        """Make the streams of all events on the server what the events declare.

        Of a stream that exists it changes limits, replicas, the dedup window and the description,
        and nothing that would drop events that wait. What the declaration does not name
        (compression, placement, ...) is left as the server has it.

        It keeps the schema of the messages in the stream's metadata, where the server and the
        permissions of the user let it. It logs a warning where the event cannot read what the
        version of it that was registered before wrote.

        Blocks for one to three requests to the server for each event. Can be called any number of
        times, by any number of processes.

        Args:
            create: create streams that are missing.
            update: update streams whose configuration differs.
            force: also change subjects, retention and discard policy of a stream that somebody
                made for something else, and lower limits although events are dropped for it.
                Messages that no actor waits for may be lost. As NATS cannot change the storage, a
                stream with another one is made anew if it has no messages and no consumers.

        Raises:
            ValueError: `force` without `update`.
            StreamExistsError: a stream exists with another configuration and `update` is False.
            StreamConfigError: a stream is missing and `create` is False; it belongs to another
                event; it has fields that only `force` changes, or with which it cannot keep
                events; or the server refuses the configuration, for instance as another stream
                has the subject.
            ServerError: the server does not answer within 5 seconds (20 for what has replicas), or
                has no JetStream.
            ExceptionGroup: more than one event failed; holds these errors.
        """
        if force and not update:
            raise ValueError("force=True changes streams, so it needs update=True")
        await register_streams(
            self._link,
            self._on_server,
            self._emitter.confirmed,
            create=create,
            update=update,
            force=force,
        )

    async def emit(
        self,
        event: BaseEvent[T],
        message: T,
        *,
        uid: str | None = None,
        trace_id: str | None = None,
        meta: Mapping[str, str] | None = None,
        sync: bool = False,
    ) -> None:
        """Emit an event: every actor of the event gets the message.

        Hands the event over and returns; the connection awaits the acknowledgement. An event that
        was not acknowledged is sent again every 4 seconds and after every reconnect, for up to the
        event's `dedup_window`; so without `uid` it may be stored twice when a connection breaks.

        Blocks only while 4,096 events or 16 MiB are on their way, at the first emit of an event
        that this connection has not registered (its acknowledgement tells that there is a stream),
        and with `sync`. Each call looks for a cancellation; one of 128, and the first after a
        millisecond, lets other tasks run. Cancelling it does not take an event back that was
        handed over.

        Args:
            event: an event of the registry.
            message: of the event's schema.
            uid: what identifies this message. The stream drops a second one with the same `uid`
                within the event's `dedup_window`. None: nothing is dropped.
            trace_id: the trace this belongs to; contexts and middlewares of the actors see it.
                None: that of the job that emits it, where a handler does. An empty text: none.
            meta: further headers. They reach middlewares, not the handler.
            sync: wait for the stream's acknowledgement.

        Raises:
            TypeError: the message is not of the event's schema, or `event` is not an event.
            ValueError: the event is not in the registry, or a header cannot be sent.
            MessageTooLargeError: the encoded message is larger than the server takes.
            EmitError: the stream did not accept it (only where this call waits for that).
            ConnectionLostError: the connection is closed for good.
        """
        await self._check_cancelled()
        self._until_checkpoint -= 1
        late = monotonic() - self._breathed_at > CHECKPOINT_AFTER
        if late or not self._until_checkpoint or self._emitter.full:
            await self._make_way()
        on_wire, payload, headers = self._prepare(event, message, uid, trace_id, meta)
        outgoing = self._hand_over(on_wire, payload, headers, event.dedup_window)
        if event.name not in self._emitter.confirmed:
            await self._emitter.confirm(outgoing)
        elif sync:
            await outgoing.wait()
            self._breathed_at = monotonic()

    async def emit_many(
        self,
        event: BaseEvent[T],
        messages: Iterable[T] | AsyncIterable[T],
        *,
        uid: Callable[[T], str] | None = None,
        trace_id: str | None = None,
        meta: Mapping[str, str] | None = None,
        sync: bool = False,
        atomic: bool = False,
    ) -> None:
        """Emit one event for each message, in order.

        Messages are taken one by one, so an endless or an asynchronous iterable is fine. Where one
        of them raises, those before it have been emitted. An async generator is closed in any case,
        before this returns or raises.

        With `atomic` all of the messages are stored, or none, next to each other in the stream
        (NATS ADR-50). They are taken and encoded first, so nothing is sent where one of them
        raises. It waits for the acknowledgement, sends the batch again as a whole where that does
        not come, and stores it once all the same. Cancelled, or not acknowledged in time, the batch
        is in its stream as a whole, or not at all. It needs nats-server 2.12.1 or later, a stream
        that `register` has made or updated there, and the permission to look at the stream
        (`$JS.API.STREAM.INFO`). With `uid`, a batch whose `uid`s are all in the stream already is
        done with; if only some are, it is refused.

        Args:
            event: an event of the registry.
            messages: each of the event's schema.
            uid: gives the `uid` of a message.
            trace_id: the same for all, see `emit`.
            meta: the same for all, see `emit`.
            sync: wait until all of them are acknowledged.
            atomic: store all of them or none: at most 1,000.

        Raises:
            EmitError: with `sync`: the first message that was not accepted, or one error that
                holds the failures in `errors`. With `atomic`: none was accepted; or the
                acknowledgement did not come in time; or the server, or the stream, takes no atomic
                batches.
            ValueError: with `atomic`: there are more than 1,000 messages, or two with one `uid`.
            Exception: what `emit` raises, and what the iterable or `uid` does.
        """
        if atomic:
            await self._emit_atomically(event, messages, uid, trace_id, meta)
            return
        waited: list[Outgoing] = []

        async def emit_one(message: T) -> None:
            unique = None if uid is None else uid(message)
            waited.extend(await self._emit_one(event, message, unique, trace_id, meta, sync))

        await checkpoint()
        try:
            if isinstance(messages, AsyncIterable):
                async with _closing(messages):
                    async for message in messages:
                        await emit_one(message)
            else:
                for message in messages:
                    await emit_one(message)
            errors = await failures_of(waited)
        except BaseException:
            for outgoing in waited:
                outgoing.release_error()
            raise
        if errors:
            raise one_error(errors, len(errors))

    async def _emit_atomically(
        self,
        event: BaseEvent[T],
        messages: Iterable[T] | AsyncIterable[T],
        uid: Callable[[T], str] | None,
        trace_id: str | None,
        meta: Mapping[str, str] | None,
    ) -> None:
        await checkpoint()
        await self.check_atomic(event)
        encoded: list[EncodedMessage] = []
        for message in await collect(messages):
            encoded.append(self.prepare_for_batch(event, message, uid, trace_id, meta))
            if monotonic() - self._breathed_at > CHECKPOINT_AFTER:
                await self._make_way()
        await self.send_batch(event, encoded)

    async def check_atomic(self, event: BaseEvent[Any]) -> None:
        """Refuse an event whose stream takes no atomic batches."""
        self._check_known(event)
        await check_server(self._emitter, in_namespace(event, self._link.prefixes))

    def prepare_for_batch(
        self,
        event: BaseEvent[T],
        message: T,
        uid: Callable[[T], str] | None,
        trace_id: str | None,
        meta: Mapping[str, str] | None,
    ) -> EncodedMessage:
        """Check and encode one message of an atomic batch; safe in any thread."""
        unique = None if uid is None else uid(message)
        on_wire, payload, headers = self._prepare(event, message, unique, trace_id, meta)
        check_headers(headers)
        size = len(payload) + len(headers) + ROOM
        if size > on_wire.largest or size > self._link.info.max_payload:
            refuse_size(event, self._link, size)
        return EncodedMessage(payload, headers)

    async def send_batch(self, event: BaseEvent[Any], messages: Sequence[EncodedMessage]) -> None:
        """Send an atomic batch, and wait until it is stored."""
        if messages:
            on_wire = self._on_wire[event.name]
            await emit_atomically(self._emitter, on_wire, messages, event.dedup_window)

    def _check_known(self, event: BaseEvent[Any]) -> None:
        known = self._events.get(getattr(event, "name", ""))
        if known is None or (known is not event and known != event):
            check_event(event)
            raise ValueError(
                f"event {event.name!r} is not in the registry this connection was made from: "
                "add it to Events(...)"
            )

    async def _emit_one(
        self,
        event: BaseEvent[T],
        message: T,
        uid: str | None,
        trace_id: str | None,
        meta: Mapping[str, str] | None,
        sync: bool,
    ) -> tuple[Outgoing, ...]:
        """One of many; gives what is to be waited for."""
        self._until_checkpoint -= 1
        late = monotonic() - self._breathed_at > CHECKPOINT_AFTER
        if late or not self._until_checkpoint or self._emitter.full:
            await self._make_way()
        on_wire, payload, headers = self._prepare(event, message, uid, trace_id, meta)
        outgoing = self._hand_over(on_wire, payload, headers, event.dedup_window)
        if sync:
            outgoing.keep_error()
            return (outgoing,)
        if event.name not in self._emitter.confirmed:
            await self._emitter.confirm(outgoing)
        return ()

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until every event emitted so far is acknowledged.

        What is emitted while it waits is not waited for.

        Args:
            timeout: seconds to wait at most. None: as long as it takes, which is at most the
                `dedup_window` of the events.

        Raises:
            EmitError: an event was not accepted since the last `flush`.
            TimeoutError: some of them are still on their way after `timeout` seconds; they stay so.
            ValueError: `timeout` is negative.
        """
        check_timeout(timeout)
        await checkpoint()
        batches = self._emitter.on_their_way()
        try:
            with anyio.fail_after(timeout):
                for batch in batches:
                    await batch.acknowledged()
        except TimeoutError:
            left = sum(batch.count for batch in batches)
            raise late(left, timeout) from None
        self._emitter.raise_failures()

    def statistics(self) -> EmitStatistics:
        """What was emitted so far, and the state of the connection, at this moment.

        Never blocks, sends nothing, and costs some microseconds. Call it in the thread of the event
        loop.
        """
        return self._emitter.statistics()

    def _prepare(
        self,
        event: BaseEvent[T],
        message: T,
        uid: str | None,
        trace_id: str | None,
        meta: Mapping[str, str] | None,
    ) -> tuple[EventOnWire, bytes, bytes]:
        """Check what is to be emitted, and build payload and headers; safe in any thread."""
        known = self._events.get(getattr(event, "name", ""))
        if known is None or (known is not event and known != event):
            self._check_known(event)
        if trace_id is None and (job := current_job.get()) is not None:
            trace_id = job.trace_id
        on_wire = self._on_wire[event.name]
        if self._middlewares:
            payload, headers = encode(event, message, uid, trace_id, meta, self._middlewares)
        else:
            try:
                payload = on_wire.encode(message)
            except Exception:  # noqa: BLE001 - a serializer may raise anything
                payload = event.encode(message)  # raises it again, with the name of the event
            if uid is None and trace_id is None and meta is None:
                headers = b""
            else:
                headers = header_block(uid, trace_id, meta)
        size = len(payload) + len(headers)
        if size > on_wire.largest or size > self._link.info.max_payload:
            refuse_size(event, self._link, size)
        return on_wire, payload, headers

    async def _make_way(self) -> None:
        """Let other tasks run, and wait until not too many events are on their way."""
        await checkpoint()
        if self._emitter.full:
            await self._emitter.room()
        self._until_checkpoint = CHECKPOINT_EVERY
        self._breathed_at = monotonic()

    async def leave(self, left: BaseException | None) -> None:
        """Wait for what is on its way; how long depends on how the body ended.

        Args:
            left: the exception that the body ended with.

        Raises:
            EmitError: the body ended without one, and an event was not accepted.
        """
        self._emitter.left = True
        if left is None:
            try:
                for batch in self._emitter.on_their_way():
                    await batch.acknowledged()
            except BaseException as error:
                await self._leave_soon(error)
                raise
            self._emitter.raise_failures()
        else:
            await self._leave_soon(left)

    async def _leave_soon(self, left: BaseException) -> None:
        """Wait a moment, and say what was not acknowledged: `left` is what the caller looks for."""
        with anyio.move_on_after(LEAVE_WITHIN, shield=True):
            for batch in self._emitter.on_their_way():
                await batch.acknowledged()
        try:
            self._emitter.raise_failures()
        except EmitError as error:
            _also(left, error)
        if self._emitter.outstanding:
            why = "cancelled" if isinstance(left, anyio.get_cancelled_exc_class()) else "left"
            _also(
                left,
                EmitError(
                    f"{self._emitter.outstanding} events were not acknowledged before the "
                    f"connection was {why}: they may or may not be in their streams"
                ),
            )


def check_timeout(timeout: float | None) -> None:
    """Refuse a time that `flush` cannot wait.

    Raises:
        ValueError: it is negative, or not a number.
    """
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout must be None or seconds of at least 0, not {timeout!r}")


def late(left: int, timeout: float | None) -> TimeoutError:
    """What `flush` raises when so many events are left on their way."""
    return TimeoutError(f"{left} events not acknowledged within {timeout} s")


def _also(left: BaseException, error: EmitError) -> None:
    """Say an error that cannot be raised, as the body's own exception comes out."""
    left.add_note(f"{type(error).__name__}: {error}")
    logger.error("a connection was left after %s: %s", type(left).__name__, error)


@asynccontextmanager
async def connect_events(
    events: Events,
    server: Server | None,
    close: bool,
    prefixes: Prefixes,
    options: dict[str, Any],
    kind: Callable[[Events, Link], C],
) -> AsyncIterator[C]:
    """What `Events.connect` documents."""
    refuse_again("Events.connect()")
    async with open_link(server, close=close, options=options, prefixes=prefixes) as link:
        connected = kind(events, link)
        left: BaseException | None = None
        try:
            yield connected
        except BaseException as error:
            left = error
            raise
        finally:
            await connected.leave(left)


def _closing(messages: AsyncIterable[Any]) -> AbstractAsyncContextManager[object]:
    """Leaves no async generator half run: its clean-up is to end in the task that called."""
    if isasyncgen(messages):
        return aclosing(messages)
    return nullcontext()
