"""`MemoryServer`: the engine on the clock of an event loop."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint, current_token

from walnats_anyio._link._in_process import SCHEME, add_server, remove_server
from walnats_anyio.testing._errors import NatsServerError
from walnats_anyio.testing._memory._commands import Publish
from walnats_anyio.testing._memory._connection import MemoryStream
from walnats_anyio.testing._memory._engine import Client, Engine, Settings
from walnats_anyio.testing._memory._faults import Direction, Fault, Match, MemoryMessage, shown
from walnats_anyio.testing._memory._subjects import is_valid
from walnats_anyio.testing._memory._timers import SECOND

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
"""When time begins, unless told otherwise."""

VERSION = "2.15.1"
"""The nats-server whose behaviour this is."""


_entered: dict[str, MemoryServer] = {}
"""The servers whose context is entered, by name."""


def server_at(url: object) -> MemoryServer | None:
    """The server that a URL leads to; None where it leads to none of this process."""
    if not isinstance(url, str) or not url.startswith(f"{SCHEME}://"):
        return None
    return _entered.get(url.removeprefix(f"{SCHEME}://"))


class MemoryServer:
    """An in-memory stand-in for a nats-server with JetStream, for tests without waiting.

    It speaks the NATS protocol to the connections of this library, and answers as nats-server 2.15
    does: streams, pull consumers, acknowledgements and redeliveries, limits, deduplication, direct
    get, pauses, advisories. What it does not know it refuses, with an error that says so.

    All time is that of the event loop. Under a mock clock that jumps (see `mock_clock`), an hour of
    retries takes a moment. Times that are shown, such as that of a message, are `begin` and what
    the loop's clock has gone on since the context was entered. What happens by chance
    (which member of a queue group gets a message) comes from `seed`.

    Any number of connections of one event loop may use it:

        async with MemoryServer() as server, events.connect(server.url) as conn:
            ...

    It is a plain context manager as well, for fixtures that are set up outside of an event loop.
    Then it belongs to the event loop of the first connection, and its time begins with that; when
    all connections are closed, another event loop may connect.

    What it cannot do: other processes, other event loops (no `connect_sync`), a `nats.NATS`, TLS,
    authentication, clusters, mirrors, sources, schedules, priority groups, flow control. Consumers
    may have `sample_freq` and `replay_policy`, which have no effect, and there are no advisories of
    the API.

    Args:
        seed: where chance begins; 0 by default.
        server_version: what it calls itself; "2.15.1" by default. It behaves the same.
        max_payload: the largest payload with headers that it takes, in bytes; 1 MiB by default.
        begin: when time begins, with a time zone; 2026-01-01 in UTC by default.

    Raises:
        ValueError, TypeError: an argument is wrong.
        NatsServerError: a method is called outside of the context.
    """

    def __init__(
        self,
        *,
        seed: int | str = 0,
        server_version: str = VERSION,
        max_payload: int = 1024 * 1024,
        begin: datetime = BEGIN,
    ) -> None:
        _check(seed, server_version, max_payload, begin)
        self._name = secrets.token_hex(16)
        settings = Settings("memory", "MEMORY", server_version, max_payload, seed)
        self._begin = round(begin.timestamp() * SECOND)
        self._engine = Engine(settings, self._begin)
        self._streams: dict[Client, MemoryStream] = {}
        self._timekeeper: MemoryStream | None = None
        """The stream that wakes the engine up, or was the last one to do so."""
        self._held: list[Callable[[], None]] = []
        self._paused = self._stopped = False
        self._entered = False
        self.works = False
        """Whether it is doing something, and has called somebody meanwhile."""
        self._bound = False
        """Whether it belongs to the event loop that it was entered in."""
        self._token: object = None
        self._started_at = 0.0

    def __repr__(self) -> str:
        state = "not entered" if not self._entered else "stopped" if self._stopped else "running"
        return f"<MemoryServer {state}, {len(self._streams)} connections>"

    @property
    def url(self) -> str:
        """Where clients connect: `memory://NAME`. The same for the life of this object."""
        return f"{SCHEME}://{self._name}"

    @property
    def running(self) -> bool:
        """Whether clients can connect at this moment; also while it is paused."""
        return self._entered and not self._stopped

    # what can be done to it

    def disconnect_all(self) -> None:
        """Close all connections; clients may connect again at once. Never blocks."""
        self._advance()
        for client in list(self._streams):
            self._drop_client(client)
        self._flush()

    def kill(self) -> None:
        """Close all connections and refuse new ones, until `start`. Never blocks.

        Streams with `storage="memory"` are lost, all others stay with their consumers.
        """
        self.disconnect_all()
        self._engine.restart()
        self._stopped = True

    async def stop(self) -> None:
        """The same as `kill`, as for `NatsServer`."""
        self.kill()
        await checkpoint()

    async def start(self) -> None:
        """Let clients connect again after `stop`; nothing happens when it runs."""
        self._advance()
        self._stopped = self._paused = False
        self._flush()
        await checkpoint()

    async def restart(self) -> None:
        """`stop`, then `start`."""
        await self.stop()
        await self.start()

    def pause(self) -> None:
        """Stand still: connections stay open, nobody answers, no time runs out. Never blocks."""
        self._advance()
        self._flush()
        self._paused = True
        for stream in self._streams.values():
            stream.stall()

    def resume(self) -> None:
        """Go on after `pause`: do what was due meanwhile, then read what was sent. Never blocks."""
        self._paused = False
        self._advance()
        held, self._held = self._held, []
        for call in held:
            call()
        self._flush()

    def drop(
        self, match: Match = ">", count: int | None = 1, *, direction: Direction = "to_server"
    ) -> None:
        """Lose messages, as if they had never been sent. Never blocks.

        Args:
            match: which ones: a subject, which may have wildcards, or a function that is given the
                message and says whether it is one. A subject stands for that of the message, or for
                that of the subscription that gets it.
            count: how many; None for all from now on.
            direction: `"to_server"` for what clients publish, such as events, acknowledgements and
                requests; `"to_client"` for what the server sends.

        Raises:
            ValueError, TypeError: an argument is wrong.
        """
        self._add_fault(match, count, direction, None)

    def delay(
        self,
        seconds: float,
        match: Match = ">",
        count: int | None = 1,
        *,
        direction: Direction = "to_server",
    ) -> None:
        """Have messages arrive so many seconds later; others may overtake them. Never blocks.

        The other arguments are those of `drop`.

        Raises:
            ValueError, TypeError: an argument is wrong.
        """
        _check_seconds(seconds)
        self._add_fault(match, count, direction, round(seconds * SECOND))

    def clear_faults(self) -> None:
        """End all that `drop` and `delay` have set. What is late already stays late."""
        self._engine.faults.clear()

    def _add_fault(
        self, match: Match, count: int | None, direction: Direction, delay: int | None
    ) -> None:
        _check_fault(match, count, direction)
        self._engine.faults.add(Fault(match, direction, count, delay))

    @contextmanager
    def overhear(self, told: Callable[[MemoryMessage], None]) -> Iterator[None]:
        """Have a function told of each message that arrives from a client, while `with` lasts.

        Unlike a subscription it misses nothing when connections are cut or messages to clients
        lost, and needs no connection. What `drop` loses on the way to the server does not arrive.

        Args:
            told: called with each message, in the order of their arrival; it must not wait.
        """

        def overheard(publish: Publish) -> None:
            told(shown(publish, publish.subject))

        self._engine.overhearing.append(overheard)
        try:
            yield
        finally:
            self._engine.overhearing.remove(overheard)

    # the context

    def __enter__(self) -> MemoryServer:
        if self._entered:
            raise NatsServerError("the context of this MemoryServer is entered already")
        self._entered, self._stopped = True, False
        _entered[self._name] = self
        add_server(self._name, self._connect)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        remove_server(self._name)
        _entered.pop(self._name, None)
        self._stopped = True
        for client in list(self._streams):
            self._drop_client(client)
        self._engine.touched = set()
        self._entered = self._bound = False

    async def __aenter__(self) -> MemoryServer:
        self.__enter__()
        self._live_in_this_loop()
        self._bound = True
        await checkpoint()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _live_in_this_loop(self) -> None:
        # Its time goes on from where another event loop left it.
        self._begin = self._engine.timers.now
        self._token, self._started_at = current_token(), anyio.current_time()

    # connections

    def _connect(self) -> ByteStream:
        if not self._bound and not self._streams and self._token != current_token():
            self._live_in_this_loop()
        if current_token() != self._token:
            raise ConnectionRefusedError(
                "a MemoryServer serves one event loop at a time, and another one is connected: "
                "connect_sync has one of its own; use NatsServer there"
            )
        if self._stopped:
            raise ConnectionRefusedError("the MemoryServer is stopped")
        client = self._engine.connect()
        stream = self._streams[client] = MemoryStream(self, client)
        self._do(partial(self._engine.greet, client))
        return stream

    def receive(self, client: Client, data: bytes) -> None:
        """Bytes of a client came; called by its stream."""
        self._do(partial(self._engine.receive, client, data))

    def disconnect(self, client: Client) -> None:
        """A client has closed its connection; called by its stream."""
        if self._streams.pop(client, None) is None:
            return
        self._do(partial(self._engine.disconnect, client))

    def _do(self, call: Callable[[], None]) -> None:
        """Have the engine do something now, or after a pause."""
        if self._paused:
            self._held.append(call)
            return
        self.works = True
        try:
            self._advance()
            call()
        finally:
            self.works = False
        self._flush()

    def _drop_client(self, client: Client) -> None:
        stream = self._streams.pop(client)
        client.output.clear()
        self._engine.disconnect(client)
        stream.wake()

    # time

    def _now(self) -> int:
        if self._token is None:
            return self._begin  # nobody has come yet
        return self._begin + round((anyio.current_time() - self._started_at) * SECOND)

    def _advance(self, at_least: int = 0) -> None:
        if not self._entered:
            raise NatsServerError("the context of this MemoryServer is not entered, or was left")
        if not self._paused:
            self._engine.advance(max(self._now(), at_least))

    def _flush(self) -> None:
        """Have those read who have something to read, or who would wait for too long."""
        touched, self._engine.touched = self._engine.touched, set()
        for client in touched:
            stream = self._streams.get(client)
            if stream is not None:
                stream.wake()
                if client.closed:
                    del self._streams[client]
        due = self._engine.timers.next_due()
        if due is None or not self._streams:
            return
        keeper = self._timekeeper
        if keeper is None or keeper not in self._streams.values():
            keeper = self._timekeeper = next(iter(self._streams.values()))
            keeper.wake()
        elif due < keeper.waits_for:
            keeper.wake()

    @property
    def stands_still(self) -> bool:
        """Whether it is paused."""
        return self._paused

    def next_due(self, stream: MemoryStream) -> tuple[float, float]:
        """When a stream is to wake it up, and in how many seconds; called by the stream.

        All of them would be woken up for what concerns one.
        """
        due = None if self._paused or self._stopped else self._engine.timers.next_due()
        if due is None:
            return math.inf, math.inf
        keeper = self._timekeeper
        if keeper is not None and keeper is not stream and -math.inf < keeper.waits_for <= due:
            return math.inf, math.inf
        self._timekeeper = stream
        return due, (due - self._now()) / SECOND

    def keep_time(self, due: float) -> None:
        """Do what is due; called by a stream that has waited for it."""
        if self._entered:
            self._do(partial(self._advance, int(due)))


def _check(seed: Any, server_version: Any, max_payload: Any, begin: Any) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int | str):
        raise TypeError(f"seed is {seed!r}: give a whole number or a text")
    if not isinstance(server_version, str):
        raise TypeError(f"server_version is {server_version!r}: give a text such as {VERSION!r}")
    if not re.fullmatch(r"\d+\.\d+\.\d+\S*", server_version):
        raise ValueError(f"server_version is {server_version!r}: give one such as {VERSION!r}")
    if isinstance(max_payload, bool) or not isinstance(max_payload, int):
        raise TypeError(f"max_payload is {max_payload!r}: give a whole number of bytes")
    if not 1 <= max_payload <= 64 * 1024 * 1024:
        raise ValueError(f"max_payload is {max_payload}: give 1 to 67108864 bytes")
    if not isinstance(begin, datetime):
        raise TypeError(f"begin is {begin!r}: give a datetime with a time zone")
    if begin.tzinfo is None:
        raise ValueError(f"begin is {begin!r}, without a time zone: give one, such as datetime.UTC")


def _check_fault(match: Any, count: Any, direction: Any) -> None:
    if isinstance(match, str):
        if not is_valid(match):
            raise ValueError(f"match is {match!r}: give a subject, such as 'orders' or 'a.>'")
    elif not callable(match):
        raise TypeError(f"match is {match!r}: give a subject or a function")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise ValueError(f"count is {count!r}: give a whole number from 1 up, or None for all")
    if direction not in ("to_server", "to_client"):
        raise ValueError(f"direction is {direction!r}: give 'to_server' or 'to_client'")


def _check_seconds(seconds: Any) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"seconds is {seconds!r}: give a number from 0 up")
    if not 0 <= seconds < math.inf:
        raise ValueError(f"seconds is {seconds!r}: give a number from 0 up")
