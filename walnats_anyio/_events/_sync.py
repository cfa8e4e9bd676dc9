"""Emitting from a program without an event loop: Django, Flask, a script.

Theory of operation. The connection lives in a thread of its own, in an event loop that anyio's
blocking portal runs. A call through the portal costs two switches between threads, which would make
2,000 emits a second. So an emit is checked and encoded in the thread that calls, and put into a
queue. A task beside the connection, the forwarder, takes all of the queue and hands it over. What
waits for an acknowledgement goes through the portal: it puts a mark into the queue, and waits once
the forwarder has come to it.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import anyio
from anyio.from_thread import BlockingPortal
from anyio.lowlevel import checkpoint

from walnats_anyio._events._arguments import check_uid_of
from walnats_anyio._events._atomic import EncodedMessage, collect_now, refuse_times
from walnats_anyio._events._connection import (
    LEAVE_WITHIN,
    ConnectedEvents,
    check_timeout,
    connect_events,
    late,
)
from walnats_anyio._events._delays import CancelResult
from walnats_anyio._events._emitter import EventOnWire, Outgoing, failures_of, one_error
from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._event_with_response import EventWithResponse
from walnats_anyio._events._headers import Meta, check_shared
from walnats_anyio._events._plan import PlanEntry
from walnats_anyio._events._statistics import EmitStatistics
from walnats_anyio._events._thread_queue import ThreadQueue
from walnats_anyio._events._timing import Timing, timing_of
from walnats_anyio._link import ConnectionLostError, Link, Prefixes, Server, WalnatsError
from walnats_anyio._link._again import refuse_again

if TYPE_CHECKING:
    from typing import Self

    from walnats_anyio._events._registry import Events

T = TypeVar("T")
R = TypeVar("R")

CHECKPOINT_EVERY = 128
"""Emits that the forwarder hands over in one turn of the event loop.

