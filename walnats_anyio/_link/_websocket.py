"""NATS inside a websocket: a byte stream over another one, with wsproto for what is on the wire.

Theory of operation. What is sent goes out as one binary frame, what comes in binary frames is one
stream of bytes, as a server may cut it where it likes. The reader answers pings and the farewell,
but never waits for a writer: when one is at work, that one sends the answer after its own frame. So
two tasks, one that reads and one that writes, never wait for each other.

This is the only module that imports wsproto, which an extra installs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import anyio
import h11
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import RemoteProtocolError

from walnats_anyio._link._addresses import PORTS, ServerAddress
from walnats_anyio._link._errors import ConnectError
from walnats_anyio._link._options import ConnectOptions
from walnats_anyio._link._transport import LOST

HTTP = b"HTTP/"
"""What an answer begins with. A server that says something else may wait for more of ours."""

FAREWELL_WITHIN = 1.0
"""Seconds that the last frame may take; nobody waits for it."""

OUR_HEADERS = ("connection", "upgrade", "content-length", "transfer-encoding", "sec-websocket-")
"""Headers that make the handshake, and that nobody else may set; the last one is a beginning."""

PATH_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"
"""What need not be escaped in path and query; `%` is there already for what was."""

ORDERLY = (CloseReason.NORMAL_CLOSURE, CloseReason.GOING_AWAY, CloseReason.NO_STATUS_RCVD)


async def open_websocket(
    stream: ByteStream, server: ServerAddress, options: ConnectOptions
) -> ByteStream:
    """Open a websocket to a server; waits for its answer.

    Args:
        stream: a connection to the server, with TLS or without.
        server: whose host, port and path the request names.
        options: `ws_connection_headers` are sent with the request.

    Returns:
        A stream of what is inside the websocket. Closing it closes `stream`.

    Raises:
        ConnectError: the server refuses, or does not speak websockets, or a header cannot be sent.
        OSError: a proxy has no server at the moment; or what else `stream` raises.
    """
    connection = WSConnection(ConnectionType.CLIENT)
    await stream.send(_request(connection, server, options))
    first = b""
    while True:
        data = await stream.receive()
        first = first or data[: len(HTTP)]
        try:
            if not HTTP.startswith(first):
                raise ValueError(f"its first word is {first!r}")
            connection.receive_data(data)
        except (RemoteProtocolError, ValueError) as error:
            raise ConnectError(
                f"no websocket answers at {server.place} ({error}): use the port of the server's "
                "websocket section, or a nats:// URL"
            ) from None
        for event in connection.events():
            if isinstance(event, AcceptConnection):
                # What came behind the answer is still in `connection`.
                return WebsocketStream(stream, connection)
            if isinstance(event, RejectConnection):
                raise _refused(event.status_code, connection)


class WebsocketStream(ByteStream):
    """The bytes inside a websocket. One task may receive while another one sends."""

    def __init__(self, stream: ByteStream, connection: WSConnection) -> None:
        self._stream = stream
        self._connection = connection
        self._writing = anyio.Lock()
        self._answer: Event | None = None
        self._received = b""
        self._end: Exception | None = None
        self._take(b"")

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self._stream.extra_attributes

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Wait for bytes.

        Raises:
            EndOfStream: the server has closed the websocket in order, or the connection.
            BrokenResourceError: it closed it with a complaint, or does not follow the protocol.
        """
        if self._received:
            await checkpoint()
        while not self._received:
            await self._send_answer()
            if self._end is not None:
                raise self._end.with_traceback(None)
            data = await self._stream.receive(max_bytes)
            if self._end is None:  # nobody has closed it meanwhile
                self._take(data)
        data, self._received = self._received[:max_bytes], self._received[max_bytes:]
        return data

    async def send(self, item: bytes) -> None:
        """Send all of it, as one frame. One that is cancelled half-way breaks the stream.

        Raises:
            BrokenResourceError: the websocket is closed.
        """
        async with self._writing:
            if self._end is not None:
                raise anyio.BrokenResourceError(str(self._end) or "the websocket is closed")
            if item:
                await self._write(BytesMessage(data=item))
            while self._answer is not None:
                await self._write_answer()

    async def send_eof(self) -> None:
        """A websocket cannot be closed in one direction only."""
        raise NotImplementedError("a websocket cannot be closed in one direction only: use aclose")

    async def aclose(self) -> None:
        """Say goodbye, unless there is no time for that, and close the stream below."""
        try:
            if self._end is None and not self._writing.locked():
                self._end = anyio.ClosedResourceError()
                self._answer = CloseConnection(code=CloseReason.NORMAL_CLOSURE)
                await self._send_answer()
        finally:
            self._end = self._end or anyio.ClosedResourceError()
            self._received = b""
            await self._stream.aclose()

    def _take(self, data: bytes) -> None:
        """Read frames; what is to be answered is noted."""
        self._connection.receive_data(data)
        parts: list[bytes | bytearray] = []
        for event in self._connection.events():
            if isinstance(event, BytesMessage):
                parts.append(event.data)
            elif isinstance(event, Ping):
                # Of several pings the last one is to be answered, so a flood of them is not kept.
                self._answer = event.response()
            elif isinstance(event, CloseConnection):
                self._closed(event)
                break
            elif isinstance(event, TextMessage):
                self._fail(CloseReason.UNSUPPORTED_DATA, "the server sent text in a websocket")
                break
        self._received = b"".join(parts)

    def _closed(self, event: CloseConnection) -> None:
        if self._connection.state is not ConnectionState.REMOTE_CLOSING:
            # It is what wsproto makes of frames that it cannot read.
            self._fail(event.code, f"the server does not speak websocket: {event.reason}")
            return
        self._answer = event.response()
        if event.code in ORDERLY:
            self._end = anyio.EndOfStream()
        else:
            reason = f"{int(event.code)} {event.reason or ''}".strip()
            self._end = anyio.BrokenResourceError(f"the server closed the websocket: {reason}")

    def _fail(self, code: int, reason: str) -> None:
        self._answer = CloseConnection(code=code)
        self._end = anyio.BrokenResourceError(reason)

    async def _send_answer(self) -> None:
        """Answer what was read, unless a writer is at work, who then does it."""
        if self._answer is None or self._writing.locked():
            return
        async with self._writing:
            if self._end is None:
                await self._write_answer()
                return
            # The last frame: whether it arrives makes no difference to us.
            with anyio.move_on_after(FAREWELL_WITHIN), suppress(*LOST):
                await self._write_answer()

    async def _write_answer(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            await self._write(answer)

    async def _write(self, event: Event) -> None:
        data = bytes(self._connection.send(event))
        try:
            await self._stream.send(data)
        except BaseException:
            # Half a frame may have left: whatever followed would be read as its other half.
            self._end = self._end or anyio.BrokenResourceError("a write was cut off")
            self._answer = None
            raise


def _request(connection: WSConnection, server: ServerAddress, options: ConnectOptions) -> bytes:
    host = server.place
    if server.port == PORTS[server.scheme]:
        host = host.rpartition(":")[0]
    headers: list[tuple[bytes, bytes]] = []
    for name, value in options.ws_connection_headers:
        if name.lower().startswith(OUR_HEADERS):
            raise ConnectError(
                f"option ws_connection_headers may not set {name}, as the handshake of a "
                "websocket does: leave it out"
            )
        if name.lower() == "host":
            host = value
        else:
            headers.append((name.encode(), value.encode("latin-1")))
    target = quote(server.path or "/", safe=PATH_CHARACTERS)
    try:
        return connection.send(Request(host=host, target=target, extra_headers=headers))
    except (h11.LocalProtocolError, ValueError) as error:
        raise ConnectError(
            f"no websocket can be asked for with this host, path and ws_connection_headers: {error}"
        ) from None


def _refused(status: int, connection: WSConnection) -> Exception:
    body = b"".join(event.data for event in connection.events() if isinstance(event, RejectData))
    said = " ".join(body[:200].decode(errors="replace").split())
    reason = f"no websocket: the server at the other end answers with HTTP {status}"
    reason = f"{reason} ({said!r})" if said else reason
    # A gateway without a server behind it, or one that has too much to do, may get better.
    may_pass = status >= 500 or status == 429
    return ConnectionRefusedError(reason) if may_pass else ConnectError(reason)
