"""A connection that is open on this side only is noticed, and one that is slow is left alone."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest

from tests.actors._stage import listening
from tests.faults._proxy import Proxy, Way
from tests.support.recorders import Handled
from tests.support.waiting import until
from walnats_anyio import Actor, Actors, Event, Events
from walnats_anyio._link import _hearing
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

EVENT: Event[str] = Event("texts", str)
EVENTS = Events(EVENT)

SOON = 0.25
"""Seconds between looks: a lost connection is noticed ten times as soon as it is in earnest."""


@pytest.fixture
def proxy(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr(_hearing, "LOOK_EVERY", SOON)
    with Proxy(nats_server.port) as proxy:
        yield proxy


@pytest.mark.parametrize("ways", [("up", "down"), ("down",)], ids="-".join)
async def test_a_listener_that_is_half_open(
    nats_server: NatsServer, proxy: Proxy, ways: tuple[Way, ...]
) -> None:
    """It hears of new events long before nats-py's pings, a minute later, would notice."""
    handled = Handled()
    actor = Actor("a", EVENT, handled, ack_wait=2)
    async with (
        EVENTS.connect(nats_server.url) as events,
        Actors(actor).connect(proxy.url) as actors,
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
    async with EVENTS.connect(proxy.url) as events:
        await events.register()
        await events.emit(EVENT, "before", sync=True)
        proxy.half_open()
        with anyio.fail_after(30):
            await events.emit(EVENT, "after", sync=True)


async def test_an_emitter_with_more_to_send_than_fits(
    nats_server: NatsServer, proxy: Proxy
) -> None:
    """nats-py would wait until it has sent all of it before it let go of the connection."""
    async with EVENTS.connect(proxy.url, ping_interval=0.5, max_outstanding_pings=1) as events:
        await events.register()
        await events.emit(EVENT, "before", sync=True)
        proxy.stall(new="pass")
        for number in range(14):
            await events.emit(EVENT, "x" * 1_000_000, uid=str(number))
        with anyio.fail_after(30):
            await events.flush()


async def test_a_connection_without_any_traffic(nats_server: NatsServer, proxy: Proxy) -> None:
    """The server is asked, and answers."""
    async with EVENTS.connect(proxy.url) as events:
        await anyio.sleep(1.5 * SOON * _hearing.LOST_AFTER)
        assert events._link._client.stats["reconnects"] == 0


async def test_a_slow_line_is_not_given_up(nats_server: NatsServer, proxy: Proxy) -> None:
    """PINGs wait behind the events: nats-py alone would connect again and again."""
    async with EVENTS.connect(proxy.url, ping_interval=1, max_outstanding_pings=1) as events:
        await events.register()
        await events.emit(EVENT, "first", sync=True)
        proxy.slow(rate=100_000)
        for _ in range(500):
            await events.emit(EVENT, "x" * 1000)
        with anyio.fail_after(60):
            await events.flush()
        assert events._link._client.stats["reconnects"] == 0
