"""What emitting shows of itself: `ConnectedEvents.statistics()`."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

import walnats_anyio as walnats
from tests.link._probe import keep
from tests.support.jetstream import delete_stream
from tests.support.waiting import DEADLINE, until
from walnats_anyio._events._emitter import MAX_OUTSTANDING
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedEvents, EmitStatistics

pytestmark = pytest.mark.anyio

EVENT: walnats.Event[int] = walnats.Event("numbers", int)
NOBODYS: walnats.Event[int] = walnats.Event("nobodys", int)
EVENTS = walnats.Events(EVENT, NOBODYS)


def counts(of: EmitStatistics) -> tuple[int, int, int, int]:
    assert of.emitted == of.acknowledged + of.failed + of.outstanding
    return of.emitted, of.acknowledged, of.failed, of.outstanding


async def test_before_anything_is_emitted(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as conn:
        shown = conn.statistics()
        assert counts(shown) == (0, 0, 0, 0)
        assert (shown.outstanding_bytes, shown.waiting) == (0, 0)
        await conn.register()
        assert counts(conn.statistics()) == (0, 0, 0, 0)


async def test_what_is_on_its_way(nats_server: NatsServer) -> None:
    async with walnats.Events(EVENT).connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, EVENT)
        await conn.emit(EVENT, 1, sync=True)
        assert counts(conn.statistics()) == (1, 1, 0, 0)
        nats_server.pause()
        await conn.emit_many(EVENT, range(10))
        shown = conn.statistics()
        assert counts(shown) == (11, 1, 0, 10)
        assert shown.outstanding_bytes > 10 * len(EVENT.encode(1))
        nats_server.resume()
        await conn.flush()
        shown = conn.statistics()
        assert counts(shown) == (11, 11, 0, 0)
        assert shown.outstanding_bytes == 0


async def test_a_batch_that_is_on_its_way(nats_server: NatsServer) -> None:
    """It counts with the headers of its messages."""
    async with walnats.Events(EVENT).connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, EVENT)
        await conn.emit_many(EVENT, [1], atomic=True)
        nats_server.pause()
        async with anyio.create_task_group() as tasks:
            emit = partial(conn.emit_many, EVENT, range(5), uid="number-{}".format, atomic=True)
            tasks.start_soon(emit)
            await until(lambda: conn.statistics().outstanding == 5)
            assert conn.statistics().outstanding_bytes > 5 * len("Nats-Msg-Id: number-1")
            nats_server.resume()
        shown = conn.statistics()
        assert counts(shown) == (6, 6, 0, 0)
        assert shown.outstanding_bytes == 0


async def emit_in_vain(conn: ConnectedEvents, *, sync: bool) -> None:
    with pytest.raises(walnats.EmitError):
        await conn.emit(NOBODYS, 1, sync=sync)


async def test_what_failed_counts_whoever_hears_of_it(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as conn:
        await emit_in_vain(conn, sync=False)
        await emit_in_vain(conn, sync=True)
        assert counts(conn.statistics()) == (2, 0, 2, 0)
        with pytest.raises(walnats.EmitError):
            await conn.emit_many(NOBODYS, [1, 2], sync=True)
        assert counts(conn.statistics()) == (4, 0, 4, 0)
    nobody_listens = walnats.Events(NOBODYS)
    async with nobody_listens.connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, NOBODYS)
        await delete_stream(nats_server, NOBODYS.stream_name)
        await conn.emit(NOBODYS, 1)
        with pytest.raises(walnats.EmitError):
            await conn.flush()
        assert counts(conn.statistics()) == (1, 0, 1, 0)


async def test_tasks_that_wait_as_too_much_is_on_its_way(nats_server: NatsServer) -> None:
    async with walnats.Events(EVENT).connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, EVENT)
        nats_server.pause()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(conn.emit_many, EVENT, range(MAX_OUTSTANDING))
            await until(lambda: conn.statistics().outstanding == MAX_OUTSTANDING)
            assert conn.statistics().waiting == 0
            for number in range(3):
                tasks.start_soon(conn.emit, EVENT, number)
            await until(lambda: conn.statistics().waiting == 3)
            assert conn.statistics().emitted == MAX_OUTSTANDING
            nats_server.resume()
        assert conn.statistics().waiting == 0
        with anyio.fail_after(DEADLINE):
            await conn.flush()
        assert counts(conn.statistics())[:2] == (MAX_OUTSTANDING + 3, MAX_OUTSTANDING + 3)
