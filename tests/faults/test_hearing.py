"""A connection that is open on this side only is noticed, and one that is slow is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from tests.actors._stage import consumer_of, listening
from tests.faults._proxy import Proxy, Way
from tests.support.recorders import Handled
from tests.support.waiting import until
from walnats_anyio import Actor, Actors, Event, Events
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import Ended

pytestmark = pytest.mark.anyio

EVENT: Event[str] = Event("texts", str)
EVENTS = Events(EVENT)

SOON: dict[str, Any] = {"ping_interval": 0.5, "max_outstanding_pings": 1}
"""A lost connection is noticed ten times as soon as it is in earnest."""


@pytest.fixture
def proxy(nats_server: NatsServer) -> Iterator[Proxy]:
    with Proxy(nats_server.port) as proxy:
        yield proxy


@pytest.mark.parametrize("ways", [("up", "down"), ("down",)], ids="-".join)
async def test_a_listener_that_is_half_open(
    nats_server: NatsServer, proxy: Proxy, ways: tuple[Way, ...]
) -> None:
    handled = Handled()
    actor = Actor("a", EVENT, handled, ack_wait=2)
    async with (
        EVENTS.connect(nats_server.url) as events,
        Actors(actor).connect(proxy.url, **SOON) as actors,
    ):
        await events.register()
        await actors.register()
        async with listening(actors):
            await events.emit(EVENT, "before")
            await handled.come(1)
            proxy.half_open(*ways)
            await events.emit(EVENT, "after")
            await until(lambda: "after" in handled.messages)


async def test_an_emitter_that_is_half_open(nats_server: NatsServer, proxy: Proxy) -> None:
    async with EVENTS.connect(proxy.url, **SOON) as events:
        await events.register()
        await events.emit(EVENT, "before", sync=True)
        proxy.half_open()
        with anyio.fail_after(30):
            await events.emit(EVENT, "after", sync=True)


async def test_an_emitter_with_more_to_send_than_fits(
    nats_server: NatsServer, proxy: Proxy
) -> None:
    async with EVENTS.connect(proxy.url, **SOON) as events:
        await events.register()
        await events.emit(EVENT, "before", sync=True)
        proxy.stall(new="pass")
        for number in range(14):
            await events.emit(EVENT, "x" * 1_000_000, uid=str(number))
        with anyio.fail_after(30):
            await events.flush()


async def test_started_means_that_the_server_has_the_requests(
    nats_server: NatsServer, proxy: Proxy
) -> None:
    """However long the way to it is."""
    actor = Actor("a", EVENT, Handled())
    async with EVENTS.connect(nats_server.url) as events, Actors(actor).connect(proxy.url) as conn:
        await events.register()
        await conn.register()
        proxy.slow(latency=0.1)
        async with listening(conn):
            assert (await consumer_of(events._link, actor)).requested == 1


async def test_a_stop_while_the_server_does_not_answer_yet(
    nats_server: NatsServer, proxy: Proxy
) -> None:
    """It had to wait for 5 seconds, and was an error then."""
    actor = Actor("a", EVENT, Handled())
    ended: list[Ended] = []
    async with EVENTS.connect(nats_server.url) as events, Actors(actor).connect(proxy.url) as conn:
        await events.register()
        await conn.register()
        proxy.stall()

        async def listen() -> None:
            ended.append((await conn.listen()).ended)

        with anyio.fail_after(4):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen)
                await until(lambda: conn.statistics().connection.pending > 0)
                conn.shutdown()
        assert ended == [Ended.SHUTDOWN]
        proxy.heal()


async def test_a_connection_without_any_traffic(nats_server: NatsServer, proxy: Proxy) -> None:
    """The server is asked, and answers."""
    async with EVENTS.connect(proxy.url, **SOON) as events:
        connection = events._link._connection
        await anyio.sleep(3 * SOON["ping_interval"])
        assert events._link._connection is connection


async def test_a_slow_line_is_not_given_up(nats_server: NatsServer, proxy: Proxy) -> None:
    """PINGs wait behind the events."""
    async with EVENTS.connect(proxy.url, ping_interval=1, max_outstanding_pings=1) as events:
        await events.register()
        await events.emit(EVENT, "first", sync=True)
        connection = events._link._connection
        proxy.slow(rate=100_000)
        for _ in range(500):
            await events.emit(EVENT, "x" * 1000)
        with anyio.fail_after(60):
            await events.flush()
        assert events._link._connection is connection
