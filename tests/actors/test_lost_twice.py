"""Events that a connection, or a process, lost twice: each of them may be what kills a process."""

from __future__ import annotations

import pytest

from tests.actors._stage import listening, stage
from tests.support.waiting import until
from walnats_anyio import Actor, Batch, Event
from walnats_anyio._link import pub
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

EVENT: Event[int] = Event("numbers", int)
BATCHES: Event[int] = Event("batches", int)
COUNT = 8


@pytest.mark.parametrize("batch", [False, True], ids=["one", "batch"])
async def test_they_run_one_after_another(nats_server: NatsServer, batch: bool) -> None:
    """None but the one that runs was kept, so of hundreds one a second was run."""
    handled: list[int] = []
    if batch:
        actor = Actor(
            "b", BATCHES, handled.extend, ack_wait=1, max_jobs=COUNT, batch=Batch(2, wait=0.1)
        )
    else:
        actor = Actor("a", EVENT, handled.append, ack_wait=1, max_jobs=COUNT)
    async with stage(nats_server.url, actor) as on:
        await on.emit(*range(COUNT))
        request = f"$JS.API.CONSUMER.MSG.NEXT.{actor.event.stream_name}.{actor.consumer_name}"
        for turn in range(2):
            taken = await on.overhear(f"vanished.{turn}")
            on.link.post(pub(request, b'{"batch": %d}' % COUNT, b"vanished.%d" % turn))
            await until(lambda taken=taken: len(taken) == COUNT)  # type: ignore[misc]
        async with listening(on.actors):
            await until(lambda: len(handled) == COUNT)
            handed_back = on.actors.statistics().actors[0].handed_back
    assert sorted(handled) == list(range(COUNT))
    # None, but on a machine that has much else to do. It was 7 + 6 + 5 + 4 + 3 + 2 + 1.
    assert handed_back < 20
