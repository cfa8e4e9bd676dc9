"""Emits outlive the connection they were made on: restarts, kills and halts of the server."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.link._probe import Emitting, count, keep, stored
from tests.support.waiting import DEADLINE, until
from walnats_anyio._link import _pending
from walnats_anyio.testing import NatsCluster, NatsServer

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("user-created", int)
EVENTS = walnats.Events(EVENT)

LONG = 120.0
"""Seconds for what takes a few."""


Change = Callable[[NatsServer], Coroutine[Any, Any, None]]


async def restart(server: NatsServer) -> None:
    await server.restart()


async def kill(server: NatsServer) -> None:
    server.kill()
    await server.start()


async def halt(server: NatsServer) -> None:
    server.pause()
    with anyio.move_on_after(0.3):
        await anyio.sleep_forever()
    server.resume()


CHANGES = [restart, kill, halt]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("sync", [False, True], ids=["tracked", "sync"])
async def test_with_uid_exactly_once(nats_server: NatsServer, change: Change, sync: bool) -> None:
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, EVENT)
        emitting = Emitting(conn, EVENT)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: emitting.run(sync=sync))
            for _ in range(3):
                await emitting.past(200)
                await change(nats_server)
            await emitting.past(200)
            emitting.stop()
        await conn.flush()
        assert await count(nats_server, EVENT) == emitting.emitted


@pytest.mark.parametrize("change", CHANGES)
async def test_without_uid_at_least_once(nats_server: NatsServer, change: Change) -> None:
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, EVENT)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change, nats_server)
            for number in range(300):
                await conn.emit(EVENT, number)
                await anyio.sleep(0.001)
        await conn.flush()
    assert {int(one.payload) for one in await stored(nats_server, EVENT)} == set(range(300))


async def test_of_many_tasks_and_connections(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as one, EVENTS.connect(nats_server.url) as two:
        await one.register()
        await two.register()
        await keep(nats_server, EVENT)
        emitted = 0

        async def emit(conn: walnats.types.ConnectedEvents, name: str) -> None:
            nonlocal emitted
            for number in range(200):
                uid = f"{name}-{number}"
                await conn.emit(EVENT, number, uid=uid, sync=number % 20 == 0)
                emitted += 1

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(emit, (one, two)[number % 2], str(number))
            await until(lambda: emitted > 50)
            await kill(nats_server)
        await one.flush()
        await two.flush()
    assert await count(nats_server, EVENT) == 4000


# The server is away for a while


async def test_emits_while_the_server_is_away(nats_server: NatsServer) -> None:
    """None of them was sent, so none can be stored twice."""
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, EVENT)
        nats_server.kill()
        await until(lambda: not conn._link.connected)
        for number in range(100):
            await conn.emit(EVENT, number)
        await nats_server.start()
        with anyio.fail_after(LONG):
            await conn.flush()
    assert [int(one.payload) for one in await stored(nats_server, EVENT)] == list(range(100))


async def test_more_emits_than_the_window_while_the_server_is_away(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, EVENT)
        nats_server.kill()
        await until(lambda: not conn._link.connected)
        emitted = 0

        async def emit() -> None:
            nonlocal emitted
            while emitted < 5000:
                await conn.emit(EVENT, emitted)
                emitted += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(emit)
            await until(lambda: emitted >= 4096)
            await anyio.wait_all_tasks_blocked()
            assert emitted == 4096
            await nats_server.start()
        with anyio.fail_after(LONG):
            await conn.flush()
    assert await count(nats_server, EVENT) == 5000


async def test_emits_and_a_server_that_stands_still_for_long(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was lost, so nothing is sent twice, however long it takes."""
    monkeypatch.setattr(_pending, "RETRY_AFTER", 0.2)
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, EVENT)
        nats_server.pause()
        for number in range(100):
            await conn.emit(EVENT, number)
        with anyio.move_on_after(2):
            await conn.flush()
        nats_server.resume()
        with anyio.fail_after(LONG):
            await conn.flush()
    assert [int(one.payload) for one in await stored(nats_server, EVENT)] == list(range(100))


async def test_a_connection_that_is_half_open(nats_server: NatsServer) -> None:
    """The server stands still for so long that it is taken for lost."""
    options: dict[str, Any] = {
        "ping_interval": 0.1,
        "max_outstanding_pings": 1,
        "connect_timeout": 0.5,
    }
    async with EVENTS.connect(nats_server.url, **options) as conn:
        await conn.register()
        await keep(nats_server, EVENT)
        nats_server.pause()
        for number in range(100):
            await conn.emit(EVENT, number, uid=str(number))
        await until(lambda: not conn._link.connected)
        nats_server.resume()
        with anyio.fail_after(LONG):
            await conn.flush()
            await conn.emit(EVENT, 100, uid="100", sync=True)
    assert await count(nats_server, EVENT) == 101


async def test_a_stream_that_did_not_survive(nats_server: NatsServer) -> None:
    """Kept in memory, it is gone with the server: said so, and not waited for without end."""
    event = walnats.Event("in-memory", int, storage="memory")
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        await conn.emit(event, 1, sync=True)
        await kill(nats_server)
        with anyio.fail_after(DEADLINE):
            with pytest.raises(walnats.EmitError, match="register the event"):
                await conn.emit(event, 2, sync=True)
            await conn.register()
            await conn.emit(event, 3, sync=True)


# A cluster


async def test_a_leader_that_dies(nats_cluster: NatsCluster) -> None:
    event = walnats.Event("user-created", int, replicas=3)
    async with walnats.Events(event).connect(nats_cluster.urls) as conn:
        await conn.register()
        await keep(nats_cluster.servers[0], event)
        emitting = Emitting(conn, event)
        leader = await nats_cluster.leader(stream="user-created")
        with anyio.fail_after(LONG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(emitting.run)
                await emitting.past(200)
                leader.kill()
                await emitting.past(5000)
                emitting.stop()
            await conn.flush()
        await leader.start()
        await nats_cluster.wait_ready()
        witness = await nats_cluster.leader(stream="user-created")
        assert await count(witness, event) == emitting.emitted
