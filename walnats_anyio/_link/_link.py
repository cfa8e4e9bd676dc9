"""The link: NATS as the rest of the framework sees it.

Theory of operation. `open_link` opens a task group, and every task of the link lives in it: one
connects, serves the connection and connects anew when it is lost, with a reader, a writer and a
keepalive below it; others send again what was not answered, and call the caller's callbacks.

Sending is synchronous: `post` appends a command to the outbox, which leaves as one batch a turn of
the event loop. Receiving is synchronous: the reader calls the callback of a subscription, for many
messages in a row, so a callback only notes what came. What wants an answer is a pending request
(see `_pending`).

Whoever waits on the link hears of its end: pending requests fail, watchers are called, and a defect
in one of the tasks ends the body of `open_link` with its exception.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from time import monotonic, time
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup

from walnats_anyio._link._callbacks import Callbacks
from walnats_anyio._link._connection import Connection, Deliver
from walnats_anyio._link._dialer import SAY_EVERY, Dialer, ServerDialer
from walnats_anyio._link._errors import (
    ConnectError,
    ConnectionLostError,
    ServerError,
    WalnatsError,
)
from walnats_anyio._link._failures import failures_of, one_or_group
from walnats_anyio._link._handshake import CLOSE_WITHIN, Established, load_websockets
from walnats_anyio._link._in_process import wall_clock
from walnats_anyio._link._options import ConnectOptions, Server, is_client, parse_servers
from walnats_anyio._link._outbox import Outbox
from walnats_anyio._link._parking import Backend, ParkingSpot, current_backend
from walnats_anyio._link._pending import (
    PayloadTooLargeError,
    PendingRequest,
    PendingRequests,
    Request,
)
from walnats_anyio._link._prefixes import NO_PREFIXES, Prefixes
from walnats_anyio._link._sharing import Connected, link_of
from walnats_anyio._link._statistics import ConnectionStatistics, Uptime
from walnats_anyio._link.protocol import (
    Err,
    Event,
    Message,
    ServerInfo,
    payload_size,
    pub,
    sub,
    unsub,
)
from walnats_anyio._link.protocol._refusals import Meaning, Refusal, refusal_of

logger = logging.getLogger("walnats_anyio.link")

SETTLE = 5.0
"""Seconds after a reconnect in which "no responders" may only mean that JetStream is not up yet."""

LEAVE_WITHIN = 10.0
"""Seconds that a body which was cancelled has, to end what it does, before the link goes away."""

LEAVE_LOOKS = (0.001, 0.05)
"""Seconds between two looks whether all has left: at first, doubled each time; and the most."""

MOVE_WITHIN = 2.0
"""Seconds that answers are waited for before a connection moves away from a server that stops."""

MOVE_LOOKS = 100
"""Looks in that time."""


class Watcher(Protocol):
    """Whoever must act when the connection comes or goes; never waits."""

    def on_disconnect(self) -> None: ...
    def on_reconnect(self) -> None: ...
    def on_close(self) -> None: ...
    def on_refusal(self, refusal: Refusal) -> None: ...


class Subscription:
    """A subscription of the link."""

    __slots__ = ("sid", "subject")

    def __init__(self, subject: bytes, sid: bytes) -> None:
        self.subject = subject
        self.sid = sid


class Link:
    """One connection to NATS, opened by `open_link`."""

    def __init__(
        self,
        backend: Backend,
        options: ConnectOptions,
        prefixes: Prefixes = NO_PREFIXES,
        now: Callable[[], float] = monotonic,
        wall: Callable[[], float] = time,
    ) -> None:
        self.closed: Exception | None = None
        """Why the link is closed for good, or None."""
        self.interrupt: BaseException | None = None
        """What a callback raised to end the program."""
        self.info = ServerInfo()
        """What the server says about itself."""
        self.new_spot: Callable[[], ParkingSpot] = backend.new_spot
        """Makes a spot where one task of the application waits."""
        self.backend, self.wall = backend, wall
        """What differs between asyncio and trio, and what tells the seconds since the epoch."""
        self.prefixes = prefixes
        """What goes before the names of subjects, streams and consumers."""
        self._options = options
        self._outbox = Outbox(backend.new_spot())
        self._pending = PendingRequests(self._outbox, backend.new_spot, now)
        self._callbacks = Callbacks(backend.new_spot())
        self._uptime = Uptime()
        self._dialer: Dialer
        self._tasks: TaskGroup
        self._established: Established | None = None
        self._scopes: list[anyio.CancelScope] = []
        self._left = anyio.Event()
        self._connection: Connection | None = None
        self._settled_at = 0.0
        self._watchers: dict[int, Watcher] = {}
        self._delivers: dict[bytes, Deliver] = {}
        self._subscriptions: dict[bytes, Subscription] = {}
        self._serial = 0
        self._may_echo = not options.no_echo
        self._moving = self._connected_once = False
        self._logged, self._logged_at = "", 0.0
        self._pending.prefix = b"%b." % self.new_inbox()
        self._pending.echo = self._echo
        self.post = self._outbox.post
        self.post_transient = self._outbox.post_transient
        self.publish = self._pending.publish
        self.new_reply = self._pending.new_reply
        self.drop = self._pending.drop
        self.retry_later = self._pending.retry_later
        self.keep_waiting = self._pending.keep_waiting

    def __repr__(self) -> str:
        return f"<Link {self.state}, {len(self._pending)} pending>"

    # sending

    def send(self, request: PendingRequest) -> None:
        """Send `request.command`, which names `request.reply`, until it is answered. Never blocks.

        Raises:
            ConnectionLostError: the link is closed for good.
            ServerError: this user may not have answers.
        """
        self._pending.send(request)

    async def request(
        self,
        subject: str | bytes,
        payload: bytes = b"",
        *,
        timeout: float = 5.0,
        headers: bytes = b"",
        accepts: Callable[[Message], bool] | None = None,
        optional: bool = False,
    ) -> Message:
        """Send a request and wait for its answer, through reconnects.

        Args:
            subject: where to.
            payload: what.
            timeout: seconds until it is given up.
            headers: a header block, or empty.
            accepts: whether a message is an answer; others are ignored. None: the first one is.
            optional: it is no trouble if the user may not ask: the log says so at level DEBUG, and
                `error_cb` is not called.

        Raises:
            ServerError: no answer within `timeout` seconds, or the user may not ask.
            ConnectionLostError: the link is closed for good.
        """
        request = Request(self._pending, accepts, optional)
        request.reply = self.new_reply()
        request.command = pub(subject, payload, request.reply, headers)
        shown = subject if isinstance(subject, str) else subject.decode(errors="replace")
        return await self._answer(request, timeout, f"no answer to {shown}")

    async def flush(self, timeout: float = 5.0) -> None:
        """Wait until the server has read everything posted so far.

        It is a round trip of a message to ourselves, so it is sent again after a reconnect.

        Raises:
            ServerError: not within `timeout` seconds.
            ConnectionLostError: the link is closed for good.
        """
        request = Request(self._pending)
        request.reply = self.new_reply()
        request.command = self._echo(request.reply)
        try:
            await self._answer(request, timeout, "the server did not read what was sent")
        except ServerError:
            if not request.denied or self._pending.refusal is not None:
                raise  # the answer was refused, which says nothing of what was sent
            # That this user may not publish there came back all the same: a round trip.
            self._may_echo = False

    def _echo(self, reply: bytes) -> bytes:
        # A request without any effect stands in where a message to ourselves does not come back.
        if self._may_echo:
            return pub(reply, b"")
        return pub(self.prefixes.api_subject("INFO"), b"", reply)

    async def _answer(self, request: Request, timeout: float, failure: str) -> Message:
        self.send(request)
        try:
            return await request.answer(timeout)
        except TimeoutError:
            why = f", not connected: {self.trouble}" if self.trouble else ""
            raise ServerError(f"{failure} within {timeout:g} s{why}") from None
        finally:
            self.drop(request)

    # receiving

    def subscribe(self, deliver: Deliver) -> Subscription:
        """Subscribe to a new inbox; `deliver` is called by the reader for each message.

        Never blocks: the server knows of it before anything that is posted afterwards.
        """
        return self.subscribe_to(self.new_inbox(), deliver)

    def subscribe_to(self, subject: str | bytes, deliver: Deliver) -> Subscription:
        """Subscribe to a subject, which may have wildcards; otherwise as `subscribe`.

        Raises:
            RuntimeError: it is called in another thread than that of the link's event loop.
        """
        self._pending.check_thread()
        if isinstance(subject, str):
            subject = subject.encode()
        self._serial += 1
        subscription = Subscription(subject, b"%d" % self._serial)
        self._subscriptions[subscription.sid] = subscription
        self._delivers[subscription.sid] = deliver
        self.post_transient(sub(subject, subscription.sid))
        return subscription

    def end(self, subscription: Subscription) -> None:
        """Tell the server to send nothing more; what is under way is still delivered."""
        if self._subscriptions.pop(subscription.sid, None) is not None:
            self.post_transient(unsub(subscription.sid))

    def forget(self, subscription: Subscription) -> None:
        """End a subscription, and deliver nothing more."""
        self.end(subscription)
        self._delivers.pop(subscription.sid, None)

    def new_inbox(self) -> bytes:
        """A subject under which nobody else receives anything."""
        # 128 random bits: nobody can publish to an inbox that he has not seen.
        return b"%b.%b" % (self._options.inbox_prefix.encode(), secrets.token_hex(16).encode())

    # the connection

    @property
    def now(self) -> Callable[[], float]:
        """The time that the server lives in: not a mock clock's, unless it is a MemoryServer."""
        return self._pending.now

    @property
    def in_process(self) -> bool:
        """Whether the server is a MemoryServer of this process."""
        return self.now is not monotonic

    @property
    def connected(self) -> bool:
        """Whether commands go out now; what is posted meanwhile is kept."""
        return self._outbox.open

    @property
    def state(self) -> str:
        """What a connection says of its link when it is shown."""
        if self.closed is not None:
            return f"closed: {self.closed}"
        if self.connected:
            return f"connected to {self._uptime.server}"
        return f"not connected: {self.trouble}"

    def statistics(self) -> ConnectionStatistics:
        """The state of the connection at this moment. Never blocks."""
        uptime, downtime = self._uptime.so_far()
        return ConnectionStatistics(
            server=self._uptime.server,
            connected=self.connected and self.closed is None,
            closed=self.closed is not None,
            reconnects=self._uptime.reconnects,
            uptime=uptime,
            downtime=downtime,
            last_error=str(self.closed or self._dialer.trouble),
            pending=len(self._pending),
            unsent=self._outbox.size,
        )

    @property
    def trouble(self) -> str:
        """Why there is no connection at the moment; empty while there is one."""
        return "" if self._outbox.open else self._dialer.trouble

    @property
    def settling(self) -> bool:
        """Whether JetStream may not answer yet or any more: the server just started, or stops."""
        return self.now() < self._settled_at or self.info.ldm

    @property
    def no_echo(self) -> bool:
        """Whether nothing comes back here that is published here."""
        return self._options.no_echo

    @property
    def inbox_prefix(self) -> str:
        """What the subjects of its inboxes begin with."""
        return self._options.inbox_prefix

    @property
    def max_payload(self) -> int:
        """The largest payload with headers, in bytes, that the server accepts."""
        return self.info.max_payload

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` when the connection comes or goes, until `unwatch`."""
        self._watchers[id(watcher)] = watcher

    def unwatch(self, watcher: Watcher) -> None:
        """Call it no more."""
        self._watchers.pop(id(watcher), None)

    async def connect(self, dialer: Dialer, tasks: TaskGroup) -> None:
        """Connect, and start the tasks that keep the link connected in this task group.

        Raises:
            ConnectError: the first connection failed; later failures close the link.
        """
        self._dialer = dialer
        self._tasks = tasks
        self.subscribe_to(self._pending.prefix + b"*", self._pending.on_reply)
        self.backend.start(tasks, self._call_back, name="walnats/callbacks")
        self.backend.start(tasks, self._outlast, name="walnats/last")
        self._established = await dialer.first()
        for name, task in (
            ("pending", self._pending.watch),
            ("later", self._pending.send_later),
            ("connection", self._serve_for_ever),
        ):
            self._start(name, task)
        await self._settle_in()

    def _start(self, name: str, task: Callable[[], Awaitable[None]]) -> None:
        self.backend.start(self._tasks, self._guard, task, name=f"walnats/{name}")

    async def _guard(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task until `stop`; whoever waits on the link hears of its end, should it break.

        A cancellation from outside is the body's alone: what that says at its end is still sent.
        """
        try:
            with anyio.CancelScope(shield=True) as scope:
                self._scopes.append(scope)
                if not self._left.is_set():
                    await task()
        except (KeyboardInterrupt, SystemExit) as exc:
            self._end_program(exc)
            # No task of ours goes on with the connection, so nobody is to wait for it.
            self._on_defect(exc)
        except Exception as exc:
            self._on_defect(exc)
            raise

    def _end_program(self, interrupt: BaseException) -> None:
        """End the body: a function of the caller's, such as a callback, is to end the program."""
        # asyncio would raise it out of the event loop, past the body that is to be left first.
        self.interrupt = interrupt
        self._tasks.cancel_scope.cancel()

    def _on_defect(self, error: BaseException) -> None:
        self._close(ConnectionLostError("the connection to NATS is broken"), error)

    async def _outlast(self) -> None:
        """Cancelled with the body, give that the time to leave; then end the other tasks."""
        try:
            await self._left.wait()
        except anyio.get_cancelled_exc_class():
            if anyio.current_effective_deadline() > -math.inf:
                raise  # by somebody who cancels all tasks of asyncio: this one begins anew
            with anyio.move_on_after(LEAVE_WITHIN, shield=True):
                await self._left.wait()
            late = f"its body was cancelled, and did not end within {LEAVE_WITHIN:g} s"
            self._close(ConnectionLostError(f"the connection to NATS is closed: {late}"))
            self._stop()
            raise

    def _stop(self) -> None:
        self._left.set()
        for scope in self._scopes:
            scope.cancel()

    async def _settle_in(self) -> None:
        """Wait until the server has read our first words; it may refuse the inbox.

        Raises:
            ConnectError: the user may not have an inbox, or the connection was lost at once.
        """
        try:
            await self.flush()
        except WalnatsError as exc:
            if self._pending.refusal is None:
                raise ConnectError(f"{self._uptime.server} does not answer: {exc}") from exc
        if (refusal := self._pending.refusal) is not None:
            raise ConnectError(
                f"{refusal}. Or pass inbox_prefix, if there is another subject under which this "
                "user may receive answers"
            )
        self._connected_once = True

    async def _serve_for_ever(self) -> None:
        while self.closed is None:
            try:
                established = self._established or await self._dialer.again()
            except ConnectionLostError as exc:
                self._close(exc)
                return
            self._established = None
            connection = Connection(
                established,
                self._outbox,
                self._delivers,
                self._on_control,
                self._on_defect,
                self.now,
            )
            self._connection = connection
            self._on_connect(established)
            try:
                await connection.serve(self._tasks, self._options, self.backend)
            finally:
                # Also after a native cancellation, which cuts the connection and not this task.
                self._on_disconnect(connection)

    def _on_connect(self, established: Established) -> None:
        self.info = established.info
        self.prefixes = replace(self.prefixes, server_domain=self.info.domain)
        self._uptime.connected(established.server.shown)
        self._pending.refusal = None
        self._moving = False
        for subscription in self._subscriptions.values():
            self._outbox.transient.append(sub(subscription.subject, subscription.sid))
        # Also what makes sure of the first connection, when that is lost before it has settled in.
        self._pending.send_all_again(self.max_payload)
        again = self._connected_once
        if again:
            self._settled_at = self.now() + SETTLE
        self._drop_too_large()
        self._outbox.connect(established.transport)
        self._outbox.write()
        if again:
            self._callbacks.post(self._options.reconnected_cb)
            for watcher in list(self._watchers.values()):
                watcher.on_reconnect()

    def _drop_too_large(self) -> None:
        # The server would cut the connection for them, and for what was cut off in the middle of
        # one of them again and again.
        for command in self._outbox.drop_larger(self.max_payload):
            subject = command.split(b" ", 2)[1].decode(errors="replace")
            error = PayloadTooLargeError(payload_size(command), self.max_payload)
            logger.error("a message to %r is not sent: %s", subject, error)

    def _on_disconnect(self, connection: Connection) -> None:
        if self.closed is not None:
            return
        self._uptime.lost()
        refusal = connection.refusal
        self._dialer.lost(str(refusal or connection.reason), refusal)
        self._callbacks.post(self._options.disconnected_cb)
        for watcher in list(self._watchers.values()):
            watcher.on_disconnect()

    # what the server says

    def _on_control(self, event: Event) -> None:
        if isinstance(event, ServerInfo):
            self._on_info(event)
        elif isinstance(event, Err):
            self._on_refusal(refusal_of(event.text))

    def _on_info(self, info: ServerInfo) -> None:
        before, self.info = self.info, info
        if set(info.connect_urls) - set(before.connect_urls):
            self._callbacks.post(self._options.discovered_server_cb)
        if info.ldm and not before.ldm:
            logger.warning("the NATS server %s is about to stop", info.server_name)
            self._callbacks.post(self._options.lame_duck_mode_cb)
        if self._dialer.learn(info) and not self._moving:
            self._moving = True
            self._start("move", self._move)

    @property
    def on_error(self) -> Callable[[Exception], None]:
        """Tells the caller's `error_cb`; it does not refer to the link."""
        return partial(self._callbacks.post, self._options.error_cb)

    async def _move(self) -> None:
        """Leave a server that is about to stop, when what is under way has been answered."""
        connection = self._connection
        for _ in range(MOVE_LOOKS):
            if not len(self._pending) and not self._outbox.size:
                break
            await anyio.sleep(MOVE_WITHIN / MOVE_LOOKS)
        if connection is not None:
            connection.end("the server is about to stop")

    def _on_refusal(self, refusal: Refusal) -> None:
        published = refusal.subject if refusal.operation == "publish" else None
        if published is not None and not self._pending.deny(published, refusal.advice):
            logger.debug("NATS: %s", refusal)
            return
        self._log(refusal)
        self.on_error(ServerError(str(refusal)))
        if refusal.meaning is not Meaning.FAIL and self._connection is not None:
            # The server closes the connection by itself; the reason is worth keeping.
            self._connection.refusal = refusal
        if published is None and self._concerns_inbox(refusal):
            self._pending.refusal = refusal
            self._pending.fail_all(PermissionError(str(refusal)))
        for watcher in list(self._watchers.values()):
            watcher.on_refusal(refusal)

    def _log(self, refusal: Refusal) -> None:
        # A worker of many actors is refused as often, and so is one that tries again and again.
        now = monotonic()
        if refusal.text != self._logged or now - self._logged_at >= SAY_EVERY:
            self._logged, self._logged_at = refusal.text, now
            logger.warning("NATS: %s", refusal)

    def _concerns_inbox(self, refusal: Refusal) -> bool:
        """Whether no answer can come any more."""
        if refusal.meaning is not Meaning.FAIL:
            return False
        if refusal.subject is None:
            # Too many subscriptions: of ours, the inbox comes first.
            return refusal.operation == "subscribe" and not self._connected_once
        return refusal.subject.startswith(self._pending.prefix.decode())

    # the end

    async def _call_back(self) -> None:
        """Call the caller's callbacks, until `stop`; what ends a program ends the link."""
        try:
            # A cancellation that left this task would keep its frames, and so the link.
            with anyio.CancelScope() as own:
                self._scopes.append(own)
                if not self._left.is_set():
                    await self._callbacks.run()
        except (KeyboardInterrupt, SystemExit) as exc:
            self._end_program(exc)

    async def leave(self) -> None:
        """Send what is left and close; bounded by `drain_timeout`, and not cancellable."""
        try:
            with anyio.move_on_after(self._options.drain_timeout, shield=True):
                pause = LEAVE_LOOKS[0]
                while self.connected and (self._outbox.commands or self._outbox.unsent):
                    self._outbox.write()
                    await anyio.sleep(pause)
                    pause = min(2 * pause, LEAVE_LOOKS[1])
            if self.connected and self._connected_once:
                self._callbacks.post(self._options.disconnected_cb)
            self._close(ConnectionLostError("the connection has been left"))
            with anyio.move_on_after(CLOSE_WITHIN, shield=True) as scope:
                await self._callbacks.call_all()
            if scope.cancelled_caught:
                logger.warning("a callback took over %g s and was cut short", CLOSE_WITHIN)
        finally:
            # Also when asyncio cancels the task natively, which no shield keeps off.
            self._close(ConnectionLostError("the connection has been left"))
            self._stop()
            established, self._established = self._established, None
            if established is not None:  # nobody came to serve it
                with anyio.move_on_after(CLOSE_WITHIN, shield=True):
                    await established.transport.close()

    def release(self) -> None:
        """Let go of what refers to the link, so that it is freed without the garbage collector."""
        for held in (self._delivers, self._subscriptions, self._watchers):
            held.clear()
        self._connection = None
        del self._pending.echo

    def _close(self, error: Exception, cause: BaseException | None = None) -> None:
        """Close for good; whoever waits hears of it."""
        if self.closed is not None:
            return
        error.__cause__ = cause if isinstance(cause, Exception) else None
        self.closed = error
        self._uptime.lost()
        self._pending.closed = error
        self._pending.fail_all(error)
        if self._connected_once:
            self._callbacks.post(self._options.closed_cb)
        for watcher in list(self._watchers.values()):
            watcher.on_close()


@asynccontextmanager
async def open_link(
    server: Server | None,
    *,
    close: bool = True,
    options: Mapping[str, Any] | None = None,
    prefixes: Prefixes = NO_PREFIXES,
) -> AsyncIterator[Link]:
    """Connect to NATS; blocks until connected.

    Args:
        server: a URL, several, (on asyncio) a connected client of the caller's, or what has a
            connection to share, which is left to its owner. None: what `$NATS_SERVER` says, else
            `nats://localhost:4222`.
        close: close a caller's client at the end; a connection made here is always closed.
        options: see `ConnectOptions`.
        prefixes: where JetStream's API is, and what goes before the names.

    Raises:
        ConnectError: no server could be reached within seconds.
        ConnectionLostError: the connection to be shared is closed for good.
    """
    if isinstance(server, Connected):
        yield _shared(server)
        return
    if server is None:
        server = os.environ.get("NATS_SERVER") or "nats://localhost:4222"
    chosen = ConnectOptions.of(_options_of(server) if is_client(server) else options or {})
    backend = current_backend()
    link = Link(backend, chosen, prefixes, *_clocks_of(server, backend))
    dialer = _dialer_for(server, close, chosen, link)
    body: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            # The task group would wrap what is raised in a group, so it goes around that.
            try:
                await backend.uninterrupted(link.connect)(dialer, tasks)
                yield link
            except BaseException as exc:  # noqa: BLE001 - raised below
                body = exc
            await backend.uninterrupted(link.leave)()  # which ends all its tasks
    except BaseException as exc:
        await dialer.close()
        failures = failures_of(exc)
        if isinstance(body, KeyboardInterrupt | SystemExit):
            raise body from None
        if body is not None and failures_of(body):
            failures.insert(0, body)
        if not failures:
            raise  # cancelled from outside
        raise one_or_group("the connection to NATS failed", failures) from None
    await dialer.close()
    link.release()
    if link.interrupt is not None:
        raise link.interrupt
    if body is not None:
        raise body


def _shared(connected: Connected) -> Link:
    link = link_of(connected)
    if link.closed is not None:
        raise ConnectionLostError(f"the connection to be shared is closed: {link.closed}")
    return link


def _options_of(client: Server) -> dict[str, Any]:
    from walnats_anyio._link._borrowed import options_of

    return options_of(client)  # type: ignore[arg-type]  # `is_client` has looked


def _clocks_of(server: Server, backend: Backend) -> tuple[Callable[[], float], Callable[[], float]]:
    """The clock that a server lives on, and what tells the time there."""
    if is_client(server):
        return monotonic, time
    address = parse_servers(server)[0]  # type: ignore[arg-type]  # it is no client
    if not address.in_process:
        return monotonic, time
    return backend.clock, wall_clock(address.host, backend.clock)


def _dialer_for(server: Server, close: bool, options: ConnectOptions, link: Link) -> Dialer:
    if is_client(server):
        from walnats_anyio._link._borrowed import BorrowedDialer

        return BorrowedDialer(server, close)  # type: ignore[arg-type]  # `is_client` has looked
    addresses = parse_servers(server)  # type: ignore[arg-type]  # it is no client
    if any(address.websocket for address in addresses):
        load_websockets()
    return ServerDialer(addresses, options, link.on_error, link.now)