Each turn gives the lock of the interpreter away, and waits for it where another thread computes.
"""

LEFT = "the connection has been left"
UNSENT = "the connection was left before it was sent"


def check_sync(server: object, backend: object) -> None:
    """Refuse what `connect_sync` cannot use.

    Raises:
        TypeError: the server is connected already.
        ValueError: there is no such backend.
        ImportError: it is not installed.
    """
    if server is not None and not isinstance(server, str | Sequence):
        raise TypeError(
            f"connect_sync takes a URL or a list of URLs, not {server!r}, which belongs to the"
            " event loop of another thread"
        )
    if backend not in ("asyncio", "trio"):
        raise ValueError(f"backend must be 'asyncio' or 'trio', not {backend!r}")
    if backend == "trio" and find_spec("trio") is None:
        raise ImportError("backend='trio' needs trio: pip install 'walnats-anyio[trio]'")


class Group:
    """Emits that a thread waits for."""

    __slots__ = ("_released", "outgoing", "refused")

    def __init__(self) -> None:
        self.outgoing: list[Outgoing] = []
        self.refused: WalnatsError | None = None
        """Why one of them could not be handed over at all."""
        self._released = False

    def add(self, outgoing: Outgoing) -> None:
        """Take in one that was handed over."""
        self.outgoing.append(outgoing)
        if not self._released:
            outgoing.keep_error()

    def release(self) -> None:
        """Leave failures to the next `flush`, as nobody waits any more."""
        if not self._released:
            self._released = True
            for outgoing in self.outgoing:
                outgoing.release_error()


class Emit(NamedTuple):
    """An event that is checked and encoded."""

    event: EventOnWire
    payload: bytes
    headers: bytes
    patience: float
    group: Group | None


Item: TypeAlias = Emit | Callable[[], object]
"""What is in the queue: what is to be emitted, and marks in between, which are called."""


class ForwardingEvents(ConnectedEvents):
    """The connection that threads emit over. Made in its event loop."""

    __slots__ = ("_in_hand", "forwarded", "queue")

    def __init__(self, events: Events, link: Link) -> None:
        super().__init__(events, link)
        self.queue: ThreadQueue[Item] = ThreadQueue(link.new_spot(), link.backend.call_from_thread)
        self._in_hand: list[Item] = []
        """What the forwarder has taken and not handed over yet, the next one last."""
        self.forwarded = anyio.Event()
        """Set when the forwarder has ended."""

    # in any thread

    def is_confirmed(self, event: BaseEvent[Any]) -> bool:
        """Whether the event is known to have a stream."""
        return getattr(event, "name", None) in self._emitter.confirmed

    def put(
        self,
        event: BaseEvent[T],
        message: T,
        uid: str | None,
        trace_id: str | None,
        meta: Meta,
        group: Group | None = None,
        timing: Timing | None = None,
    ) -> None:
        """Check an event, encode it and put it into the queue.

        One that has a time has been given to `prepare` before.
        """
        on_wire, payload, headers = self._prepare(event, message, uid, trace_id, meta)
        if timing is not None:
            on_wire, headers = self._delays.place(event, timing, on_wire, payload, headers)
        item = Emit(on_wire, payload, headers, event.dedup_window, group)
        self.queue.put(item, len(payload) + len(headers))

    def timing(self, delay: float | None, at: datetime | None, ttl: float | None) -> Timing | None:
        """What an emit says of its time; None for nothing."""
        if delay is None and at is None and ttl is None:
            return None
        return timing_of(delay, at, ttl, self._link.wall())

    def is_ready(self, event: BaseEvent[Any], timing: Timing) -> bool:
        """Whether `prepare` need not be called. Refuses an event that is not of the registry."""
        self._check_known(event)
        return self._delays.is_ready(event, timing)

    # in the event loop

    async def prepare(self, event: BaseEvent[Any], timing: Timing) -> None:
        """Find out how an event can be sent that has a time."""
        await self._delays.prepare(event, timing)

    async def cancel(
        self,
        uid: str | None = None,
        *,
        event: BaseEvent[Any] | None = None,
        sequence: int | None = None,
    ) -> CancelResult:
        await self._forwarded()
        return await super().cancel(uid, event=event)

    async def forward(self) -> None:
        """Hand over what threads put into the queue, until it is closed and empty."""
        try:
            while taken := await self.queue.take():
                taken.reverse()
                self._in_hand = taken
                await self._hand_over_all(taken)
        finally:
            left = self.queue.end(LEFT)
            for item in [*reversed(self._in_hand), *left]:
                self._give_up(item, UNSENT)
            self.forwarded.set()

    async def _hand_over_all(self, taken: list[Item]) -> None:
        emitter = self._emitter
        until_checkpoint = CHECKPOINT_EVERY
        while taken:
            if emitter.full:
                await emitter.room()
            until_checkpoint -= 1
            if not until_checkpoint:
                await checkpoint()
                until_checkpoint = CHECKPOINT_EVERY
            item = taken.pop()
            if isinstance(item, Emit):
                self._hand_one_over(item)
            else:
                item()

    def _hand_one_over(self, item: Emit) -> None:
        event, payload, headers, patience, group = item
        try:
            outgoing = self._hand_over(event, payload, headers, patience)
        except Exception as error:
            if isinstance(error, ConnectionLostError):
                self.queue.close(str(error))
            self._give_up(item, error)
            if not isinstance(error, WalnatsError):
                raise  # a defect, which ends the connection
        else:
            if group is not None:
                group.add(outgoing)

    def _give_up(self, item: Item, why: object) -> None:
        if not isinstance(item, Emit):
            item()
        elif item.group is None:
            self._emitter.not_sent(item.event.name, why)
        else:
            item.group.refused = why if isinstance(why, WalnatsError) else ConnectionLostError(why)

    async def _forwarded(self) -> None:
        """Wait until all that is in the queue now is handed over, or given up."""
        reached = anyio.Event()
        if self.queue.put_now(reached.set):
            await reached.wait()

    async def request_after(
        self, event: EventWithResponse[T, R], message: T, options: dict[str, Any]
    ) -> R:
        """Request, after what is in the queue now."""
        await self._forwarded()
        return await self.request(event, message, **options)

    async def flush(self, timeout: float | None = None) -> None:
        began = monotonic()
        try:
            with anyio.fail_after(timeout):
                await self._forwarded()
        except TimeoutError:
            raise late(self.statistics().outstanding, timeout) from None
        if timeout is not None:
            timeout = max(0.0, timeout - (monotonic() - began))
        await super().flush(timeout)

    async def confirm(self, group: Group) -> None:
        """Wait for the first acknowledgement of an event, which tells that it has a stream.

        Raises:
            EmitError: it has none, or the stream did not accept the event.
            ConnectionLostError: it cannot be sent.
        """
        try:
            await self._forwarded()
        except BaseException:
            group.release()
            raise
        if group.refused is not None:
            raise group.refused
        await self._emitter.confirm(group.outgoing[0])

    async def send_batch(self, event: BaseEvent[Any], messages: Sequence[EncodedMessage]) -> None:
        await self._forwarded()  # what was emitted before goes first
        await super().send_batch(event, messages)

    async def settle(self, group: Group) -> None:
        """Wait until a group of emits is acknowledged; all of them are in the queue.

        Raises:
            EmitError: one of them was not accepted.
            ConnectionLostError: one of them cannot be sent.
        """
        try:
            await self._forwarded()
            if group.refused is not None:
                raise group.refused
            errors = await failures_of(group.outgoing)
        except BaseException:
            group.release()
            raise
        if errors:
            raise one_error(errors, len(errors))

    def statistics(self) -> EmitStatistics:
        """As of every connection; what is in the queue counts as emitted and outstanding."""
        sent = super().statistics()
        items = [*self._in_hand, *self.queue.waiting()]
        emits = [item for item in items if isinstance(item, Emit)]
        size = sum(len(emit.payload) + len(emit.headers) for emit in emits)
        return replace(
            sent,
            emitted=sent.emitted + len(emits),
            outstanding=sent.outstanding + len(emits),
            outstanding_bytes=sent.outstanding_bytes + size,
            waiting=self.queue.blocked,
        )


@asynccontextmanager
async def connect_forwarding(
    events: Events, server: Server | None, prefixes: Prefixes, options: dict[str, Any]
) -> AsyncIterator[ForwardingEvents]:
    """Connect, with a forwarder beside the connection. What was queued is emitted on leaving."""
    body: BaseException | None = None
    connecting = connect_events(events, server, True, prefixes, options, ForwardingEvents)
    async with connecting as connected:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connected.forward)
            # The task group would wrap what is raised in a group.
            try:
                yield connected
            except BaseException as exc:  # noqa: BLE001 - raised below
                body = exc
            connected.queue.close(LEFT)
            if body is not None:
                with anyio.move_on_after(LEAVE_WITHIN, shield=True):
                    await connected.forwarded.wait()
                tasks.cancel_scope.cancel()
        if body is not None:
            raise body


class PortalThread:
    """A thread with an event loop, and anyio's portal into it.

    `anyio.from_thread.start_blocking_portal` is a generator: in a forked child, where the thread
    does not exist, it would wait for it for ever when it is collected.
    """

    def __init__(self, backend: str) -> None:
        self._started: Future[BlockingPortal] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(backend,), name="walnats-anyio connect_sync", daemon=True
        )

    def __enter__(self) -> BlockingPortal:
        self._thread.start()
        try:
            self._portal = self._started.result()
        except BaseException:
            self._started.cancel()
            raise
        return self._portal

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(RuntimeError):  # it has stopped already
            self._portal.call(self._portal.stop, kind is not None)
        self._thread.join()

    def _run(self, backend: str) -> None:
        try:
            anyio.run(self._main, backend=backend)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            if not self._started.done():
                self._started.set_exception(error)

    async def _main(self) -> None:
        async with BlockingPortal() as portal:
            if self._started.set_running_or_notify_cancel():
                self._started.set_result(portal)
                await portal.sleep_until_stopped()


class InterpreterExit(Exception):
    """The program ended and left its connection open."""


class SyncEvents:
    """The events of a registry, emitted without an event loop. Made by `Events.connect_sync`.

        with events.connect_sync() as conn:
            conn.register()
            conn.emit(USER_CREATED, user)

    Every method can be called in any thread. The connection lives in a thread of its own, with an
    event loop of its own. Messages are encoded, and middlewares called, in the thread that emits.

    No emit outlives its connection: leaving `with`, or `close`, waits for every acknowledgement and
    raises what failed. A program that ends without that waits for 4 seconds at most, and logs what
    was not acknowledged by then.

    A connection does not survive a fork. Connect in the process that emits, such as in the
    `post_worker_init` hook of gunicorn, or at the first emit: in a forked child every method but
    `close` is a `RuntimeError`.
    """

    __slots__ = ("_backend", "_connect", "_connected", "_lock", "_pid", "_portal", "_stack")

    def __init__(
        self, connect: Callable[[], AbstractAsyncContextManager[ForwardingEvents]], backend: str
    ) -> None:
        self._connect = connect
        self._backend = backend
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._stack: ExitStack | None = None

    def __repr__(self) -> str:
        if self._pid is None:
            return "<SyncEvents, not connected yet>"
        if self._pid != os.getpid():
            return f"<SyncEvents of process {self._pid}>"
        state = "closed" if self._stack is None else self._backend
        return f"<SyncEvents, {state}: {self._connected!r}>"

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(kind, error, traceback)

    def open(self) -> Self:
        """Connect; for programs that have no place for a `with`. Blocks until connected.

        Returns:
            The same object.

        Raises:
            ConnectError: no server could be reached within seconds.
            RuntimeError: it was connected before: call `connect_sync` again.
        """
        refuse_again("Events.connect_sync()")
        with self._lock:
            if self._pid is not None:
                raise RuntimeError(f"{self!r} connects only once: call connect_sync again")
            with ExitStack() as stack:
                self._portal = stack.enter_context(PortalThread(self._backend))
                connection = self._portal.wrap_async_context_manager(self._connect())
                self._connected = stack.enter_context(connection)
                self._stack = stack.pop_all()
            self._pid = os.getpid()
        atexit.register(self._leave_at_exit)
        return self

    def close(self) -> None:
        """Wait until every emitted event is acknowledged, and close the connection.

        Blocks as long as that takes, which is at most the `dedup_window` of the events. Can be
        called again, and in a forked child, where it does nothing. Do not call it in a signal
        handler, which interrupts an emit: raise `SystemExit` there.

        Raises:
            EmitError: an event was not accepted since the last `flush`.
        """
        self._leave(None, None, None)

    def register(
        self, *, create: bool = True, update: bool = True, force: bool = False
    ) -> tuple[PlanEntry, ...]:
        """Make the streams of all events on the server what the events declare.

        Arguments, result and errors are those of `ConnectedEvents.register`. Blocks for one to
        three requests to the server for each event.
        """
        connected = self._usable()
        call = partial(connected.register, create=create, update=update, force=force)
        entries: tuple[PlanEntry, ...] = self._call(call)
        return entries

    def plan(
        self, *, create: bool = True, update: bool = True, force: bool = False
    ) -> tuple[PlanEntry, ...]:
        """Say what `register` would do, and do nothing.

        Arguments, result and errors are those of `ConnectedEvents.plan`. Blocks for one request to
        the server for each event.
        """
        connected = self._usable()
        call = partial(connected.plan, create=create, update=update, force=force)
        entries: tuple[PlanEntry, ...] = self._call(call)
        return entries

    def emit(
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

        Hands the event over and returns; the connection awaits the acknowledgement, and sends
        the event again where that does not come, as `ConnectedEvents.emit` does. What a thread
        emits is sent in the order in which it was emitted.

        Blocks only while more than 5,120 events or 20 MiB are on their way, at the first emit of
        an event that this connection has not registered, with `sync`, and where `delay`, `at` or
        `ttl` needs a look at the event's stream, which is once a minute.

        Args:
            event: an event of the registry.
            message: of the event's schema.
            uid: what identifies this message. The stream drops a second one with the same `uid`
                within the event's `dedup_window`. None: the `id` of a `CloudEvent` in `meta`, as
                with walnats; without one, nothing is dropped.
            trace_id: the trace this belongs to; middlewares of the actors see it.
            delay: seconds from this call until the event is due; see `ConnectedEvents.emit`.
            at: the moment when it is due, with a time zone.
            ttl: seconds after which it is removed, counted from when it is due.
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
            ConnectionLostError: the connection is closed.
            RuntimeError: it is not open yet, or belongs to the process that this one was forked
                from.
        """
        connected = self._usable()
        timing = connected.timing(delay, at, ttl)
        if timing is not None:
            self._prepare(connected, event, timing)
        confirmed = connected.is_confirmed(event)
        if confirmed and not sync:
            connected.put(event, message, uid, trace_id, meta, None, timing)
            return
        connected.queue.check_thread()
        group = Group()
        connected.put(event, message, uid, trace_id, meta, group, timing)
        self._call(connected.settle if confirmed else connected.confirm, group)

    def _prepare(self, connected: ForwardingEvents, event: BaseEvent[Any], timing: Timing) -> None:
        if not connected.is_ready(event, timing):
            self._call(connected.prepare, event, timing)

    def emit_many(
        self,
        event: BaseEvent[T],
        messages: Iterable[T],
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

        Messages are taken one by one, so an endless iterable is fine. Where one of them raises,
        those before it have been emitted.

        With `atomic` all of the messages are stored, or none: see `ConnectedEvents.emit_many`.

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
            atomic: store all of them or none: at most 1,000. It waits for the acknowledgement.

        Raises:
            EmitError: with `sync`: the first message that was not accepted, or one error that
                holds the failures in `errors`. With `atomic`: none was accepted, or that is not
                known in time, or the server takes no atomic batches.
            ValueError: with `atomic`: there are more than 1,000 messages, or two with one `uid`.
            TypeError: `meta` is a `CloudEvent`, which is of one message, or `uid` is no function.
            Exception: what `emit` raises, and what the iterable or `uid` does.
        """
        check_shared(meta)
        check_uid_of(uid)
        connected = self._usable()
        if atomic:
            refuse_times(delay, at, ttl)
            self._call(connected.check_atomic, event)
            prepare = connected.prepare_for_batch
            taken = collect_now(messages)
            encoded = [prepare(event, message, uid, trace_id, meta) for message in taken]
            self._call(connected.send_batch, event, encoded)
            return
        connected.timing(delay, at, ttl)  # which refuses what is none before anything is emitted
        group = Group() if sync else None
        if sync:
            connected.queue.check_thread()
        try:
            for message in messages:
                unique = None if uid is None else uid(message)
                own = meta(message) if callable(meta) else meta
                timing = connected.timing(delay, at, ttl)
                if timing is not None:
                    self._prepare(connected, event, timing)
                if sync or connected.is_confirmed(event):
                    connected.put(event, message, unique, trace_id, own, group, timing)
                else:
                    self.emit(
                        event, message, uid=unique, trace_id=trace_id, delay=delay, at=at, ttl=ttl,
                        meta=own,
                    )  # fmt: skip
        except BaseException:
            if group is not None:
                with suppress(ConnectionLostError):
                    self._call(group.release)
            raise
        if group is not None:
            self._call(connected.settle, group)

    def request(
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

        Arguments, result and errors are those of `ConnectedEvents.request`. It is sent after what
        this thread has emitted before. Deadlines of `anyio` scopes do not reach another thread, so
        only `timeout` counts. Messages are encoded in the thread of the connection.

        Blocks until an answer comes. Ctrl-C cancels the handler as well.

        Raises:
            Exception: what `ConnectedEvents.request` raises.
            RuntimeError: it is not open yet, or belongs to the process that this one was forked
                from.
        """
        connected = self._usable()
        options = {
            "uid": uid, "trace_id": trace_id, "delay": delay, "meta": meta, "timeout": timeout,
        }  # fmt: skip
        response: R = self._call(connected.request_after, event, message, options)
        return response

    def cancel(
        self,
        uid: str | None = None,
        *,
        event: BaseEvent[Any] | None = None,
        sequence: int | None = None,
    ) -> CancelResult:
        """Cancel an event, wherever it is: not due yet, waiting or running.

        Arguments, result and errors are those of `ConnectedEvents.cancel`. Blocks as that does.
        """
        connected = self._usable()
        result: CancelResult = self._call(
            partial(connected.cancel, uid, event=event, sequence=sequence)
        )
        return result

    def flush(self, timeout: float | None = None) -> None:
        """Wait until every event emitted so far, in any thread, is acknowledged.

        Args:
            timeout: seconds to wait at most. None: as long as it takes, which is at most the
                `dedup_window` of the events.

        Raises:
            EmitError: an event was not accepted since the last `flush`.
            TimeoutError: some of them are still on their way after `timeout` seconds; they stay so.
            ValueError: `timeout` is negative.
        """
        check_timeout(timeout)
        self._call(self._usable().flush, timeout)

    def statistics(self) -> EmitStatistics:
        """What was emitted so far, and the state of the connection, at this moment.

        Sends nothing. It asks the thread of the connection, which takes some 100 microseconds.
        """
        connected = self._usable()
        return connected.statistics() if self._stack is None else self._call(connected.statistics)

    def _usable(self) -> ForwardingEvents:
        if self._pid != os.getpid():
            if self._pid is None:
                raise RuntimeError(
                    "not connected yet: use `with events.connect_sync() as conn:`, or call open()"
                )
            raise RuntimeError(
                f"this connection belongs to process {self._pid}, and this is process"
                f" {os.getpid()}, which was forked from it: connect after the fork, such as in"
                " gunicorn's post_worker_init, or at the first emit"
            )
        return self._connected

    def _call(self, function: Callable[..., Any], *args: object) -> Any:
        """Call a function, or run a coroutine function, in the thread of the connection."""
        self._connected.queue.check_thread()
        try:
            future = self._portal.start_task_soon(function, *args)
        except RuntimeError:  # the portal has stopped
            raise ConnectionLostError(LEFT) from None
        try:
            return future.result()
        except CancelledError:
            raise ConnectionLostError(LEFT) from None
        except BaseException:
            # Ctrl-C: what it waits for need not go on, and leaves failures to the next `flush`.
            future.cancel()
            raise

    def _leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pid != os.getpid():
            return
        self._connected.queue.check_thread()
        with self._lock:
            stack, self._stack = self._stack, None
        if stack is not None:
            atexit.unregister(self._leave_at_exit)
            stack.__exit__(kind, error, traceback)

    def _leave_at_exit(self) -> None:
        error = InterpreterExit()
        self._leave(InterpreterExit, error, None)
