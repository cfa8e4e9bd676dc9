"""Delays in a mixed system: real walnats 1.2.6 on the other side; a new server and an old one."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from subprocess import CalledProcessError

import anyio
import pytest

from tests.interop.test_walnats import (
    EVENTS,
    ORDERED,
    Look,
    actors_with,
    config_of,
    listen,
    order,
    run_peer,
)
from tests.support.servers import server_binary
from tests.support.waiting import until
from walnats_anyio import Event, Events
from walnats_anyio._events import _schedules as schedules
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

STREAM = "STREAM.INFO.order-placed"


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts `Walnats-Delay` from 1970 in local time, which is right in UTC only."""
    monkeypatch.setenv("TZ", "UTC")


# A program of theirs takes a second of CPU to start, so each event loop has one server.
BOTH = pytest.mark.parametrize(
    ("anyio_backend", "server"), [("asyncio", "new"), ("trio", "2.12.8")], indirect=["server"]
)
NEW = pytest.mark.parametrize(("anyio_backend", "server"), [("trio", "new")], indirect=["server"])


@pytest.fixture
async def server(request: pytest.FixtureRequest) -> AsyncIterator[NatsServer]:
    # The session of the lowest versions has an older one, which keeps no schedules.
    version = "2.14.6" if request.param == "new" else request.param
    async with NatsServer(binary=server_binary(version)) as server:
        yield server


@BOTH
async def test_its_delayed_event_and_our_actor(server: NatsServer) -> None:
    look, came = Look(), 0.0
    async with (
        EVENTS.connect(server.url) as conn,
        actors_with(look).connect(server.url) as listening,
    ):
        await conn.register()
        await listening.register()
        async with anyio.create_task_group() as tasks:
            await tasks.start(listen, listening)
            await run_peer(server, "emit", json.dumps([[asdict(order(1)), {"delay": 1.0}]]))
            await look.come(1)
            came = time.time()
            listening.shutdown()
    (one,) = look.seen
    assert one["attempts"] == 1
    assert came >= float(one["headers"]["Walnats-Delay"]) - 0.01


@BOTH
async def test_our_delayed_event_and_its_actor(server: NatsServer) -> None:
    await run_peer(server, "register")
    async with EVENTS.connect(server.url) as conn:
        begun = time.time()
        await conn.emit(ORDERED, order(1), delay=1.0, trace_id="abc", meta={"Key": "v"}, sync=True)
        (one,) = await run_peer(server, "listen", "1", "0")
    # From 2.14 on its actor gets it a moment early, as it does not know what holds ours until then.
    assert time.time() >= begun + 1.0 - schedules.LEAD
    assert (one["message"], one["trace_id"], one["attempts"]) == (asdict(order(1)), "abc", 1)
    assert one["headers"]["Key"] == "v"


@NEW
async def test_its_register_takes_the_source_away_and_ours_gives_it_back(
    server: NatsServer,
) -> None:
    async with (
        EVENTS.connect(server.url) as conn,
        actors_with(Look()).connect(server.url) as listening,
    ):
        await conn.register()
        await listening.register()
        await conn.emit(ORDERED, order(1), delay=0.5, sync=True)
        assert "sources" in await config_of(server, STREAM)
        await run_peer(server, "register")
        assert "sources" not in await config_of(server, STREAM)
        schedules.forget(conn._link)  # as after a minute
        await conn.emit(ORDERED, order(2), delay=0.5, sync=True)
        seen = await run_peer(server, "listen", "2", "0")
    assert sorted(one["message"]["number"] for one in seen) == [1, 2]


@NEW
async def test_it_cannot_register_an_event_that_may_expire(server: NatsServer) -> None:
    """NATS refuses to switch it off, which is what its update asks for; it can still listen."""
    event = Event("order.placed", ORDERED.schema, ttl=True)
    look = Look()
    async with (
        Events(event).connect(server.url) as conn,
        actors_with(look).connect(server.url) as listening,
    ):
        await conn.register()
        with pytest.raises(CalledProcessError):
            await run_peer(server, "register")
        await listening.register()
        await conn.emit(event, order(1), ttl=60, sync=True)
        async with anyio.create_task_group() as tasks:
            await tasks.start(listen, listening)
            await until(lambda: len(look.seen) == 1)
            listening.shutdown()
