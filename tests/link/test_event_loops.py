"""The application's own event loop, however it was started, with its deadlines and its clock."""

from __future__ import annotations

import asyncio
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
import trio.testing
import uvloop

import walnats_anyio as walnats
from tests.actors._stage import running
from tests.support.development_mode import complaints
from tests.support.recorders import Handled
from tests.support.waiting import DEADLINE
from walnats_anyio.testing import NatsServer

EVENT = walnats.Event("user-created", int)
EVENTS = walnats.Events(EVENT)
ACTORS = walnats.Actors(walnats.Actor("greeter", EVENT, print))

SCRIPT = """
import asyncio, sys
import anyio
import walnats_anyio as walnats

default = asyncio.new_event_loop, asyncio.events.new_event_loop
EVENT = walnats.Event("user-created", int)

async def main():
    async with walnats.Events(EVENT).connect() as conn:
        await conn.register()
        await conn.emit(EVENT, 1, sync=True)

{body}
"""


def run(body: str, url: str) -> str:
    """Run a program of its own; what it prints."""
    strict = ("-X", "dev", "-W", "error", "-W", "ignore:'AbstractChildWatcher'")
    done = subprocess.run(
        [sys.executable, *strict, "-c", SCRIPT.format(body=body)],
        env={**os.environ, "NATS_SERVER": url, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert complaints(done.stderr) == []
    return done.stdout


async def emit_one(url: str) -> None:
    async with EVENTS.connect(url) as conn:
        await conn.register()
        await conn.emit(EVENT, 1, sync=True)


async def emit_and_handle(url: str) -> None:
    """Everything that a program does."""
    handled = Handled()
    async with running(url, walnats.Actor("handle", EVENT, handled)) as stage:
        await stage.emit(*range(20))
        await handled.come(20)
    assert set(handled.messages) == set(range(20))


# However it was started


def test_on_asyncio_without_anyio_around_it(nats_url: str) -> None:
    asyncio.run(emit_and_handle(nats_url))


def test_on_trio_without_anyio_around_it(nats_url: str) -> None:
    trio.run(emit_and_handle, nats_url)


def test_on_uvloop(nats_url: str) -> None:
    async def main() -> str:
        await emit_and_handle(nats_url)
        return type(asyncio.get_running_loop()).__module__

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()).startswith("uvloop")


def test_on_uvloop_across_a_restart() -> None:
    async def main() -> None:
        async with NatsServer() as server, EVENTS.connect(server.url) as conn:
            await conn.register()
            await server.restart()
            await conn.emit(EVENT, 1, sync=True)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_as_a_guest_of_another_loop(nats_url: str) -> None:
    """trio's guest mode: the steps of trio run inside a loop that is not trio's."""
    steps: queue.Queue[Callable[[], object]] = queue.Queue()
    outcomes: list[Any] = []
    trio.lowlevel.start_guest_run(
        emit_and_handle,
        nats_url,
        run_sync_soon_threadsafe=steps.put,
        done_callback=outcomes.append,
    )
    while not outcomes:
        steps.get(timeout=DEADLINE)()
    outcomes[0].unwrap()


def test_as_a_guest_of_asyncio(nats_url: str) -> None:
    """Both loops in one thread, each with a connection of its own."""

    async def host() -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        trio.lowlevel.start_guest_run(
            emit_one,
            nats_url,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=done.set_result,
        )
        await emit_one(nats_url)
        (await done).unwrap()

    asyncio.run(host())


def test_several_loops_in_threads(nats_url: str) -> None:
    failed: list[BaseException] = []

    def on(backend: str) -> None:
        try:
            for _ in range(5):
                anyio.run(emit_one, nats_url, backend=backend)
        except BaseException as error:  # noqa: BLE001 - told to the test
            failed.append(error)

    threads = [threading.Thread(target=on, args=[name]) for name in ("asyncio", "trio") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_used_by_another_thread(nats_url: str, backend: str) -> None:
    """It is refused, and the connection goes on."""
    said: list[str] = []

    def elsewhere(use: Callable[[], Awaitable[object]]) -> None:
        async def call() -> None:
            with anyio.fail_after(DEADLINE), pytest.raises(RuntimeError, match="thread") as caught:
                await use()
            said.append(str(caught.value))

        anyio.run(call, backend=backend)

    async def main() -> None:
        async with EVENTS.connect(nats_url) as conn, ACTORS.connect(nats_url) as actors:
            await conn.register()

            async def monitor() -> None:
                async with conn.monitor():
                    pytest.fail("it monitors")

            for use in (
                lambda: conn.emit(EVENT, 1),
                lambda: conn.emit(EVENT, 1, sync=True),
                lambda: conn.emit_many(EVENT, [1, 2]),
                conn.register,
                actors.register,
                actors.listen,
                monitor,
            ):
                await anyio.to_thread.run_sync(elsewhere, use)
            await conn.emit(EVENT, 1, sync=True)
            await conn.flush()
            assert conn.statistics().connection.reconnects == 0

    anyio.run(main, backend=backend)
    assert len(said) == 7
    assert len(set(said)) == 1


# What is left alone


def test_a_connection_on_trio_makes_and_replaces_no_loop_of_asyncio(nats_url: str) -> None:
    run(
        """
class Fault(Exception): pass

def refuse(*args): raise Fault

for name in ("new_event_loop", "set_event_loop", "set_event_loop_policy"):
    kept = getattr(asyncio.events, name)
    setattr(asyncio, name, refuse); setattr(asyncio.events, name, refuse)
    anyio.run(main, backend="trio")
    setattr(asyncio, name, kept); setattr(asyncio.events, name, kept)
assert (asyncio.new_event_loop, asyncio.events.new_event_loop) == default
assert "trio_asyncio" not in sys.modules and "greenlet" not in sys.modules
anyio.run(main)
anyio.run(main, backend="trio")
""",
        nats_url,
    )


def test_on_asyncio_nothing_of_trio_is_imported(nats_url: str) -> None:
    run("anyio.run(main); assert not {'trio', 'trio_asyncio'} & set(sys.modules)", nats_url)


def test_nats_py_is_not_imported(nats_url: str) -> None:
    run("anyio.run(main); assert 'nats.aio.client' not in sys.modules", nats_url)


def test_inside_an_asyncio_loop_of_the_applications_own_on_trio(nats_url: str) -> None:
    printed = run(
        """
import trio, trio_asyncio

async def both():
    async with trio_asyncio.open_loop() as loop:
        async with walnats.Events(EVENT).connect() as conn:
            assert asyncio.get_event_loop() is loop
            await conn.register()
            await conn.emit(EVENT, 1, sync=True)
            future = loop.create_future()
            loop.call_soon(future.set_result, "still works")
            print(await trio_asyncio.aio_as_trio(future))

trio.run(both)
""",
        nats_url,
    )
    assert printed == "still works\n"


# Deadlines, scopes and clocks


@pytest.mark.anyio
async def test_deadlines_and_scopes_around_a_connection_reach_its_body(nats_url: str) -> None:
    with anyio.move_on_after(3600) as scope:
        async with EVENTS.connect(nats_url) as conn:
            await conn.register()
            assert anyio.current_effective_deadline() == scope.deadline
            scope.deadline = anyio.current_time() + 0.05
            await anyio.sleep_forever()
    assert scope.cancelled_caught


@pytest.mark.anyio
async def test_the_task_of_the_body_is_the_callers(nats_url: str) -> None:
    before = anyio.get_current_task().id
    async with EVENTS.connect(nats_url):
        assert anyio.get_current_task().id == before


def test_deadlines_of_trio_itself_reach_the_body(nats_url: str) -> None:
    async def main() -> None:
        with trio.move_on_after(3600) as scope:
            async with EVENTS.connect(nats_url):
                assert trio.current_effective_deadline() == scope.deadline
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught

    trio.run(main)


def mock_clock() -> trio.testing.MockClock:
    """It jumps to the next deadline whenever nothing has run for a hundredth of a second."""
    return trio.testing.MockClock(autojump_threshold=0.01)


def test_a_clock_that_jumps(nats_url: str) -> None:
    async def main() -> None:
        begun = trio.current_time()
        async with EVENTS.connect(nats_url) as conn:
            await conn.register()
            for number in range(10):
                await trio.sleep(60)
                await conn.emit(EVENT, number, sync=True)
            await conn.flush()
        assert trio.current_time() - begun >= 600

    trio.run(main, clock=mock_clock())


def test_listening_under_a_clock_that_jumps(nats_url: str) -> None:
    async def main() -> None:
        handled = Handled()
        async with running(nats_url, walnats.Actor("handle", EVENT, handled)) as stage:
            for number in range(5):
                await stage.emit(number)
                await trio.sleep(60)
            while len(handled.messages) < 5:
                await trio.sleep(1)
        assert handled.messages == list(range(5))

    trio.run(main, clock=mock_clock())


def test_a_slow_server_under_a_clock_that_jumps() -> None:
    """Its deadlines would be over before the server has had the time to say a word."""
    with SlowServer(0.2) as server:

        async def main() -> None:
            with pytest.raises(walnats.ConnectError, match="slow enough"):
                async with EVENTS.connect(f"nats://127.0.0.1:{server.port}"):
                    pytest.fail("connected")

        trio.run(main, clock=mock_clock())


def test_a_server_that_stands_still_under_a_clock_that_jumps() -> None:
    """For a minute of the clock, which is half a second: too little to give it up."""
    with NatsServer() as server:

        async def main() -> None:
            async with EVENTS.connect(server.url) as conn:
                async with trio.open_nursery() as nursery:
                    server.pause()
                    nursery.start_soon(conn._link.flush, DEADLINE)
                    await trio.sleep(60)
                    server.resume()
                assert conn._link.statistics().reconnects == 0

        trio.run(main, clock=mock_clock())


class SlowServer:
    """Says INFO after a while, and after another while that it does not want us."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> SlowServer:
        self._thread.start()
        return self

    def __exit__(self, *_args: object) -> None:
        self._thread.join(DEADLINE)
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            time.sleep(self._seconds)
            connection.sendall(b'INFO {"max_payload":1048576}\r\n')
            connection.recv(65536)
            time.sleep(self._seconds)
            connection.sendall(b"-ERR 'Authorization Violation: slow enough'\r\n")
