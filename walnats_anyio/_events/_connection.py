"""Emitting: events of a registry over one connection."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from datetime import datetime
from inspect import isasyncgen
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from walnats_anyio._events._arguments import check_number, check_uid_of
from walnats_anyio._events._atomic import (
    ROOM,
    EncodedMessage,
    check_headers,
    check_server,
    collect,
    emit_atomically,
    refuse_times,
)
from walnats_anyio._events._cancelling import cancel_event
from walnats_anyio._events._checks import check_event, refuse_size
from walnats_anyio._events._current import current_job
from walnats_anyio._events._delays import CancelResult, Delays, check_cancelled_event
from walnats_anyio._events._emitter import (
    Emitter,
    EventOnWire,
    Outgoing,
    failures_of,
    one_error,
)
from walnats_anyio._events._event import BaseEvent, in_namespace
from walnats_anyio._events._event_with_response import EventWithResponse
from walnats_anyio._events._headers import Meta, check_shared, header_block, uid_of
from walnats_anyio._events._held import encode, payload_of
from walnats_anyio._events._monitor import (
    MAX_BUFFER_SIZE,
    Feed,
    check_buffer,
    chosen_events,
)
from walnats_anyio._events._monitor_taps import SentTap, StoredTap
from walnats_anyio._events._plan import PlanEntry, raise_failures
from walnats_anyio._events._requests import Requests, check_request
from walnats_anyio._events._statistics import EmitStatistics
from walnats_anyio._events._streams import RegisterOptions, plan_streams, register_streams
from walnats_anyio._events._timing import timing_of
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
R = TypeVar("R")

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
        "_breathed_at", "_check_cancelled", "_delays", "_emitter", "_events", "_hand_over",
        "_middlewares", "_on_server", "_on_wire", "_registry", "_requests", "_until_checkpoint",
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
        self._delays = Delays(link, self._emitter)
        self._hand_over = link.backend.atomic(self._emitter.send)
        self._requests = Requests(link, self._emitter)
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
    ) -> tuple[PlanEntry, ...]:
        """Make the streams of all events on the server what the events declare.

        Of a stream that exists it changes limits, replicas, the dedup window and the description,
        and nothing that would drop events that wait. What the declaration does not name
        (compression, placement, ...) is left as the server has it.

        It keeps the schema of the messages in the stream's metadata, where the server and the
        permissions of the user let it. It logs a warning where the event cannot read what the
        version of it that was registered before wrote.

        Blocks for one to three requests to the server for each event. Can be called any number of
        times, by any number of processes; of two that declare one event differently, the last one
        wins. `plan` says beforehand what it does.

        Args:
            create: create streams that are missing.
            update: update streams whose configuration differs.
            force: also change subjects, retention and discard policy of a stream that somebody
                made for something else, and lower limits although events are dropped for it.
                Messages that no actor waits for may be lost. As NATS cannot change the storage, a
                stream with another one is made anew if it has no messages and no consumers.

        Returns:
            What was done: one entry for each event, in the order of the registry, and where an
            event is declared with `delays` one for the stream of schedules.

        Raises:
            ValueError: `force` without `update`.
            StreamExistsError: a stream exists with another configuration and `update` is False.
            StreamConfigError: a stream is missing and `create` is False; it belongs to another
                event; it has fields that only `force` changes, or with which it cannot keep
                events; the server refuses the configuration, for instance as another stream has
                the subject; or the name has a `%` and nats-server is older than 2.14.3.
            ServerError: the server does not answer within 5 seconds (20 for what has replicas), or
                its cluster has no leader, or too few servers, for as long; or it has no JetStream.
            ExceptionGroup: more than one event failed; holds these errors.
        """
        options = _register_options(create, update, force)
        entries = await register_streams(
            self._link, self._on_server, self._emitter.confirmed, options
        )
        raise_failures("streams could not be registered", entries)
        return entries

    async def plan(
        self, *, create: bool = True, update: bool = True, force: bool = False
    ) -> tuple[PlanEntry, ...]:
        """Say what `register` would do, and do nothing.

        Sends only requests that read: a user who may publish to `$JS.API.STREAM.INFO.*` can call
        it. What `register` would refuse is an entry with its `error`, and is not raised.

        Blocks for one request to the server for each event.

        Args:
            create: see `register`.
            update: see `register`.
            force: see `register`.

        Returns:
            One entry for each event, in the order of the registry, and where an event is declared
            with `delays` one for the stream of schedules.

        Raises:
            ValueError: `force` without `update`.
            ServerError: the server does not answer within 5 seconds (20 for what has replicas), or
                has no JetStream, or this user may not ask it.
            ExceptionGroup: more than one request failed; holds these errors.
        """
        options = _register_options(create, update, force)
        return await plan_streams(self._link, self._on_server, options)

    async def emit(
        self,
        event: BaseEvent[T],
        message: T,
        *,
        uid: str | None = None,
        trace_id: str | None = None,
        delay: float | None = None,
        at: datetime | None = None,
        ttl: float | None = None,
        meta: Meta = None,
        sync: bool = False,
    ) -> None:
        """Emit an event: every actor of the event gets the message.

        Hands the event over and returns; the connection awaits the acknowledgement. An event that
        was not acknowledged is sent again every 4 seconds and after every reconnect, for up to the
        event's `dedup_window`; so without `uid` it may be stored twice when a connection breaks.

        With `delay` or `at` the event waits: on nats-server 2.14 and later in the server, and
        reaches actors when it is due, as a first delivery. On older servers it waits with its
        actors, as with walnats. See the guide *Delays, schedules and expiry*.

        Blocks only while 4,096 events or 16 MiB are on their way, at the first emit of an event
        that this connection has not registered (its acknowledgement tells that there is a stream),
        with `sync`, and where `delay`, `at` or `ttl` needs a look at the event's stream, which is
        once a minute. Each call looks for a cancellation; one of 128, and the first after a
        millisecond, lets other tasks run. Cancelling it does not take an event back that was
        handed over.

        Args:
            event: an event of the registry.
            message: of the event's schema.
            uid: what identifies this message. The stream drops a second one with the same `uid`
                within the event's `dedup_window`. None: the `id` of a `CloudEvent` in `meta`, as
                with walnats; without one, nothing is dropped.
            trace_id: the trace this belongs to; contexts and middlewares of the actors see it.
                None: that of the job that emits it, where a handler does. An empty text: none.
            delay: seconds from this call until the event is due, at most 100 years. 0 and less: at
                once. None: at once.
            at: the moment when it is due, with a time zone, instead of `delay`. One that is past:
                at once.
            ttl: seconds after which the event is removed if no actor is done with it, counted from
                when it is due: 1 or more, rounded up to whole seconds. It needs nats-server 2.11.
                None: it stays as long as `limits` say.
            meta: further headers, or a `CloudEvent`. Actors read them with
                `current_context().meta` and `.cloud_event`.
            sync: wait for the stream's acknowledgement.

        Raises:
            TypeError: the message is not of the event's schema, or `event` is not an event.
            ValueError: the event is not in the registry, a header cannot be sent, a time is out of
                range, `at` has no time zone, or both `delay` and `at` are given.
            MessageTooLargeError: the encoded message is larger than the server takes.
            EmitError: the stream did not accept it (only where this call waits for that), or it
                takes no `ttl`.
            ConnectionLostError: the connection is closed for good.
            RuntimeError: it is called in another thread than that of the connection's event loop.
        """
        await self._check_cancelled()
        self._until_checkpoint -= 1
        late = monotonic() - self._breathed_at > CHECKPOINT_AFTER
        if late or not self._until_checkpoint or self._emitter.full:
            await self._make_way()
        on_wire, payload, headers = self._prepare(event, message, uid, trace_id, meta)
        if delay is not None or at is not None or ttl is not None:
            on_wire, headers = await self._place(event, delay, at, ttl, on_wire, payload, headers)
        outgoing = self._hand_over(on_wire, payload, headers, event.dedup_window)
        if event.name not in self._emitter.confirmed:
            await self._emitter.confirm(outgoing)
        elif sync:
            await outgoing.wait()
            self._breathed_at = monotonic()

    async def _place(
        self,
        event: BaseEvent[Any],
        delay: float | None,
        at: datetime | None,
        ttl: float | None,
        on_wire: EventOnWire,
        payload: bytes,
        headers: bytes,
    ) -> tuple[EventOnWire, bytes]:
        """Give what an event that has a time is sent as, and its headers."""
        timing = timing_of(delay, at, ttl, self._link.wall())
        if not self._delays.is_ready(event, timing):
            await self._delays.prepare(event, timing)
            if self._emitter.full:
                await self._make_way()
        return self._delays.place(event, timing, on_wire, payload, headers)

    async def emit_many(
        self,
        event: BaseEvent[T],
        messages: Iterable[T] | AsyncIterable[T],
        *,
        uid: Callable[[T], str] | None = None,
        trace_id: str | None = None,
        delay: float | None = None,
        at: datetime | None = None,
        ttl: float | None = None,
        meta: Meta | Callable[[T], Meta] = None,
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
            delay: the same for all, see `emit`; counted from when each message was taken.
            at: the same for all, see `emit`.
            ttl: the same for all, see `emit`.
            meta: the same headers for all, or what gives the `meta` of a message: a function that
                returns headers, a `CloudEvent` or None.
            sync: wait until all of them are acknowledged.
            atomic: store all of them or none: at most 1,000.

        Raises:
            EmitError: with `sync`: the first message that was not accepted, or one error that
                holds the failures in `errors`. With `atomic`: none was accepted; or the
                acknowledgement did not come in time; or the server, or the stream, takes no atomic
                batches.
            ValueError: with `atomic`: there are more than 1,000 messages, two with one `uid`, or a
                `delay`, `at` or `ttl` is given.
            TypeError: `meta` is a `CloudEvent`, which is of one message, or `uid` is no function.
            Exception: what `emit` raises, and what the iterable or `uid` does.
        """
        check_uid_of(uid)
        if atomic:
            refuse_times(delay, at, ttl)
            await self._emit_atomically(event, messages, uid, trace_id, meta)
            return
        waited: list[Outgoing] = []

        async def emit_one(message: T) -> None:
            unique = None if uid is None else uid(message)
            own = meta(message) if callable(meta) else meta
            waited.extend(await self._emit_one(event, message, unique, trace_id, own, sync, times))

        check_shared(meta)
        timing_of(delay, at, ttl, self._link.wall())
        times = None if delay is None and at is None and ttl is None else (delay, at, ttl)
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
        meta: Meta | Callable[[T], Meta],
    ) -> None:
        check_shared(meta)
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
        meta: Meta | Callable[[T], Meta],
    ) -> EncodedMessage:
        """Check and encode one message of an atomic batch; safe in any thread."""
        unique = None if uid is None else uid(message)
        own = meta(message) if callable(meta) else meta
        on_wire, payload, headers = self._prepare(event, message, unique, trace_id, own)
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

    async def _emit_one(
        self,
        event: BaseEvent[T],
        message: T,
        uid: str | None,
        trace_id: str | None,
        meta: Meta,
        sync: bool,
        times: tuple[float | None, datetime | None, float | None] | None,
    ) -> tuple[Outgoing, ...]:
        """One of many; gives what is to be waited for."""
        self._until_checkpoint -= 1
        late = monotonic() - self._breathed_at > CHECKPOINT_AFTER
        if late or not self._until_checkpoint or self._emitter.full:
            await self._make_way()
        on_wire, payload, headers = self._prepare(event, message, uid, trace_id, meta)
        if times is not None:
            on_wire, headers = await self._place(event, *times, on_wire, payload, headers)
        outgoing = self._hand_over(on_wire, payload, headers, event.dedup_window)
        if sync:
            outgoing.keep_error()
            return (outgoing,)
        if event.name not in self._emitter.confirmed:
            await self._emitter.confirm(outgoing)
        return ()

    def check_registered(self, event: BaseEvent[Any]) -> None:
        """Refuse an event that is not in the registry. For what emits later.

        Raises:
            ValueError: it is not.
        """
        if event not in self._registry:
            raise ValueError(
                f"event {event.name!r} is not in the registry this connection was made from: add "
                "it to Events(...)"
            )

    async def emit_within(
        self, event: BaseEvent[T], message: T, uid: str, meta: Meta, patience: float
    ) -> None:
        """Emit as with `sync`, for so many seconds rather than the event's `dedup_window`.

        For clocks.

        When it is over, also by a cancellation, the event is not sent again. The connection tells
        of no failure later.
        """
        await self._make_way()
        on_wire, payload, headers = self._prepare(event, message, uid, None, meta)
        outgoing = self._hand_over(on_wire, payload, headers, patience)
        outgoing.keep_error()
        try:
            if event.name in self._emitter.confirmed:
                await outgoing.wait()
            else:
                await self._emitter.confirm(outgoing)
        finally:
            outgoing.give_up("it was waited for no longer")

    async def request(
        self,
        event: EventWithResponse[T, R],
        message: T,
        *,
        uid: str | None = None,
        trace_id: str | None = None,
        delay: float | None = None,
        meta: Meta = None,
        timeout: float | None = 4.0,
    ) -> R:
        """Emit an event and wait for the response of its actor.

            price = await conn.request(PRICE, item)

        The event is kept by its stream as every event is, and handled at least once, also over a
        restart of the server. The response is not kept: it is lost with the actor's process, or
        with a connection.

        The first answer counts, where the event has several actors. An actor whose attempt fails
        and is to be retried does not answer; one that gives the event up answers with the error.

        The time that the caller waits at most goes with the request: `timeout`, or what is left of
        the deadline of the scope that this is called in, whichever ends first. The handler runs
        under that deadline, and does not start after it. When the caller is cancelled, or its time
        is over, the handler is cancelled too, and what has not started is not run. See the guide
        *Request and response*.

        Blocks until an answer comes. Any number of requests may wait at once.

        Args:
            event: an event of the registry, made by `Event.with_response`.
            message: of the event's schema.
            uid: what identifies this message. None: one that is unique, so that a request which is
                sent again after a lost connection is stored once.
            trace_id: see `emit`.
            delay: seconds until the event is due, see `emit`; they count towards `timeout`.
            meta: further headers, see `emit`.
            timeout: seconds to wait at most. None: only the deadlines of the caller's scopes count.

        Returns:
            What the actor's handler returned.

        Raises:
            ActorError: the actor failed for good, or no actor is registered for the event.
            TimeoutError: no answer came within `timeout`; it says what is known.
            EmitError: the stream did not take the event, or has one with the same `uid`.
            DecodeError: the answer does not fit the schema of the response. It is a `ValueError`.
            TypeError: the message is not of the event's schema, the event has no response, or
                `timeout` is no number.
            ValueError: the event is not in the registry, a header cannot be sent, or `timeout` is
                not over 0.
            MessageTooLargeError: the encoded message is larger than the server takes.
            ServerError: this user may not receive answers.
            ConnectionLostError: the connection is closed for good.
        """
        check_request(event, timeout)
        await self._check_cancelled()
        self._until_checkpoint -= 1
        if not self._until_checkpoint or self._emitter.full:
            await self._make_way()
        with self._requests.begin(event, uid_of(uid, meta), timeout) as asking:
            on_wire, payload, headers = self._prepare(event, message, asking.uid, trace_id, meta)
            sent_as = on_wire
            if delay is not None:
                made = (on_wire, payload, headers)
                sent_as, headers = await self._place(event, delay, None, None, *made)
            headers = asking.addressed(headers, delay if sent_as is not on_wire else None)
            size = len(payload) + len(headers)
            if size > min(on_wire.largest, self._link.max_payload):
                refuse_size(event, self._link, size)
            asking.sent(on_wire, self._hand_over(sent_as, payload, headers, event.dedup_window))
            return event.decode_response(await asking.response())

    async def cancel(
        self,
        uid: str | None = None,
        *,
        event: BaseEvent[Any] | None = None,
        sequence: int | None = None,
    ) -> CancelResult:
        """Cancel an event, wherever it is: not due yet, waiting or running.

            await conn.emit(REMINDER, order, uid=order.id, delay=3600)
            result = await conn.cancel(order.id)

        What is not due yet is removed from the server. What waits is deleted from its stream, for
        all actors, and so are retries that wait in the server as copies. Where it runs, its handler
        is cancelled, in all processes: that is no attempt, and its clean-up is awaited. A thread
        cannot be cancelled; it is given up, and runs on. Nor can one event of a batch that runs.

        Blocks until what was emitted before is acknowledged, for some requests for each event, and
        until a handler that is cancelled has ended, up to a minute. An event that no process holds
        is looked for by its `uid` in the whole of its stream, which takes some 0.2 ms for each
        event that waits there.

        The user needs the permission to publish to `walnats.control.<stream>`, and to
        `$JS.API.STREAM.` with `PURGE.walnats-schedules`, `INFO.<stream>`, `MSG.GET.<stream>` and
        `MSG.DELETE.<stream>`; the docs say what copies of retries need.

        Args:
            uid: what it was emitted with.
            event: the one event of the registry that is meant. None: all of them.
            sequence: its number in the stream of `event`, in place of a `uid`.

        Returns:
            What it was: `CancelResult.RUNNING`, `WAITING`, `DELAYED`, or `NOT_FOUND`. Of several
            that it was, for several actors or events, the first of these.

        Raises:
            TypeError: `uid` is not a text, or `event` is not an event.
            ValueError: `uid` is empty, both or none of `uid` and `sequence` are given, a `sequence`
                without `event`, or the event is not in the registry.
            ServerError: the server does not answer, or this user may not do it.
            ConnectionLostError: the connection is closed for good.
        """
        check_cancelled_event(uid, event, sequence)
        if event is not None:
            self._check_known(event)
        await checkpoint()
        for batch in self._emitter.on_their_way():
            await batch.acknowledged()
        chosen = [one for one in self._on_server if event is None or one.name == event.name]
        return await cancel_event(self._link, chosen, uid, sequence, delayed=True)

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until every event emitted so far is acknowledged.

        What is emitted while it waits is not waited for.

        Args:
            timeout: seconds to wait at most. None: as long as it takes, which is at most the
                `dedup_window` of the events.

        Raises:
            EmitError: an event was not accepted since the last `flush`.
            TimeoutError: some of them are still on their way after `timeout` seconds; they stay so.
            TypeError: `timeout` is no number.
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

    def monitor(
        self,
        *,
        events: Iterable[BaseEvent[Any]] | None = None,
        max_buffer_size: int = MAX_BUFFER_SIZE,
        requests: bool = False,
        stored: bool = False,
    ) -> AbstractAsyncContextManager[Feed]:
        """Give a live feed of the messages that anybody emits, for people who look on.

            async with conn.monitor() as feed:
                async for message in feed:
                    print(message.event.name, message.message)

        It has what programs send to the server from the moment when the context is entered: also
        what the stream refuses, or drops as a duplicate. The server keeps nothing for it, and
        actors do not notice it. Entering blocks for a round trip to the server. Events need not be
        registered. What enters a stream inside of the server is not there: a delayed or scheduled
        event when it is due.

        With `stored` it has what the streams store, each event once, also when it was delayed. For
        that each stream gets a consumer, until the context is left. Where no actor is registered an
        event then is in its stream until it was sent here, which takes milliseconds, and 5 seconds
        where this process has died. Entering blocks for a request to the server for each event.

        Responses are never there.

        Args:
            events: events of the registry. None: all of them.
            max_buffer_size: how many messages may wait for the reader. When one more comes, or they
                have over 64 MiB, the oldest ones are dropped; each message tells how many were
                dropped before it, and `Feed.statistics` how many in all.
            requests: show events that are emitted by `request` as well.
            stored: show what the streams store, in place of what is sent. Needs events that are
                registered, and a user that may create consumers.

        Raises:
            TypeError: an argument is of a wrong type.
            ValueError: an event is not in the registry, `events` is empty, or `max_buffer_size` is
                less than 1.
            ServerError: on entering: this user may not subscribe to one of the events, or not
                create a consumer.
            StreamConfigError: on entering, with `stored`: an event is not registered.
            ConnectionLostError: on entering: the connection is closed for good.
        """
        check_buffer(max_buffer_size)
        chosen = {event.name for event in chosen_events(self._events, events)}
        placed = [event for event in self._on_server if event.name in chosen]
        if stored:
            streams = {event.stream_name: self._events[event.name] for event in placed}
            return StoredTap(self._link, streams, max_buffer_size, requests).opened()
        subjects = {event.subject_name: self._events[event.name] for event in placed}
        return SentTap(self._link, subjects, max_buffer_size, requests).opened()

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
        meta: Meta,
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
                if meta is not None:
                    payload = payload_of(event, payload, meta)
        size = len(payload) + len(headers)
        if size > on_wire.largest or size > self._link.info.max_payload:
            refuse_size(event, self._link, size)
        return on_wire, payload, headers

    def _check_known(self, event: BaseEvent[Any]) -> None:
        known = self._events.get(getattr(event, "name", ""))
        if known is None or (known is not event and known != event):
            check_event(event)
            raise ValueError(
                f"event {event.name!r} is not in the registry this connection was made from: "
                "add it to Events(...)"
            )

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
        self._requests.close()
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


def _register_options(create: bool, update: bool, force: bool) -> RegisterOptions:
    if force and not update:
        raise ValueError("force=True changes streams, so it needs update=True")
    return RegisterOptions(create, update, force)


def check_timeout(timeout: float | None) -> None:
    """Refuse a time that `flush` cannot wait.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative, or NaN.
    """
    check_number("timeout", timeout)
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
