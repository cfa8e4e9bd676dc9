"""From a server's address to a connection that is ready: TCP, TLS, INFO, CONNECT, PING, PONG."""

from __future__ import annotations

import math
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSStream

from walnats_anyio._link._credentials import credentials
from walnats_anyio._link._errors import ConnectError
from walnats_anyio._link._in_process import connect_to
from walnats_anyio._link._options import ConnectOptions, ServerAddress
from walnats_anyio._link._patience import Patience
from walnats_anyio._link._transport import LOST, Transport, transport_over
from walnats_anyio._link.protocol import (
    PING,
    Err,
    Event,
    Parser,
    Pong,
    ProtocolError,
    ServerInfo,
    connect,
)
from walnats_anyio._link.protocol._refusals import Refusal, refusal_of

HANDSHAKE_WITHIN = 10.0
"""Seconds that a server has from its first word to its PONG; a slow line needs some."""

CLOSE_WITHIN = 2.0
"""Seconds that closing a stream may take; clean-up is shielded, so it has to be bounded."""


class HandshakeError(Exception):
    """A server could not be connected to."""

    def __init__(self, reason: str, refusal: Refusal | None = None) -> None:
        super().__init__(reason)
        self.refusal = refusal
        """What the server said, when it was the server that refused."""

    @property
    def final(self) -> bool:
        """Whether trying again will not help, as long as nobody changes anything."""
        return isinstance(self.__cause__, ssl.SSLError | ConnectError) or (
            self.refusal is not None and self.refusal.meaning.fatal_at_first
        )


@dataclass(slots=True)
class Established:
    """A connection that is ready."""

    server: ServerAddress
    transport: Transport
    parser: Parser
    info: ServerInfo
    events: list[Event]
    """What came behind the PONG."""


async def dial(
    server: ServerAddress,
    options: ConnectOptions,
    at_most: float = math.inf,
    now: Callable[[], float] = monotonic,
) -> Established:
    """Connect to one server, until the time `at_most` of the server's clock `now`.

    Raises:
        HandshakeError: it cannot be reached in time, or refuses.
    """
    patience = Patience(options.connect_timeout, at_most=at_most, now=now)
    handshake = _Handshake(server, options, patience)
    try:
        await patience.wait_for(handshake.run)
    except BaseException as exc:
        with anyio.move_on_after(CLOSE_WITHIN, shield=True):
            await handshake.close()
        if isinstance(exc, TimeoutError):
            raise HandshakeError(handshake.too_slow()) from exc
        if isinstance(exc, (*LOST, ProtocolError, ConnectError)):
            raise HandshakeError(_reason(exc)) from exc
        raise
    # It opens a socket, so no cancellation may come between this and who closes it.
    return handshake.established()


def load_websockets() -> Callable[..., Awaitable[ByteStream]]:
    """What opens a websocket, from a module that needs a package.

    Raises:
        ConnectError: the package is not installed.
    """
    try:
        from walnats_anyio._link._websocket import open_websocket
    except ImportError as exc:
        raise ConnectError(
            "websockets need the package wsproto: pip install 'walnats-anyio[websocket]'"
        ) from exc
    return open_websocket


