"""Cancelled at every checkpoint: nothing hangs, no acknowledged event is lost, nothing stays."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.link._probe import count, keep, stored
from tests.link._turns import sweep_turns
from tests.support.leftovers import Leftovers
from tests.support.sweep import Scenario, cancelled_at, sweep
from tests.support.waiting import until
from walnats_anyio._events._streams import Extras, RegisterOptions, register_stream
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedEvents

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("user-created", int)
OTHERS = [walnats.Event(f"other-{number}", int) for number in range(3)]
EVENTS = walnats.Events(EVENT, *OTHERS)

BOUND = 15.0


async def ignore(_message: int) -> None:
    pass


ACTORS = walnats.Actors(walnats.Actor("ignore", EVENT, ignore))


@pytest.fixture(autouse=True)
def nothing_to_collect() -> Iterator[None]:
    """What should have been closed says so in the test that left it open."""
    yield
    gc.collect()


# The sweeper itself


async def test_the_sweep_is_complete() -> None:
    """It cancels at each checkpoint once, and tells how many there are."""
    passed: list[list[int]] = []

    async def scenario() -> None:
        steps: list[int] = []
        passed.append(steps)
        for number in range(3):
            await anyio.lowlevel.checkpoint()
            steps.append(number)

    async def check() -> None:
        pass

    moments = await sweep(scenario, check, bounded_by=BOUND)
    assert passed[-1] == [0, 1, 2]
    assert {tuple(steps) for steps in passed} == {(), (0,), (0, 1), (0, 1, 2)}
    assert moments >= 3


async def test_the_sweep_finds_what_swallows_a_cancellation() -> None:
    async def deaf() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.3)

    async def check() -> None:
        pass

    with pytest.raises(AssertionError, match=r"cancelled at checkpoint 1, it took \d\.\d s"):
        await sweep(deaf, check, bounded_by=0.1)
    assert not await cancelled_at(99, deaf)


# Connections


@pytest.mark.parametrize("registry", [EVENTS, ACTORS], ids=["events", "actors"])
async def test_connect(nats_url: str, registry: walnats.Events | walnats.Actors) -> None:
    leftovers = Leftovers()

    async def scenario() -> None:
        async with registry.connect(nats_url):
            pass

    assert await sweep(scenario, leftovers.none, bounded_by=BOUND) >= 2


async def test_connect_when_nobody_is_there(nats_server: NatsServer) -> None:
    nats_server.kill()
    leftovers = Leftovers()

    async def scenario() -> None:
        with pytest.raises(walnats.ConnectError):
            async with EVENTS.connect(nats_server.url, reconnect_time_wait=0.01):
                pass

    assert await sweep(scenario, leftovers.none, bounded_by=BOUND) >= 2


async def test_connect_when_refused() -> None:
    with NatsServer(config="authorization { token: other }") as server:
        leftovers = Leftovers()

        async def scenario() -> None:
            with pytest.raises(walnats.ConnectError):
                async with EVENTS.connect(server.url, token="mine"):
                    pass

        assert await sweep(scenario, leftovers.none, bounded_by=BOUND) >= 2


async def test_two_connections(nats_url: str) -> None:
    leftovers = Leftovers()

    async def scenario() -> None:
        async with EVENTS.connect(nats_url) as conn, ACTORS.connect(nats_url) as actors:
            await conn.register()
            await actors.register()
            await conn.emit(EVENT, 1, sync=True)

    assert await sweep(scenario, leftovers.none, bounded_by=BOUND) >= 2


# At each turn of the event loop, whichever of the link's tasks runs in it

NATIVE = pytest.mark.parametrize(
    ("anyio_backend", "native"),
    [("asyncio", True), ("asyncio", False), ("trio", False)],
    ids=["task.cancel", "asyncio", "trio"],
)


@NATIVE
async def test_at_each_turn_of_connecting(nats_url: str, native: bool) -> None:
    leftovers = Leftovers()

    async def scenario(begin: Callable[[], None]) -> None:
        begin()
        async with EVENTS.connect(nats_url):
            pass

    assert await sweep_turns(scenario, leftovers.none, native=native, bounded_by=BOUND) > 10


@NATIVE
async def test_at_each_turn_of_leaving(nats_url: str, native: bool) -> None:
    leftovers = Leftovers()

    async def scenario(begin: Callable[[], None]) -> None:
        async with EVENTS.connect(nats_url) as conn:
            await conn.register()
            await conn.emit(EVENT, 1)
            begin()

    async with EVENTS.connect(nats_url) as witness:
        await witness.register()
        leftovers = Leftovers()
        await sweep_turns(scenario, leftovers.none, native=native, bounded_by=BOUND)


@NATIVE
async def test_at_each_turn_of_connecting_by_a_host_name(
    nats_server: NatsServer, native: bool
) -> None:
    """It has several addresses, which are tried one after the other."""
    leftovers = Leftovers()

    async def scenario(begin: Callable[[], None]) -> None:
        begin()
        async with EVENTS.connect(f"nats://localhost:{nats_server.port}"):
            pass

    assert await sweep_turns(scenario, leftovers.none, native=native, bounded_by=BOUND) > 10


@NATIVE
async def test_at_each_turn_of_a_reconnect(nats_server: NatsServer, native: bool) -> None:
    leftovers = Leftovers()
    options: dict[str, Any] = {"reconnect_time_wait": 0.001}

    async def scenario(begin: Callable[[], None]) -> None:
        async with EVENTS.connect(nats_server.url, **options) as conn:
            for connection in list((conn._link._connection and [conn._link._connection]) or []):
                begin()
                connection.end("as if the cable had been pulled")
            await conn.flush()
            await conn.flush()

    await sweep_turns(scenario, leftovers.none, native=native, bounded_by=BOUND)


async def test_a_cancellation_is_never_lost(nats_url: str, anyio_backend: str) -> None:
    """asyncio: whoever cancels the task gets a cancelled task, wherever it connects just now."""
    if anyio_backend != "asyncio":
        return

    async def connect_for_ever() -> None:
        while True:
            async with EVENTS.connect(nats_url):
                pass

    leftovers = Leftovers()
    for turn in range(100):
        task = asyncio.ensure_future(connect_for_ever())
        for _ in range(turn * 3):
            await asyncio.sleep(0)
        task.cancel()
        with anyio.fail_after(BOUND), pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
    await leftovers.none()


# On a connection that goes on afterwards


@pytest.fixture
async def conn(nats_url: str) -> AsyncIterator[ConnectedEvents]:
    async with EVENTS.connect(nats_url) as conn:
        yield conn


async def test_register(conn: ConnectedEvents) -> None:
    leftovers = Leftovers()

    async def check() -> None:
        await conn.register()
        for event in EVENTS:
            await conn.emit(event, 1, sync=True)
            await conn._link.request(f"$JS.API.STREAM.DELETE.{event.stream_name}")
        await leftovers.none()

    assert await sweep(conn.register, check, bounded_by=BOUND) >= 1


async def test_register_one_stream(conn: ConnectedEvents) -> None:
    """`register` does this in a task for each event."""
    leftovers = Leftovers()

    async def scenario() -> None:
        await register_stream(conn._link, EVENT, Extras(conn._link), RegisterOptions())

    async def check() -> None:
        await conn.register()
        await conn._link.request(f"$JS.API.STREAM.DELETE.{EVENT.stream_name}")
        await leftovers.none()

    assert await sweep(scenario, check, bounded_by=BOUND) >= 2


class Run:
    """Emits in a scenario that is cancelled, and compares with what is in the stream after."""

    def __init__(self, conn: ConnectedEvents, server: NatsServer) -> None:
        self.conn = conn
        self.server = server
        self.returned: list[int] = []
        """Messages whose emit returned: handed over, and so to be in the stream."""
        self.begun = 0
        self._leftovers: Leftovers

    def next(self) -> int:
        self.begun += 1
        return self.begun

    async def sweep(self, scenario: Scenario) -> int:
        self._leftovers = Leftovers()
        return await sweep(scenario, self._check, bounded_by=BOUND)

    async def _check(self) -> None:
        # What was handed over gets there, though its scenario was cancelled.
        await self.conn.flush()
        messages = [int(one.payload) for one in await stored(self.server, EVENT)]
        # Once each, in order, all that an emit returned for.
        assert messages == sorted(set(messages))
        assert set(self.returned) <= set(messages) <= set(range(1, self.begun + 1))
        await self.conn._link.request(f"$JS.API.STREAM.PURGE.{EVENT.stream_name}")
        self.returned.clear()
        await self._leftovers.none()


@pytest.fixture
async def run(conn: ConnectedEvents, nats_server: NatsServer) -> Run:
    await conn.register()
    await keep(nats_server, EVENT)
    return Run(conn, nats_server)


@pytest.mark.parametrize("sync", [False, True])
async def test_emit(run: Run, sync: bool) -> None:
    async def scenario() -> None:
        for _ in range(3 if sync else 270):
            number = run.next()
            await run.conn.emit(EVENT, number, sync=sync)
            run.returned.append(number)

    assert await run.sweep(scenario) >= 2


@pytest.mark.parametrize("sync", [False, True])
async def test_emit_many(run: Run, sync: bool) -> None:
    async def messages() -> AsyncGenerator[int, None]:
        for _ in range(40):
            yield run.next()

    async def scenario() -> None:
        first = run.begun + 1
        async with aclosing(messages()) as each:
            await run.conn.emit_many(EVENT, each, sync=sync)
        run.returned.extend(range(first, first + 40))

    assert await run.sweep(scenario) >= 1


async def test_flush(run: Run) -> None:
    async def scenario() -> None:
        for _ in range(10):
            number = run.next()
            await run.conn.emit(EVENT, number)
            run.returned.append(number)
        await run.conn.flush()

    assert await run.sweep(scenario) >= 1


async def test_emit_into_a_full_window(run: Run, nats_server: NatsServer) -> None:
    """Who waits for room and is cancelled has sent nothing, and takes nobody's place."""

    async def scenario() -> None:
        number = run.next()
        await run.conn.emit(EVENT, number)
        run.returned.append(number)

    for moment in range(1, 4):
        nats_server.pause()
        while not run.conn._emitter.full:
            run.returned.append(run.next())
            await run.conn.emit(EVENT, run.begun)
        with anyio.move_on_after(0.2):
            await cancelled_at(moment, scenario)
        nats_server.resume()
        await run.conn.flush()
        assert await count(nats_server, EVENT) == len(run.returned)
        await run.conn._link.request(f"$JS.API.STREAM.PURGE.{EVENT.stream_name}")
        run.returned.clear()


# The whole life of a connection, with events on their way


@pytest.mark.parametrize("registers", [False, True])
async def test_a_connection_that_emits(nats_server: NatsServer, registers: bool) -> None:
    returned: list[int] = []
    begun = 0

    async def scenario() -> None:
        nonlocal begun
        async with EVENTS.connect(nats_server.url) as conn:
            if registers:
                await conn.register()
            for _ in range(40):
                begun += 1
                await conn.emit(EVENT, begun)
                returned.append(begun)

    async with EVENTS.connect(nats_server.url) as witness:
        await witness.register()
        await keep(nats_server, EVENT)
        leftovers = Leftovers()

        async def check() -> None:
            async def all_there() -> bool:
                return await count(nats_server, EVENT) >= len(returned)

            # What was sent last may not be read yet.
            await until(all_there)
            messages = [int(one.payload) for one in await stored(nats_server, EVENT)]
            assert messages == sorted(set(messages))
            assert set(returned) <= set(messages) <= set(range(1, begun + 1))
            await witness._link.request(f"$JS.API.STREAM.PURGE.{EVENT.stream_name}")
            returned.clear()
            await leftovers.none()

        assert await sweep(scenario, check, bounded_by=BOUND) >= 2
