"""What flush waits for, and what leaving a connection waits for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import anyio
import pytest

import walnats_anyio as walnats
from tests.link._probe import count, keep
from tests.support.waiting import DEADLINE
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedEvents

pytestmark = pytest.mark.anyio

NUMBER = walnats.Event("numbers.counted", int)
EVENTS = walnats.Events(NUMBER)


@pytest.fixture
async def conn(nats_server: NatsServer) -> AsyncIterator[ConnectedEvents]:
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, NUMBER)
        yield conn


async def test_flush_beside_a_busy_emitter(conn: ConnectedEvents) -> None:
    """It waits for what was emitted before it, and no more."""

    async def emit_for_ever() -> None:
        number = 0
        while True:
            number += 1
            await conn.emit(NUMBER, number)

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(emit_for_ever)
            await conn.emit(NUMBER, 0)
            for _ in range(20):
                await conn.flush()
            tasks.cancel_scope.cancel()


async def test_flush_waits_for_all_that_was_emitted_before(
    conn: ConnectedEvents, nats_server: NatsServer
) -> None:
    async with anyio.create_task_group() as tasks:
        for start in range(0, 1000, 100):
            for number in range(start, start + 100):
                await conn.emit(NUMBER, number)
            tasks.start_soon(conn.flush)
        await conn.flush()
        assert await count(nats_server, NUMBER) == 1000


async def test_several_flushes_at_once_after_a_timeout(
    conn: ConnectedEvents, nats_server: NatsServer
) -> None:
    nats_server.pause()
    for number in range(3):
        await conn.emit(NUMBER, number)
    with pytest.raises(TimeoutError, match="3 events"):
        await conn.flush(timeout=0.05)
    await conn.emit(NUMBER, 4)
    with pytest.raises(TimeoutError, match="4 events"):
        await conn.flush(timeout=0.05)
    done: list[int] = []

    async def flush(number: int) -> None:
        await conn.flush()
        done.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(flush, number)
        await anyio.lowlevel.checkpoint()
        nats_server.resume()
    assert sorted(done) == [0, 1, 2]
    assert await count(nats_server, NUMBER) == 4


class Own(Exception):
    pass


@pytest.mark.parametrize("how", ["error", "cancelled"])
async def test_leaving_while_the_server_is_gone(
    nats_server: NatsServer, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After an exception or a cancellation it is bounded, and said."""
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
    began, caught = 0.0, False
    with anyio.CancelScope() as outer:
        try:
            async with EVENTS.connect(nats_server.url) as conn:
                await conn.emit(NUMBER, 1)
                nats_server.kill()
                await conn.emit(NUMBER, 2)
                began = time.monotonic()
                if how == "error":
                    raise Own("the body's own")
                outer.cancel()
                await anyio.sleep_forever()
        except Own as error:
            caught = "not acknowledged" in "".join(error.__notes__)
    assert caught == (how == "error")
    assert 1.0 < time.monotonic() - began < 10.0
    assert "1 events were not acknowledged" in caplog.text


async def test_cancelled_while_it_leaves(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits a moment all the same, and says what it left."""
    with anyio.CancelScope() as outer:
        async with EVENTS.connect(nats_server.url) as conn:
            await conn.register()
            nats_server.pause()
            await conn.emit_many(NUMBER, [], sync=True)
            conn._emitter.confirmed.add(NUMBER.name)
            await conn.emit(NUMBER, 1)
            outer.deadline = anyio.current_time() + 0.2
    nats_server.resume()
    assert outer.cancelled_caught
    assert "1 events were not acknowledged" in caplog.text


async def test_an_emit_while_the_connection_is_left(nats_server: NatsServer) -> None:
    """What would be lost with the connection is refused."""
    refused: list[BaseException] = []

    async def emit_for_ever(conn: ConnectedEvents) -> None:
        try:
            while True:
                await conn.emit(NUMBER, 1)
        except walnats.ConnectionLostError as error:
            refused.append(error)

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks, EVENTS.connect(nats_server.url) as conn:
            await conn.register()
            tasks.start_soon(emit_for_ever, conn)
            await anyio.sleep(0.05)
    assert len(refused) == 1
