"""A connected `nats.NATS` of the caller's, through its public names only.

It is made to look like a byte stream that speaks NATS: what we send is read as commands and done
through the client's methods, and what the client delivers is written as the server would write it.
So everything above is the same as over a socket of our own. It is slower: a message is put into
bytes and read again, and nats-py gives each subscription a queue and a task.

nats-py has no public way to hear of a disconnect beside the callbacks that were given to `connect`,
so the client is asked several times a second. What its `error_cb` hears, a refusal by the server
for instance, stays the caller's: here such a request times out.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from walnats_anyio._link._errors import ConnectError, ConnectionLostError
from walnats_anyio._link._handshake import CLOSE_WITHIN, Established
from walnats_anyio._link._options import ServerAddress, parse_servers
from walnats_anyio._link._parking import is_trio
from walnats_anyio._link.protocol import (
    PING,
    PONG,
    Parser,
    ServerInfo,
    parse_headers,
    read_publication,
)
from walnats_anyio._link.protocol._refusals import Refusal

logger = logging.getLogger("walnats_anyio.link")

LOOK_EVERY = 0.1
"""Seconds between two looks at the client's connection."""


def options_of(client: Client) -> dict[str, Any]:
    """What of the client's own options matters above it."""
    return {"no_echo": client.options.get("no_echo") or False}


class BorrowedDialer:
    """Waits for the client to be connected; nats-py reconnects by itself."""

    def __init__(self, client: Client, close: bool) -> None:
        self.trouble = ""
        self._client = client
        self._close = close
        self._used = False

    async def first(self) -> Established:
        if is_trio():
            raise TypeError(
                "a nats.NATS of your own can be used on asyncio only; on trio pass the server's URL"
            )
        if not self._client.is_connected:
            raise ConnectError(
                "the nats.NATS given is not connected: await nats.connect(...) first"
            )
        self._used = True
        return self._established()

    async def again(self) -> Established:
        while not self._client.is_connected:
            if self._client.is_closed:
                raise ConnectionLostError("the nats.NATS that this connection uses is closed")
            await anyio.sleep(LOOK_EVERY)
        return self._established()

    def _established(self) -> Established:
        client = self._client
        info = ServerInfo(max_payload=client.max_payload, jetstream=True, headers=True)
        return Established(_address(client), BorrowedTransport(client), Parser(), info, [])

    def lost(self, reason: str, refusal: Refusal | None) -> None:
        self.trouble = reason

    def learn(self, info: ServerInfo) -> bool:
        return False

    async def close(self) -> None:
        if not (self._close and self._used) or self._client.is_closed:
            return
        with anyio.move_on_after(CLOSE_WITHIN, shield=True) as scope:
            try:
                await self._client.close()
            except (OSError, nats.errors.Error) as error:
                # Its last words do not reach a server that is away.
                logger.warning("closing the nats.NATS: %s", str(error) or type(error).__name__)
        if scope.cancelled_caught:
            logger.warning("closing the nats.NATS took over %g s and was cut short", CLOSE_WITHIN)


def _address(client: Client) -> ServerAddress:
    url = client.connected_url
    return parse_servers("nats://localhost" if url is None else url.geturl())[0]


class BorrowedTransport:
    """A transport over the methods of a client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reconnects = client.stats["reconnects"]
        self._subscriptions: dict[bytes, Any] = {}
        self._received: deque[bytes] = deque()
        self._arrived = anyio.Event()
        self._unread = b""

    # from the server

    async def receive(self) -> bytes:
        while not self._received:
            client = self._client
            # A reconnect that was over between two looks has lost what was under way as well.
            if not client.is_connected or client.stats["reconnects"] != self._reconnects:
                raise anyio.EndOfStream
            with anyio.move_on_after(LOOK_EVERY):
                await self._arrived.wait()
        received = b"".join(self._received)
        self._received.clear()
        self._arrived = anyio.Event()
        return received

    async def feed(self, take: Callable[[bytes], None]) -> None:
        while True:
            take(await self.receive())

    def _put(self, data: bytes) -> None:
        self._received.append(data)
        self._arrived.set()

    def _deliver_to(self, sid: bytes) -> Callable[[Msg], Awaitable[None]]:
        async def deliver(message: Msg) -> None:
            self._put(_as_received(sid, message))

        return deliver

    # to the server

    def send_now(self, data: bytes) -> int:
        return 0

    async def send(self, data: bytes) -> None:
        data = self._unread + data
        at = 0
        while (end := _end_of_command(data, at)) is not None:
            command, at = data[at:end], end
            try:
                await self._do(command)
            except (nats.errors.Error, OSError) as error:
                if isinstance(error, nats.errors.MaxPayloadError):
                    logger.warning("nats.NATS: %s", error)
                    continue
                raise anyio.BrokenResourceError from error
        self._unread = data[at:]

    async def _do(self, command: bytes) -> None:
        client = self._client
        if command == PING:
            self._put(PONG)
        elif command.startswith(b"SUB "):
            _, subject, sid = command.split()
            self._subscriptions[sid] = await client.subscribe(
                subject.decode(), cb=self._deliver_to(sid)
            )
        elif command.startswith(b"UNSUB "):
            subscription = self._subscriptions.pop(command.split()[1], None)
            if subscription is not None:
                await subscription.unsubscribe()
        elif command != PONG:
            publication = read_publication(command)
            await client.publish(
                publication.subject.decode(),
                publication.payload,
                publication.reply.decode(),
                parse_headers(publication.headers) or None,
            )

    async def close(self) -> None:
        subscriptions, self._subscriptions = list(self._subscriptions.values()), {}
        for subscription in subscriptions:
            if not self._client.is_closed:
                try:
                    await subscription.unsubscribe()
                except (nats.errors.Error, OSError) as error:
                    logger.warning("nats.NATS: %s", str(error) or type(error).__name__)


def _end_of_command(data: bytes, at: int) -> int | None:
    """Where the command that begins at `at` ends; None when it is incomplete."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    end += 2
    if data.startswith((b"PUB ", b"HPUB "), at):
        end += int(data[at : end - 2].rsplit(b" ", 1)[1]) + 2
    return end if end <= len(data) else None


def _as_received(sid: bytes, message: Msg) -> bytes:
    """A message as the server would have sent it."""
    target = b"%b %b" % (message.subject.encode(), sid)
    if message.reply:
        target = b"%b %b" % (target, message.reply.encode())
    headers = dict(message.headers or {})
    if not headers:
        return b"MSG %b %d\r\n%b\r\n" % (target, len(message.data), message.data)
    # nats-py gives the parts of a status line as headers.
    status = [headers.pop(name) for name in ("Status", "Description") if name in headers]
    first = " ".join(["NATS/1.0", *status])
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    block = f"{first}\r\n{lines}\r\n".encode()
    size = len(block) + len(message.data)
    return b"HMSG %b %d %d\r\n%b%b\r\n" % (target, len(block), size, block, message.data)
