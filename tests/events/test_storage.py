"""Events in files and events in memory on one server, which is restarted."""

from __future__ import annotations

import pytest

import walnats_anyio as walnats
from tests.actors._stage import listening
from tests.link._probe import count, keep, stream_config
from tests.support.recorders import Handled
from tests.support.waiting import until
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

KEPT = walnats.Event("kept", int)
FORGOTTEN = walnats.Event("forgotten", int, storage="memory")


async def test_a_restart_keeps_one_and_forgets_the_other(nats_server: NatsServer) -> None:
    """What is in memory is gone with its stream, and `register` makes that again."""
    seen = Handled()
    actors = walnats.Actors(*(walnats.Actor("a", event, seen) for event in (KEPT, FORGOTTEN)))
    async with (
        walnats.Events(KEPT, FORGOTTEN).connect(nats_server.url) as conn,
        actors.connect(conn) as workers,
    ):
        await conn.register()
        await workers.register()
        await conn.emit(KEPT, 1, sync=True)
        await conn.emit(FORGOTTEN, 2, sync=True)
        await nats_server.restart()
        assert await stream_config(nats_server, FORGOTTEN) is None
        with pytest.raises(walnats.EmitError, match="no stream"):
            await conn.emit(FORGOTTEN, 3, sync=True)
        with pytest.raises(walnats.ConsumerConfigError, match=r"register it first"):
            await workers.listen(burst=True)
        planned = {entry.name: entry.action.value for entry in await conn.register()}
        assert planned == {"kept": "keep", "forgotten": "create"}
        await workers.register()
        async with listening(workers):
            await conn.emit(FORGOTTEN, 4, sync=True)
            await until(lambda: len(seen.messages) == 2)
    assert sorted(seen.messages) == [1, 4]


async def test_each_event_has_its_own(nats_server: NatsServer) -> None:
    async with walnats.Events(KEPT, FORGOTTEN).connect(nats_server.url) as conn:
        await conn.register()
        for event in (KEPT, FORGOTTEN):
            await keep(nats_server, event)
            await conn.emit(event, 1, sync=True)
            assert (await stream_config(nats_server, event) or {})["storage"] == event.storage
            assert await count(nats_server, event) == 1
