"""The byte stream under a connection: a plain socket, or a stream that wraps one."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Protocol

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from walnats_anyio._link._parking import current_backend

CHUNK = 256 * 1024
"""Bytes read at once, at most: about what a socket holds."""

SMALL = 4 * 1024
"""Bytes of a piece after which the socket is probably empty."""

FIRST = 64 * 1024
"""Bytes read at once, at most, after a small piece.

A buffer of `CHUNK` bytes is mapped and unmapped by the C library for each read: 9 us for a small
message, in place of 3.
"""

LOST = (
    anyio.EndOfStream,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.BusyResourceError,
    OSError,
)
"""What a transport raises when the connection is gone.

`BusyResourceError` is TLS that has to answer something while a write is under way.
"""


class Transport(Protocol):
    """What a connection needs of a byte stream."""

    async def receive(self) -> bytes:
        """Wait for bytes."""
        ...

    async def feed(self, take: Callable[[bytes], None]) -> None:
        """Give all that comes to `take`, until the stream is lost or `take` raises.

        `take` never blocks. It may be called by a callback of the event loop: it runs in no task.
        """
        ...

    def send_now(self, data: bytes) -> int:
        """Send what can be sent without waiting; gives the number of bytes."""
        ...

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        ...

    async def close(self) -> None:
        """Close it without waiting for the other side."""
        ...


class StreamTransport:
    """A transport over any byte stream, such as TLS or a websocket."""

    __slots__ = ("_stream",)

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def receive(self) -> bytes:
        return await self._stream.receive(CHUNK)

    async def feed(self, take: Callable[[bytes], None]) -> None:
        while True:
            take(await self._stream.receive(CHUNK))

    def send_now(self, data: bytes) -> int:
        return 0

    async def send(self, data: bytes) -> None:
        await self._stream.send(data)

    async def close(self) -> None:
        await anyio.aclose_forcefully(self._stream)


class SocketTransport(StreamTransport):
    """A transport over a TCP socket, which is read and written without anything in between.

    Most bytes leave without a task having to wait.
    """

    __slots__ = ("_more", "_readable", "_socket")

    def __init__(self, stream: SocketStream) -> None:
        super().__init__(stream)
        raw = stream.extra(SocketAttribute.raw_socket)
        # A descriptor of our own: the one of the event loop may be closed behind our back, and its
        # number be another connection's by then.
        self._socket = socket.socket(fileno=os.dup(raw.fileno()))
        self._socket.setblocking(False)
        self._readable = current_backend().readable(self._socket)
        self._more = True
        """Whether there is probably something to be read."""

    async def receive(self) -> bytes:
        while not (data := self._read()):
            await self._readable.wait()
        return data

    async def feed(self, take: Callable[[bytes], None]) -> None:
        read = self._read

        def step() -> bool:
            if data := read():
                take(data)
            return self._more

        await self._readable.watch(step)

    def _read(self) -> bytes:
        """Read what is there; b"" if nothing is."""
        try:
            data = self._socket.recv(CHUNK if self._more else FIRST)
        except BlockingIOError:
            self._more = False
            return b""
        if not data:
            raise anyio.EndOfStream
        # After a small piece there is nothing: to find that out takes 4 us of a round trip.
        self._more = len(data) >= SMALL
        return data

    def send_now(self, data: bytes) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            # The reader hears of it as well, and tells why.
            return 0

    async def close(self) -> None:
        self._readable.close()
        self._socket.close()
        await super().close()


def transport_over(stream: ByteStream) -> Transport:
    """The best transport for a stream."""
    if isinstance(stream, SocketStream):
        with contextlib.suppress(OSError):
            return SocketTransport(stream)
    return StreamTransport(stream)
