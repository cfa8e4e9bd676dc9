"""Delays where a leafnode connection joins two JetStream domains: subjects know no domains."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import walnats_anyio as walnats
from tests.support.waiting import until
from walnats_anyio._link import Link, Prefixes, ServerError, api, open_link
from walnats_anyio.testing import NatsServer, held_port
from walnats_anyio.types import CancelResult

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("order.placed", int, delays=True)
EVENTS = walnats.Events(EVENT)
HOUR = 3600


@pytest.fixture
async def servers() -> AsyncIterator[tuple[NatsServer, NatsServer]]:
    """A hub, and a leafnode with a domain of its own."""
    with held_port() as port:
        leafnodes = {"host": "127.0.0.1", "port": port}
        remotes = {"remotes": [{"urls": [f"nats://127.0.0.1:{port}"]}]}
        hub = NatsServer(config={"jetstream": {"domain": "hub"}, "leafnodes": leafnodes})
        edge = NatsServer(config={"jetstream": {"domain": "edge"}, "leafnodes": remotes})
        async with hub, edge:
            yield hub, edge


async def waiting(link: Link) -> list[str]:
    """The subjects of what the stream of schedules holds."""
    wanted = {"subjects_filter": ">"}
    answer = await api(link, "STREAM.INFO.walnats-schedules", wanted)
    return sorted(answer["state"].get("subjects") or ())


async def test_one_domain_keeps_what_is_delayed(servers: tuple[NatsServer, NatsServer]) -> None:
    """Both have the stream of schedules, and the event's; each emit is in one of them."""
    hub, edge = servers
    async with (
        open_link(hub.url) as at_hub,
        open_link(hub.url, prefixes=Prefixes.of("edge", None, None)) as at_edge,
    ):

        async def joined() -> bool:
            try:
                await api(at_edge, "INFO")
            except ServerError:
                return False
            return True

        await until(joined)
        async with EVENTS.connect(hub.url) as conn:
            await conn.register()
        ways = [(hub.url, "edge"), (edge.url, None), (edge.url, "edge")]
        for number, (url, domain) in enumerate(ways):
            async with EVENTS.connect(url, domain=domain) as conn:
                await conn.register()
                await conn.emit(EVENT, 1, delay=HOUR, uid=f"far-{number}", sync=True)
                (one,) = await waiting(at_edge)
                assert one.startswith("walnats.schedules-edge.delay.order-placed.")
                assert await waiting(at_hub) == []
                assert await conn.cancel(f"far-{number}") is CancelResult.DELAYED
                assert await waiting(at_edge) == []
        async with EVENTS.connect(hub.url) as conn:
            await conn.emit(EVENT, 2, delay=HOUR, sync=True)
        assert len(await waiting(at_hub)) == 1
        assert await waiting(at_edge) == []
