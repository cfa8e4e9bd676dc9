"""Servers that restart, die or fall silent, and workers that are killed: no event is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.actors._stage import breaking, listening, running, stage
from tests.actors._worker import actor_of, event_of
from tests.support.recorders import Gate, Handled
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actor, Actors, ConnectionLostError, Event, Events
from walnats_anyio._link import api
from walnats_anyio.testing import NatsCluster, NatsServer

pytestmark = pytest.mark.anyio

LONG = 120.0

EVENT: Event[int] = Event("numbers", int)
"""Kept in a file, as it has to survive the server."""


@pytest.fixture
def url(nats_server: NatsServer) -> str:
    return nats_server.url


async def emit_again(url: str, *messages: int) -> None:
    """Emit from a connection of its own, once the server is back."""
    async with Events(EVENT).connect(url) as events:
        await events.emit_many(EVENT, messages, sync=True)


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_listening_goes_on_after_a_server_restarts(
    url: str, nats_server: NatsServer, how: str
) -> None:
    handled = Handled()
    actor = Actor("a", EVENT, handled, max_jobs=4, ack_wait=LONG)
    async with running(url, actor) as on:
        for round_ in range(3):
            await on.emit(*range(round_ * 20, round_ * 20 + 20))
            await handled.come(round_ * 20 + 20)
            await on.until_done(actor)
            if how == "restart":
                await nats_server.restart()
            else:
                nats_server.kill()
                await nats_server.start()
        await on.emit(1000)
        await until(lambda: 1000 in handled.messages)
        await on.until_done(actor)
    assert Counter(handled.messages) == Counter([*range(60), 1000])


async def test_an_idle_actor_has_its_next_event_soon_after_a_restart(
    url: str, nats_server: NatsServer
) -> None:
    """It asks anew at the reconnect, not when the request that was lost would have expired."""
    handled = Handled()
    actor = Actor("a", EVENT, handled, ack_wait=LONG)
    async with running(url, actor, poll_delay=30) as on:
        nats_server.kill()
        await until(lambda: not on.link.connected)
        await nats_server.start()
        await until(lambda: on.link.connected)
        await emit_again(url, 1)
        await until(lambda: handled.messages == [1], within=5)
        await on.until_done(actor)


async def test_a_backlog_is_worked_off_through_restarts(url: str, nats_server: NatsServer) -> None:
    """At least once each: an acknowledgement may be lost with the connection."""
    handled: list[int] = []

    async def handle(message: int) -> None:
        await anyio.sleep(0.01)
        handled.append(message)

    actor = Actor("a", EVENT, handle, max_jobs=8, ack_wait=3)
    async with running(url, actor) as on:
        await on.emit(*range(400))
        for part in range(1, 4):
            await until(lambda part=part: len(handled) >= 100 * part)  # type: ignore[misc]
            await nats_server.restart()
        await on.until_done(actor)
    assert set(handled) == set(range(400))


async def test_jobs_that_run_while_the_server_is_away(url: str, nats_server: NatsServer) -> None:
    """They finish, and what they have to say is said when it is back."""
    gate = Gate()
    actor = Actor("a", EVENT, gate, max_jobs=3, ack_wait=LONG)
    async with running(url, actor) as on:
        await on.emit(1, 2, 3)
        await gate.come(3)
        await nats_server.stop()
        await until(lambda: not on.link.connected)
        gate.open()
        await until(lambda: len(gate.finished) == 3)
        await nats_server.start()
        await on.until_done(actor)
        await on.emit(4)
        await gate.come(4)
        await on.until_done(actor)
    assert sorted(gate.finished) == [1, 2, 3, 4]


async def test_a_server_that_falls_silent_for_a_while(url: str, nats_server: NatsServer) -> None:
    handled = Handled()
    actor = Actor("a", EVENT, handled, ack_wait=LONG)
    async with running(url, actor, poll_delay=1) as on:
        await on.emit(1)
        await handled.come(1)
        nats_server.pause()
        await anyio.sleep(3)
        nats_server.resume()
        await on.emit(*range(2, 30))
        await on.until_done(actor)
    assert Counter(handled.messages) == Counter(range(1, 30))


async def test_a_burst_through_a_restart(url: str, nats_server: NatsServer) -> None:
    gate = Gate()
    actor = Actor("a", EVENT, gate, max_jobs=2, ack_wait=LONG)
    async with stage(url, actor) as on:
        await on.emit(*range(10))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: on.actors.listen(burst=True))
            await gate.come(2)
            await nats_server.restart()
            gate.open()
        await on.until_done(actor)
    assert Counter(gate.finished) == Counter(range(10))


async def test_turns_at_asking_through_a_restart(url: str, nats_server: NatsServer) -> None:
    handled = [Handled() for _ in range(4)]
    actors = [Actor(f"a{number}", EVENT, handler) for number, handler in enumerate(handled)]
    async with running(url, *actors, max_polls=1, poll_delay=0.3) as on:
        await on.emit(1)
        await on.until_done(*actors)
        await nats_server.restart()
        await on.emit(2)
        await on.until_done(*actors)
    assert [sorted(handler.messages) for handler in handled] == [[1, 2]] * 4


async def test_listen_after_a_listen_that_ended_while_the_server_was_away(
    url: str, nats_server: NatsServer
) -> None:
    """Its hand-backs are said when the server is back, on the same connection."""
    gate, handled = Gate(), Handled()

    async def handle(message: int) -> None:
        await (handled if nats_server_was_away else gate)(message)

    nats_server_was_away = False
    actor = Actor("a", EVENT, handle, ack_wait=LONG)
    async with stage(url, actor) as on:
        await on.emit(1, 2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await gate.come(2)
            nats_server.kill()
            await until(lambda: not on.link.connected)
            tasks.cancel_scope.cancel()
        nats_server_was_away = True
        await nats_server.start()
        async with listening(on.actors):
            await handled.come(2)
            await on.until_done(actor)
    assert sorted(handled.messages) == [1, 2]


@pytest.mark.parametrize("busy", [False, True])
async def test_a_connection_that_is_closed_for_good(
    url: str, nats_server: NatsServer, busy: bool
) -> None:
    """Running jobs are cancelled: nobody could be told how they end."""
    gate = Gate()
    actor = Actor("a", EVENT, gate)
    async with Events(EVENT).connect(url) as events:
        await events.register()
        await events.emit_many(EVENT, [1] if busy else [], sync=True)
    async with Actors(actor).connect(url, allow_reconnect=False) as conn:
        await conn.register()
        if busy:
            async with Events(EVENT).connect(url) as events:
                await events.emit_many(EVENT, [1], sync=True)
        async with breaking(conn, ConnectionLostError):
            if busy:
                await gate.come(1)
            else:
                await anyio.sleep(0.2)
            nats_server.kill()
    assert gate.running == 0


async def test_a_connection_that_is_closed_while_it_shuts_down(
    url: str, nats_server: NatsServer
) -> None:
    gate = Gate()
    actor = Actor("a", EVENT, gate)
    async with stage(url, actor) as on, Actors(actor).connect(url, allow_reconnect=False) as conn:
        await on.emit(1)
        async with breaking(conn, ConnectionLostError):
            await gate.come(1)
            conn.shutdown()
            await on.link.flush()
            nats_server.kill()
        await nats_server.start()


async def test_a_leader_that_dies(nats_cluster: NatsCluster) -> None:
    """The consumer moves to another server, and listening goes on there."""
    event: Event[int] = Event("numbers", int, replicas=3)
    handled = Handled()
    actor = Actor("a", event, handled, ack_wait=4)
    urls = nats_cluster.urls
    async with Events(event).connect(urls) as events, Actors(actor).connect(urls) as conn:
        await events.register()
        await conn.register()
        async with listening(conn):
            await events.emit_many(event, range(50), sync=True)
            await handled.come(50)
            stream = await api(conn._link, f"STREAM.INFO.{event.stream_name}")
            leader = stream["cluster"]["leader"]
            (server,) = (each for each in nats_cluster.servers if each.server_name == leader)
            server.kill()
            await events.emit_many(event, range(50, 60), uid=str, sync=True)
            await until(lambda: set(handled.messages) == set(range(60)))


# workers


@contextmanager
def worker(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.actors._worker", *arguments]
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(command, cwd=root) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_a_worker_that_is_killed(url: str, tmp_path: Path, anyio_backend: str) -> None:
    """What it was doing is done by another one, after `ack_wait`; what it had done is not."""
    path = tmp_path / "notes"

    def finished() -> Counter[int]:
        lines = path.read_text().splitlines() if path.exists() else []
        return Counter(int(line.split()[0]) for line in lines if "finished" in line)

    event = event_of("numbers")
    actor = actor_of("numbers", str(path))
    async with stage(url, actor) as on:
        await on.emit(*range(100), event=event)
        with worker(url, "numbers", str(path), anyio_backend) as first:
            await until(lambda: finished().total() >= 20)
            first.send_signal(signal.SIGKILL)
            await until(lambda: first.poll() is not None)
        assert finished().total() < 100
        with worker(url, "numbers", str(path), anyio_backend):
            await until(lambda: len(finished()) == 100)
            await on.until_done(actor)
    # Only what was acknowledged too late, or not at all, was done twice.
    assert isinstance(actor.max_jobs, int)
    assert finished().total() <= 100 + 2 * actor.max_jobs


@pytest.mark.parametrize("hard", [False, True])
async def test_it_ends_while_the_server_is_away(
    url: str, nats_server: NatsServer, hard: bool
) -> None:
    """In bounded time, and the events come again after `ack_wait`."""
    handled = Handled()
    actor = Actor("a", EVENT, Gate(), ack_wait=2)
    async with Events(EVENT).connect(url) as events:
        await events.register()
        async with Actors(actor).connect(url) as conn:
            await conn.register()
            await events.emit_many(EVENT, [1, 2], sync=True)
            gate: Any = actor.handler
            with anyio.fail_after(DEADLINE):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(lambda: conn.listen(shutdown_timeout=0))
                    await gate.come(2)
                    nats_server.kill()
                    if hard:
                        tasks.cancel_scope.cancel()
                    else:
                        conn.shutdown()
        await nats_server.start()
    again = Actor("a", EVENT, handled, ack_wait=2)
    async with Actors(again).connect(url) as conn, listening(conn):
        await handled.come(2)
    assert sorted(handled.messages) == [1, 2]
