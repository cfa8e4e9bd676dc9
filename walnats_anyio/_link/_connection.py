"""One connection to one server, from its handshake until it is lost: reader, writer, keepalive."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
from anyio.abc import TaskGroup

from walnats_anyio._link._handshake import CLOSE_WITHIN, Established
from walnats_anyio._link._keepalive import LOOKS, Action, Keepalive, Seen
from walnats_anyio._link._options import ConnectOptions
from walnats_anyio._link._outbox import Outbox
from walnats_anyio._link._parking import Backend
from walnats_anyio._link._transport import LOST
from walnats_anyio._link.protocol import (
    PING,
    PONG,
    Event,
    Message,
    Ping,
    Pong,
    ProtocolError,
)
from walnats_anyio._link.protocol._refusals import Refusal

logger = logging.getLogger("walnats_anyio.link")

Deliver = Callable[[Message], None]


class Connection:
    """Reads, writes and looks after one connection.

    Between the socket and the callback of a subscription there is no task, no queue, and one object
    for a message.
    """

    def __init__(
        self,
        established: Established,
        outbox: Outbox,
        subscriptions: dict[bytes, Deliver],
        on_control: Callable[[Event], None],
        on_defect: Callable[[Exception], None],
        now: Callable[[], float],
    ) -> None:
        self.server = established.server
        self.reason = ""
        """Why it ended."""
        self.refusal: Refusal | None = None
        """What the server said before it closed the connection."""
        self._transport = established.transport
        self._parser = established.parser
        self._first_events = established.events
        self._outbox = outbox
        self._subscriptions = subscriptions
        self._on_control = on_control
        self._on_defect = on_defect
        self._now = now
        self._pongs = 0
        self._messages = 0
        self._scopes: list[anyio.CancelScope] = []
        self._working = 0
        self._over = anyio.Event()

    async def serve(self, tasks: TaskGroup, options: ConnectOptions, backend: Backend) -> None:
        """Serve the connection until it is lost; `reason` says why. Cancelling it cuts it."""
        try:
            for name, work in (
                ("reader", self._read),
                ("writer", self._write),
                ("keepalive", partial(self._keep_alive, options)),
            ):
                self._working += 1
                backend.start(tasks, self._work, work, name=f"walnats/{name}")
            await self._over.wait()
        finally:
            self.end("the connection was left")
            self._outbox.disconnect()
            with anyio.move_on_after(CLOSE_WITHIN, shield=True):
                await self._transport.close()

    def end(self, reason: str) -> None:
        """Cut the connection; the first reason counts."""
        self.reason = self.reason or reason
        for scope in self._scopes:
            scope.cancel()
        if not self._working:
            self._over.set()

    async def _work(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do one part of the work until the connection ends."""
        # It ends with `serve`, and not when the body of the connection is cancelled.
        with anyio.CancelScope(shield=True) as scope:
            self._scopes.append(scope)
            if not self.reason:
                try:
                    await work()
                except Exception as exc:
                    # Whoever waits for an answer hears of it, before all is cancelled.
                    self._on_defect(exc)
                    raise
                except (KeyboardInterrupt, SystemExit):
                    # What the body says at its end is sent over another connection.
                    self._working -= 1
                    self.end("the program was interrupted")
                    raise
        self._scopes.remove(scope)
        self._working -= 1
        self.end("")

    async def _read(self) -> None:
        parse, handle = self._parser.receive, self._handle
        events, self._first_events = self._first_events, []
        try:
            handle(events)
            await self._transport.feed(lambda data: handle(parse(data)))
        except LOST as exc:
            self.end(_why(exc))
        except ProtocolError as exc:
            self.end(f"the server does not speak NATS: {exc}")

    def _handle(self, events: list[Event]) -> None:
        find = self._subscriptions.get
        for event in events:
            if type(event) is Message:
                deliver = find(event.sid)
                if deliver is not None:
                    deliver(event)
            else:
                self._control(event)
        # A message without payload may be a heartbeat, which proves nothing; see `_keepalive`.
        if events and type(last := events[-1]) is Message and last.data:
            self._messages += 1
        # What the callbacks posted leaves now, and not a turn of the event loop later.
        self._outbox.write()

    def _control(self, event: Event) -> None:
        match event:
            case Ping():
                self._outbox.post_transient(PONG)
            case Pong():
                self._pongs += 1
            case ProtocolError():
                raise event
            case _:
                self._on_control(event)

    async def _write(self) -> None:
        try:
            await self._outbox.send_all(self._transport)
        except LOST as exc:
            self.end(_why(exc))
        finally:
            if self._outbox.unsent:
                # Interrupted in the middle of a command: the rest would be read as another one.
                self.end("writing was interrupted")

    async def _keep_alive(self, options: ConnectOptions) -> None:
        keepalive = Keepalive(options.max_outstanding_pings)
        between = options.ping_interval / LOOKS
        looked_at = self._now()
        while True:
            await self._transport.in_doubt()
            looks = keepalive.pause
            await anyio.sleep(looks * between)
            # A mock clock may have jumped, while the server had no time to answer.
            if self._now() - looked_at < between / 2:
                continue
            looked_at = self._now()
            buffered, unsent = self._parser.buffered, self._outbox.unsent
            match keepalive.look(Seen(self._pongs, self._messages, buffered, unsent), looks):
                case Action.PING:
                    self._outbox.post_transient(PING)
                case Action.CUT:
                    waited = options.ping_interval * (options.max_outstanding_pings + 1)
                    self.end(f"nothing heard from the server for {waited:g} s")
                case Action.NOTHING:
                    pass


def _why(error: BaseException) -> str:
    if isinstance(error, anyio.EndOfStream):
        return "the server closed the connection"
    return str(error.__cause__ or error) or type(error).__name__
