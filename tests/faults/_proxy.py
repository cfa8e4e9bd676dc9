"""A TCP proxy that can be slow, cut, half-open or stalled: a network that breaks when told to."""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal, Self

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream, TaskGroup, TaskStatus
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from walnats_anyio.testing._ports import HOST, HeldPort

CHUNK = 65536
QUEUE = 64
"""Chunks under way in one direction of a connection: what a slow line holds before it is full."""

RESET = struct.pack("ii", 1, 0)

Way = Literal["up", "down"]
"""Towards the server, or from it."""

Chunks = tuple[float, bytes]


class Line:
    """One connection through the proxy: `near` is the client's end, `far` the server's."""

    def __init__(self, near: SocketStream, far: SocketStream, lost: frozenset[Way]) -> None:
        self.near = near
        self.far = far
        self.lost = lost
        """The ways in which bytes, and the end of the connection, get lost."""
        self.flow = anyio.Event()
        """Set while bytes are let through."""
        self.flow.set()
        self.scope = anyio.CancelScope()

    def reset(self) -> None:
        """End it as a crash does: what is under way is gone, both sides get an error."""
        for stream in (self.near, self.far):
            raw: Any = stream.extra(SocketAttribute.raw_socket)
            if raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.scope.cancel()


class Proxy:
    """A port of 127.0.0.1 that leads to a server, in a thread and an event loop of its own.

    So it goes on whatever the event loop of the test does; on asyncio, as trio lets no thread that
    runs trio wait for another. Everything can be called from any thread and returns when it is
    done; `heal` ends all faults. A context manager.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._held = HeldPort()
        self._undo = ExitStack()
        self._portal: BlockingPortal
        self._listening: anyio.CancelScope | None = None
        self._tasks: TaskGroup
        self._lines: set[Line] = set()
        self._latency = 0.0
        self._rate = math.inf
        self._lost_new: frozenset[Way] = frozenset()
        self._door: anyio.Event

    @property
    def port(self) -> int:
        return self._held.number

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        """Connections that lead through it now."""
        return len(self._lines)

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self._held.release)
            self._portal = undo.enter_context(start_blocking_portal("asyncio"))
            ended, _ = self._portal.start_task(self._run)
            # What broke in here is to be heard of.
            undo.callback(ended.result)
            undo.callback(self._portal.call, self._end)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    # faults

    def slow(self, *, latency: float = 0.0, rate: float = math.inf) -> None:
        """Every byte takes `latency` seconds more, and `rate` of them pass a second, each way."""
        self._latency, self._rate = latency, rate

    def cut(self, *, refuse: bool = False) -> None:
        """Reset all connections; with `refuse` new ones are refused until it is healed."""
        self._call(self._cut, refuse)

    def half_open(self, *ways: Way, new: Literal["pass", "refuse", "hang"] = "pass") -> None:
        """Lose all that is sent on the connections that are there, without a word to either side.

        Args:
            ways: the ways in which it is lost; both unless given.
            new: what becomes of new connections.
        """
        self._call(self._lose, frozenset(ways or ("up", "down")), new)

    def stall(self, *, new: Literal["pass", "hang"] = "hang") -> None:
        """Hold everything back, as a network that is parted; `heal` lets it all through.

        Args:
            new: what becomes of new connections.
        """
        self._call(self._stall, new)

    def heal(self) -> None:
        """End all faults; connections that have lost something are reset."""
        self._call(self._heal)

    # in the proxy's own event loop

    def _call(self, function: Callable[..., Any], *args: Any) -> None:
        self._portal.call(function, *args)

    async def _run(self, *, task_status: TaskStatus[None]) -> None:
        self._door = anyio.Event()
        self._door.set()
        async with anyio.create_task_group() as self._tasks:
            await self._listen()
            task_status.started()
            await anyio.sleep_forever()

    async def _end(self) -> None:
        self._tasks.cancel_scope.cancel()

    async def _listen(self) -> None:
        if self._listening is None:
            self._listening = await self._tasks.start(self._accept)

    async def _accept(self, *, task_status: TaskStatus[anyio.CancelScope]) -> None:
        with anyio.CancelScope() as scope:
            listener = await anyio.create_tcp_listener(local_host=HOST, local_port=self.port)
            async with listener:
                task_status.started(scope)
                # Not in a task group of its own: connections stay when the door is shut.
                await listener.serve(self._connect, self._tasks)

    async def _connect(self, near: SocketStream) -> None:
        await self._door.wait()
        try:
            far = await anyio.connect_tcp(HOST, self._target)
        except OSError:
            await near.aclose()
            return
        line = Line(near, far, self._lost_new)
        self._lines.add(line)
        try:
            with line.scope:
                async with near, far, anyio.create_task_group() as tasks:
                    tasks.start_soon(self._pump, line, near, far, "up")
                    tasks.start_soon(self._pump, line, far, near, "down")
        finally:
            self._lines.discard(line)

    async def _pump(self, line: Line, source: ByteStream, sink: ByteStream, way: Way) -> None:
        send, receive = anyio.create_memory_object_stream[Chunks](QUEUE)
        async with receive, anyio.create_task_group() as tasks:
            tasks.start_soon(self._write, line, receive, sink)
            async with send:
                await self._read(line, source, send, way)
        line.scope.cancel()

    async def _read(
        self, line: Line, source: ByteStream, send: MemoryObjectSendStream[Chunks], way: Way
    ) -> None:
        while True:
            size = CHUNK if self._rate == math.inf else max(512, min(CHUNK, int(self._rate / 20)))
            try:
                data = await source.receive(size)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                data = b""
            await line.flow.wait()
            if way not in line.lost:
                if not data:
                    return
                await send.send((anyio.current_time() + self._latency, data))
            elif not data:
                # Nobody tells the other side that this one is gone.
                await anyio.sleep_forever()

    async def _write(
        self, line: Line, receive: MemoryObjectReceiveStream[Chunks], sink: ByteStream
    ) -> None:
        async for due, data in receive:
            await anyio.sleep_until(due)
            try:
                await sink.send(data)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                if not line.lost:
                    line.scope.cancel()
                    return
            if self._rate < math.inf:
                await anyio.sleep(len(data) / self._rate)

    def _cut(self, refuse: bool) -> None:
        if refuse:
            self._shut()
        for line in list(self._lines):
            line.reset()

    def _lose(self, ways: frozenset[Way], new: str) -> None:
        for line in self._lines:
            line.lost = ways
        self._lost_new = ways if new == "hang" else frozenset()
        if new == "refuse":
            self._shut()

    def _shut(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None

    def _stall(self, new: str) -> None:
        for line in self._lines:
            line.flow = anyio.Event()
        if new == "hang":
            self._door = anyio.Event()

    async def _heal(self) -> None:
        self._latency, self._rate = 0.0, math.inf
        self._lost_new = frozenset()
        self._door.set()
        for line in list(self._lines):
            line.flow.set()
            if line.lost:
                line.reset()
        await self._listen()
