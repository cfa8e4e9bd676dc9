"""The link: NATS as the rest of the framework sees it.

Theory of operation. Sending is synchronous: `post` appends a command to the outbox, and one
callback a turn of the loop hands all of them to nats-py at once. Receiving is synchronous: nats-py
calls the callback of a subscription from its read loop, for many messages in a row, so a callback
only notes what came.

What wants an answer (a request, an emit) is an *ask*: it has its own reply subject under the link's
one inbox, and it is sent again after a reconnect, and whenever `RETRY_AFTER` passed without an
answer, until it is answered or dropped. So an answer lost with a connection or with a cluster's
leader is asked for again.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import anyio
from nats.aio.client import Client

from walnats_anyio._link import _client
from walnats_anyio._link._asks import Ask, Asks, Message, Request
from walnats_anyio._link._backend import Backend, open_backend
from walnats_anyio._link._errors import ConnectError, ConnectionLostError, ServerError
from walnats_anyio._link._hearing import Hearing
from walnats_anyio._link._options import Server
from walnats_anyio._link._outbox import Outbox
from walnats_anyio._link._spot import AsyncioSpot, Spot, TrioSpot
from walnats_anyio._link._wire import Deliver, Mailbox, pub

logger = _client.logger

SETTLE = 5.0
"""Seconds after a reconnect in which "no responders" may only mean that JetStream is not up yet."""

NOTHING = "$JS.API.INFO"
"""A request without any effect."""


class Watcher(Protocol):
    """Whoever must act when the connection comes or goes; called inside nats-py's loop."""

    def on_disconnect(self) -> None: ...
    def on_reconnect(self) -> None: ...
    def on_close(self) -> None: ...


