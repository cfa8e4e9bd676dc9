"""A clock that jumps when nothing can run, on both backends."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

import walnats_anyio as walnats
from tests.support.waiting import DEADLINE
from walnats_anyio._link import _asyncio, _parking, _trio, api
from walnats_anyio._link._sharing import link_of
from walnats_anyio.testing import (
    MemoryServer,
    MockClockLoop,
    NatsServerError,
    hold_clock,
    jump_clock,
    mock_clock,
)

BACKENDS = ("asyncio", "trio")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def some_turns() -> None:
    for _ in range(5):
        await anyio.lowlevel.checkpoint()


def run(backend: str, main: Callable[[], Any], autojump_threshold: float = 0.0) -> Any:
    options = mock_clock(backend, autojump_threshold=autojump_threshold)
    return anyio.run(main, backend=backend, backend_options=options)


def test_a_year_of_sleep_takes_no_time(backend: str) -> None:
    async def main() -> None:
        assert anyio.current_time() == 0
        for day in range(1, 366):
            await anyio.sleep(86400)
            assert anyio.current_time() == pytest.approx(day * 86400)

    began = time.monotonic()
    run(backend, main)
    assert time.monotonic() - began < DEADLINE


def test_timers_fire_in_their_order(backend: str) -> None:
    woken: list[tuple[float, float]] = []

    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds)
        woken.append((seconds, anyio.current_time()))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for seconds in (3600.0, 0.25, 60.0, 0.5, 60.0, 1e-6, 1e9):
                tasks.start_soon(sleep, seconds)

    run(backend, main)
    assert [seconds for seconds, _ in woken] == [1e-6, 0.25, 0.5, 60.0, 60.0, 3600.0, 1e9]
    assert all(at == pytest.approx(seconds) for seconds, at in woken)


def test_the_clock_stands_still_while_something_runs(backend: str) -> None:
    async def main() -> None:
        with anyio.fail_after(0.001):
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            time.sleep(0.01)  # noqa: ASYNC251 - it is to keep the loop from running
        assert anyio.current_time() == 0

    run(backend, main)


def test_deadlines_are_on_the_clock(backend: str) -> None:
    async def main() -> float:
        with anyio.move_on_after(3600) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        return anyio.current_time()

    assert run(backend, main) == pytest.approx(3600)


def test_a_thread_of_anyio_holds_the_clock() -> None:
    async def main() -> None:
        with anyio.fail_after(60):
            for _ in range(2):  # the second time by a thread that has been idle
                await anyio.to_thread.run_sync(time.sleep, 0.05, abandon_on_cancel=True)
        assert anyio.current_time() == 0
        await anyio.sleep(60)
        assert anyio.current_time() == 60

    run("asyncio", main)


def test_a_thread_of_asyncio_holds_the_clock() -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await asyncio.to_thread(time.sleep, 0.05)
        loop = asyncio.get_running_loop()
        assert loop.time() == 0
        host = await loop.getaddrinfo("localhost", 80)
        assert host
        await asyncio.sleep(60)
        assert loop.time() == 60

    with asyncio.Runner(loop_factory=MockClockLoop) as runner:
        runner.run(main())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")]


def test_whoever_waits_for_something_outside_holds_the_clock(backend: str) -> None:
    async def wait() -> None:
        with hold_clock(), anyio.fail_after(60):
            await anyio.run_process([sys.executable, "-c", "import time; time.sleep(0.05)"])

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            tasks.start_soon(wait)
        assert anyio.current_time() == 0
        await anyio.sleep(60)
        assert anyio.current_time() == pytest.approx(60)

    run(backend, main)


def test_what_hangs_runs_into_its_timeout(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_asyncio, "MAX_HOLD", 0.05)
    monkeypatch.setattr(_trio, "MAX_HOLD", 0.05)

    async def main() -> None:
        with hold_clock(), anyio.move_on_after(3600) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught

    assert _parking.MAX_HOLD <= 10
    run(backend, main)


def test_holding_a_clock_that_is_real_does_nothing(backend: str) -> None:
    async def main() -> None:
        with hold_clock():
            await anyio.sleep(0.001)
        with pytest.raises(RuntimeError, match=r"backend_options=mock_clock\(backend\)"):
            jump_clock(1)

    anyio.run(main, backend=backend)


def test_a_clock_that_waits_for_sockets(backend: str) -> None:
    async def echo(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(await stream.receive())

    async def main() -> None:
        listeners = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listeners, anyio.create_task_group() as tasks:
            tasks.start_soon(listeners.serve, echo)
            port = listeners.extra(anyio.abc.SocketAttribute.local_port)
            with anyio.fail_after(1.0):
                async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                    await stream.send(b"hello")
                    assert await stream.receive() == b"hello"
            tasks.cancel_scope.cancel()

    run(backend, main, autojump_threshold=5.0)


def test_a_clock_that_is_moved_by_hand(backend: str) -> None:
    async def main() -> None:
        woken: list[float] = []

        async def sleep() -> None:
            await anyio.sleep(10)
            woken.append(anyio.current_time())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleep)
            await some_turns()
            for now in (4.0, 8.0):
                jump_clock(4)
                await some_turns()
                assert anyio.current_time() == now
            assert woken == []
            jump_clock(4)
        assert woken == [12.0]
        for wrong in (-1, math.inf, math.nan):
            with pytest.raises(ValueError, match="at least 0 seconds, not"):
                jump_clock(wrong)

    run(backend, main, autojump_threshold=math.inf)


def test_what_makes_no_sense_is_refused(backend: str) -> None:
    with pytest.raises(ValueError, match="at least 0, not -1"):
        mock_clock(backend, autojump_threshold=-1)
    with pytest.raises(ValueError, match="at least 0, not nan"):
        MockClockLoop(math.nan)
    with pytest.raises(ValueError, match="must be 'asyncio' or 'trio', not 'curio'"):
        mock_clock("curio")


def test_no_event_loop_is_imported_before_it_is_used() -> None:
    program = (
        "import sys, walnats_anyio.testing\n"
        "print([name for name in ('asyncio', 'trio') if name in sys.modules])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"


def test_a_server_in_memory_goes_from_one_event_loop_to_the_next() -> None:
    """Entered outside of an event loop, it belongs to whoever is connected; its time goes on."""
    event = walnats.Event("numbers", int)
    events = walnats.Events(event)
    seen: list[object] = []

    async def emit() -> None:
        with pytest.raises(NatsServerError, match="entered already"):
            server.__enter__()
        async with events.connect(server.url) as connected:
            await connected.register()
            await anyio.sleep(60)
            await connected.emit(event, 1, sync=True)
            link = link_of(connected)
            seen.append((await api(link, "STREAM.INFO.numbers"))["created"])
            await api(link, "STREAM.DELETE.numbers")

    with MemoryServer() as server:
        for backend in (*BACKENDS, "asyncio"):
            run(backend, emit)
    created = [datetime.fromisoformat(str(each)) for each in seen]
    apart = [(later - earlier).total_seconds() for earlier, later in pairwise(created)]
    assert apart == pytest.approx([60, 60])


def test_a_server_in_memory_that_was_left(backend: str) -> None:
    async def connect() -> None:
        with pytest.raises(walnats.ConnectError, match="no MemoryServer"):
            async with walnats.Events(walnats.Event("numbers", int)).connect(server.url):
                pass

    with MemoryServer() as server:
        pass
    run(backend, connect)


def test_a_delay_takes_no_time(backend: str) -> None:
    """Events with a delay wait with their actors there, and that clock jumps too."""
    event = walnats.Event("later", int)
    came: list[tuple[int, float]] = []

    async def handle(message: int) -> None:
        came.append((message, anyio.current_time()))
        over.set()

    async def main() -> None:
        actors = walnats.Actors(walnats.Actor("a", event, handle))
        async with MemoryServer() as server, walnats.Events(event).connect(server.url) as conn:
            await conn.register()
            async with actors.connect(server.url) as first:
                await first.register()
            await conn.emit(event, 1, delay=120)
            await anyio.sleep(100)
            # A connection that is made later tells the same time.
            async with actors.connect(server.url) as listening, anyio.create_task_group() as tasks:
                tasks.start_soon(listening.listen)
                await over.wait()
                listening.shutdown()

    over = anyio.Event()
    run(backend, main)
    [(message, at)] = came
    assert message == 1
    assert at == pytest.approx(120, abs=1)