class _Handshake:
    """One handshake, step by step."""

    def __init__(self, server: ServerAddress, options: ConnectOptions, patience: Patience) -> None:
        self.stream: ByteStream
        self._opened = False
        self._spoke = False
        self._server = server
        self._options = options
        self._patience = patience
        self._parser = Parser()
        self._events: list[Event] = []
        self._last_info = ServerInfo()

    async def close(self) -> None:
        """Close what has been opened so far."""
        if self._opened:
            await anyio.aclose_forcefully(self.stream)

    def too_slow(self) -> str:
        """What the server did not do in time."""
        within = f"within {self._options.connect_timeout:g} s"
        if not self._opened:
            return f"no connection {within}"
        return "the server was too slow in the handshake" if self._spoke else f"no word {within}"

    async def run(self) -> None:
        """Everything that takes time."""
        server = self._server
        self.stream, self._opened = await _open_stream(server), True
        if server.websocket:
            await self._open_websocket()
        elif self._options.tls_handshake_first:
            await self._wrap()
        info = await self._info()
        if not server.websocket and not self._options.tls_handshake_first:
            await self._upgrade(info)
        fields = self._fields(info)
        await self.stream.send(connect(fields) + PING)
        while True:
            event = await self._next()
            if isinstance(event, Pong):
                break
            if isinstance(event, ServerInfo):
                info = event
        self._last_info = info

    def established(self) -> Established:
        """What `run` has made."""
        transport = transport_over(self.stream)
        return Established(self._server, transport, self._parser, self._last_info, self._events)

    async def _next(self) -> Event:
        """The next event; a refusal is raised."""
        while not self._events:
            self._events = self._parser.receive(await self.stream.receive())
        event = self._events.pop(0)
        if isinstance(event, ProtocolError):
            raise event
        if isinstance(event, Err):
            refusal = refusal_of(event.text)
            raise HandshakeError(str(refusal), refusal)
        return event

    async def _info(self) -> ServerInfo:
        event = await self._next()
        # It is there, so a slow line is no reason to give it up.
        self._spoke = True
        self._patience.renew(max(HANDSHAKE_WITHIN, self._options.connect_timeout))
        if not isinstance(event, ServerInfo):
            raise ProtocolError(f"a NATS server begins with INFO, not {type(event).__name__}")
        return event

    async def _upgrade(self, info: ServerInfo) -> None:
        wanted = self._server.tls or self._options.tls is not None
        if not wanted and not info.tls_required:
            return
        if not info.tls_required and not info.tls_available:
            raise ConnectError("the server does not offer TLS: leave it out, or configure it there")
        # Words that came before the encryption may be anybody's.
        if self._events or self._parser.buffered:
            raise ProtocolError("the server sent more than INFO before the TLS handshake")
        await self._wrap()

    async def _wrap(self) -> None:
        server = self._server
        context = self._options.tls or ssl.create_default_context()
        self.stream = await TLSStream.wrap(
            self.stream,
            server_side=False,
            hostname=self._options.tls_hostname or server.certificate_host or server.host,
            ssl_context=context,
            # The NATS protocol says itself where it ends; servers close without a TLS farewell.
            standard_compatible=False,
        )

    async def _open_websocket(self) -> None:
        if self._server.tls:
            await self._wrap()
        open_websocket = load_websockets()
        self.stream = await open_websocket(self.stream, self._server, self._options)

    def _fields(self, info: ServerInfo) -> dict[str, Any]:
        # Here, as the package imports this module before it has a version. The metadata of the
        # distribution has it, too, but takes 20 ms to import and is read from disk each time.
        from walnats_anyio import __version__

        options = self._options
        fields: dict[str, Any] = {
            "verbose": options.verbose,
            "pedantic": options.pedantic,
            "lang": "python",
            "version": __version__,
            "protocol": 1,
            "headers": True,
            "no_responders": True,
            "echo": not options.no_echo,
            "tls_required": isinstance(self.stream, TLSStream),
        }
        if options.name is not None:
            fields["name"] = options.name
        return fields | credentials(options, self._server, info.nonce)


async def _open_stream(server: ServerAddress) -> ByteStream:
    if server.in_process:
        return connect_to(server.host)
    tcp = await anyio.connect_tcp(server.host, server.port)
    _send_at_once(tcp)
    return tcp


def _send_at_once(stream: SocketStream) -> None:
    """Switch Nagle's algorithm off: commands are sent in batches already, and somebody waits."""
    raw = stream.extra(SocketAttribute.raw_socket)
    with socket.socket(fileno=os.dup(raw.fileno())) as ours:
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _reason(error: BaseException) -> str:
    """Say what went wrong, with the causes that libraries hide behind their own words."""
    if isinstance(error, anyio.EndOfStream):
        return "the server closed the connection"
    cause = error.__cause__
    if isinstance(cause, ExceptionGroup):
        reasons = dict.fromkeys(str(one) for one in cause.exceptions)
        return "; ".join(reasons) or str(error)
    if isinstance(cause, OSError) or not str(error):
        return str(cause or "") or type(error).__name__
    return str(error)