class Link:
    """One connection to NATS, opened by `open_link`."""

    def __init__(self, backend: Backend) -> None:
        self.closed: Exception | None = None
        """Why the link is closed for good, or None."""
        self._backend = backend
        self._client: Any = None
        self._outbox = Outbox(backend.loop)
        self._asks = Asks(backend.loop, self._outbox)
        self._hearing = Hearing(backend.loop, self._outbox)
        self._settled_at = 0.0
        self._watchers: dict[int, Watcher] = {}
        self._inbox: Mailbox | None = None
        self._may_echo = True
        self._asks.echo = self._echo
        self.post = self._outbox.post
        self.new_reply = self._asks.new_reply
        self.drop = self._asks.drop
        self.again = self._asks.again
        self.wait_on = self._asks.wait_on

    # sending

    def ask(self, ask: Ask) -> None:
        """Send `ask.command`, which names `ask.reply`, until it is answered. Never blocks.

        Raises:
            ConnectionLostError: the link is closed for good.
        """
        if self.closed is not None:
            raise ConnectionLostError(str(self.closed)) from self.closed
        self._asks.send(ask)

    async def request(
        self, subject: str, payload: bytes = b"", *, timeout: float = 5.0, headers: bytes = b""
    ) -> Message:
        """Send a request and wait for its answer, through reconnects.

        Raises:
            ServerError: no answer within `timeout` seconds, or the user may not ask.
            ConnectionLostError: the link is closed for good.
        """
        request = Request()
        request.reply = self.new_reply()
        request.command = pub(subject, payload, request.reply, headers)
        return await self._answer(request, timeout, f"no answer to {subject}")

    async def flush(self, timeout: float = 5.0) -> None:
        """Wait until the server has read everything posted so far.

        It is a round trip of a message to ourselves: nats-py's own flush loses count of its pings
        when it is cancelled, and then ends its read loop.

        Raises:
            ServerError: not within `timeout` seconds.
            ConnectionLostError: the link is closed for good.
        """
        request = Request()
        request.reply = self.new_reply()
        request.command = self._echo(request.reply)
        try:
            await self._answer(request, timeout, "the server did not read what was sent")
        except ServerError:
            if not request.denied:
                raise
            # That this user may not publish there came back all the same: a round trip.
            self._may_echo = False

    def _echo(self, reply: str) -> bytes:
        return pub(reply, b"") if self._may_echo else pub(NOTHING, b"", reply)

    async def _answer(self, request: Request, timeout: float, failure: str) -> Message:
        self.ask(request)
        try:
            with anyio.fail_after(timeout):
                return await request.answer()
        except TimeoutError:
            raise ServerError(f"{failure} within {timeout} s") from None
        finally:
            self.drop(request)

    # receiving

    async def subscribe(self, deliver: Deliver) -> Mailbox:
        """Subscribe to a new inbox; `deliver` is called in nats-py's loop for each message.

        Blocks for no round trip: the server knows it before anything posted afterwards.
        """
        return await self._subscribe(self._client.new_inbox(), deliver)

    async def _subscribe(self, subject: str, deliver: Deliver) -> Mailbox:
        mailbox = Mailbox(subject, deliver, self._fail)

        async def subscribe() -> None:
            mailbox.subscription = await self._client.subscribe(subject, future=mailbox)

        await self._backend.run(subscribe)
        return mailbox

    def end(self, mailbox: Mailbox) -> None:
        """Tell the server to send nothing more; what is under way is still delivered."""
        self.post(b"UNSUB %d\r\n" % mailbox.subscription._id)

    async def unsubscribe(self, mailbox: Mailbox) -> None:
        """Forget a subscription: nothing is delivered any more."""
        if not self._client.is_closed:
            await self._backend.run(mailbox.subscription.unsubscribe)

    def new_spot(self) -> Spot:
        """Make a spot where one task of the application waits."""
        return AsyncioSpot() if self._backend.native else TrioSpot()

    # the connection

    @property
    def connected(self) -> bool:
        """Whether commands go out now; what is posted meanwhile is kept."""
        return self._outbox.open

    def now(self) -> float:
        """The time in seconds, on the clock of nats-py's loop."""
        return self._backend.loop.time()

    @property
    def settling(self) -> bool:
        """Whether the connection is so fresh that JetStream may not answer yet."""
        return self.now() < self._settled_at

    @property
    def max_payload(self) -> int:
        """The largest payload with headers, in bytes, that the server accepts."""
        return int(self._client.max_payload)

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` when the connection comes or goes, until `unwatch`."""
        self._watchers[id(watcher)] = watcher

    def unwatch(self, watcher: Watcher) -> None:
        self._watchers.pop(id(watcher), None)

    def on_disconnect(self) -> None:
        if self.closed is not None:
            return
        if self._outbox.open:
            logger.warning("the connection to NATS is lost; reconnecting")
        self._outbox.open = False
        for watcher in list(self._watchers.values()):
            watcher.on_disconnect()

    def on_reconnect(self) -> None:
        logger.warning("connected to NATS again")
        self._settled_at = self.now() + SETTLE
        self._asks.send_all_again()
        self._outbox.open = True
        self._outbox.write()
        for watcher in list(self._watchers.values()):
            watcher.on_reconnect()

    def on_close(self) -> None:
        self._fail(ConnectionLostError("the connection to NATS is closed"))

    def on_error(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        logger.warning("NATS client: %s", text)
        # nats: permissions violation for publish to "subject", all of it in lower case
        denied = re.search(r'permissions violation for (\w+) to "([^"]+)"', text.lower())
        if denied is None:
            return
        if denied[1] == "publish":
            self._asks.deny(denied[2])
        elif denied[2].startswith(self._asks.prefix.lower()):
            inbox = self._asks.prefix.split(".")[0]
            remedy = "allow it, or pass the inbox_prefix that is allowed"
            refusal = f"this user may not subscribe to {inbox}.>, where answers arrive: {remedy}"
            self._fail(ConnectError(refusal))

    async def start(self, client: Client) -> None:
        """Begin to use a connected client; blocks for a round trip.

        Raises:
            ConnectError: the user may not have an inbox.
        """
        self._client = self._outbox.client = client
        self._outbox.open = True
        # One wildcard under an inbox of our own serves every answer.
        self._asks.prefix = f"{client.new_inbox()}."
        self._may_echo = not client.options["no_echo"]
        self._inbox = await self._subscribe(f"{self._asks.prefix}*", self._asks.on_answer)
        self._hearing.start()
        try:
            await self.flush()
        except ConnectionLostError:
            raise self.closed or ConnectError("the connection was lost at once") from None

    async def stop(self) -> None:
        """Send what is left and forget the rest; the client may live on when it is the caller's."""
        self._outbox.write()
        self._fail(ConnectionLostError("the connection has been left"))
        if self._inbox is not None:
            with anyio.move_on_after(_client.CLOSE_WITHIN / 4, shield=True):
                await self.unsubscribe(self._inbox)

    def _fail(self, error: Exception) -> None:
        """Close for good; also where a callback raised, as nats-py would only stop reading."""
        self._outbox.open = False
        self._hearing.stop()
        if self.closed is not None:
            return
        self.closed = error
        self._asks.give_up(error)
        for watcher in list(self._watchers.values()):
            watcher.on_close()


@asynccontextmanager
async def open_link(
    server: Server | None, *, close: bool = True, options: dict[str, Any] | None = None
) -> AsyncIterator[Link]:
    """Connect to NATS; blocks until connected.

    Args:
        server: a URL, several, or (on asyncio) a connected client of the caller's. None: what
            `$NATS_SERVER` says, else `nats://localhost:4222`.
        close: close a caller's client at the end; a client made here is always closed.
        options: passed to nats-py's `connect` unchanged.

    Raises:
        ConnectError: no server could be reached within seconds.
        RuntimeError: on trio without trio-asyncio.
    """
    if server is None:
        server = os.environ.get("NATS_SERVER") or "nats://localhost:4222"
    left: BaseException | None = None
    async with open_backend() as backend:
        link = Link(backend)
        try:
            async with _client.open_client(backend, server, close, options or {}, link) as client:
                try:
                    await link.start(client)
                    yield link
                finally:
                    await link.stop()
        except BaseException as exc:  # noqa: BLE001 - raised again below
            # The asyncio loop on trio lives in a nursery, which would wrap the body's exception
            # in a group: it is carried around it.
            left = exc
    if left is not None:
        raise left
