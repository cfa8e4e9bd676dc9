"""The client's end of a connection to a server in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from walnats_anyio._link._in_process import InProcess
from walnats_anyio.testing._memory._engine import Client


class Hub(Protocol):
    """Whoever has the engine."""

    def receive(self, client: Client, data: bytes) -> None:
        """Bytes of a client came."""
        ...

    def disconnect(self, client: Client) -> None:
        """A client has closed its connection."""
        ...

    @property
    def works(self) -> bool:
        """Whether it is doing something, and has called somebody meanwhile."""
        ...

    @property
    def stands_still(self) -> bool:
        """Whether it does nothing at the moment, and does not say so."""
        ...

    def next_due(self, stream: MemoryStream) -> tuple[float, float]:
        """When this stream is to wake it up, and in how many seconds; infinite for never."""
        ...

    def keep_time(self, due: float) -> None:
        """Do what is due at a time that has come."""
        ...


class MemoryStream(ByteStream):
    """Bytes to and from an engine. One task may receive while another one sends.

    One of those that wait to receive also wakes up the engine when something is due: so that needs
    no task, and a server can be started where there is no event loop yet.
    """

    def __init__(self, hub: Hub, client: Client) -> None:
        self._hub = hub
        self._client = client
        self._closed = False
        self.waits_for: float = -math.inf
        """The time of the engine at which it looks again; always, while it does not wait."""
        self._arrived: anyio.Event | None = None
        self._stalled: anyio.Event | None = None

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {InProcess.stream: lambda: self}

    async def in_doubt(self) -> None:
        """Wait until the server stands still. Only one task may."""
        while not self._hub.stands_still:
            self._stalled = anyio.Event()
            await self._stalled.wait()

    def stall(self) -> None:
        """The server stands still."""
        if self._stalled is not None:
            self._stalled.set()

    def wake(self) -> None:
        """There is something to be read, or the connection is over."""
        if self._arrived is not None:
            self._arrived.set()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Wait for bytes.

        Raises:
            EndOfStream: the server has closed the connection.
            ClosedResourceError: this side has.
        """
        output = self._client.output
        if output:
            await checkpoint()
        while not output:
            if self._closed:
                raise anyio.ClosedResourceError
            if self._client.closed:
                raise anyio.EndOfStream
            self._arrived = anyio.Event()
            self.waits_for, seconds = self._hub.next_due(self)
            with anyio.move_on_after(seconds) as scope:
                await self._arrived.wait()
            due, self.waits_for = self.waits_for, -math.inf
            if scope.cancelled_caught:
                self._hub.keep_time(due)
        data = bytes(output[:max_bytes])
        del output[:max_bytes]
        return data

    async def send(self, item: bytes) -> None:
        """Send bytes; they have arrived when it returns.

        Raises:
            BrokenResourceError: the server has closed the connection.
            ClosedResourceError: this side has.
        """
        await checkpoint()
        if self._closed:
            raise anyio.ClosedResourceError
        if self._client.closed:
            raise anyio.BrokenResourceError
        self._hub.receive(self._client, bytes(item))

    def send_now(self, data: bytes) -> int:
        """Send bytes without waiting; gives how many have arrived, which is all of them or none."""
        if self._closed or self._client.closed or self._hub.works:
            return 0
        self._hub.receive(self._client, data)
        return len(data)

    async def send_eof(self) -> None:
        """A client that stops to speak goes, for a NATS server."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; the server knows at once."""
        if not self._closed:
            self._closed = True
            self._client.output.clear()
            self._hub.disconnect(self._client)
            self.wake()
        await checkpoint()
