"""What waits for the actors, as their consumers tell it; and metrics in text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

import walnats_anyio as walnats
from tests.support.waiting import until
from walnats_anyio._link import Link, open_link
from walnats_anyio.cli._health._backlog import Backlog, BacklogProblem, Backlogs, in_json
from walnats_anyio.cli._health._metrics import Family, in_text, of_consumers
from walnats_anyio.testing import NatsServer

PLACED = walnats.Event("shop.placed", int)
PAID = walnats.Event("shop.paid", int)
EVENTS = walnats.Events(PLACED, PAID)


async def handle(number: int) -> None:
    await anyio.sleep_forever()


ACTORS = walnats.Actors(walnats.Actor("pack", PLACED, handle), walnats.Actor("book", PAID, handle))


@pytest.fixture
async def link(nats_server: NatsServer) -> AsyncIterator[Link]:
    """Connected, with both actors registered."""
    async with EVENTS.connect(nats_server.url) as events, ACTORS.connect(events) as actors:
        await events.register()
        await actors.register()
    async with open_link(nats_server.url, options={}) as link:
        yield link


@pytest.mark.anyio
async def test_waiting_running_and_the_oldest(link: Link, nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as events, ACTORS.connect(events) as actors:
        idle = await Backlogs(link, ACTORS).get()
        assert [(each.waiting, each.running, each.oldest) for each in idle] == [(0, 0, 0.0)] * 2
        await events.emit_many(PLACED, range(5))
        await events.flush()
        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda *, task_status: actors.listen(
                max_jobs=2, batch=2, actors=["pack"], task_status=task_status))  # fmt: skip

            async def running() -> bool:
                [pack, _] = await Backlogs(link, ACTORS).get()
                return (pack.waiting, pack.running) == (3, 2)

            await until(running)
            tasks.cancel_scope.cancel()
        [pack, book] = await Backlogs(link, ACTORS).get()
        assert (pack.actor, pack.event, pack.waiting + pack.running) == ("pack", "shop.placed", 5)
        assert pack.oldest is not None
        assert 0 < pack.oldest < 60
        assert book == Backlog("book", "shop.paid", 0, 0, 0.0)


@pytest.mark.anyio
async def test_what_was_asked_is_told_for_a_moment(link: Link, nats_server: NatsServer) -> None:
    backlogs = Backlogs(link, ACTORS)
    first = await backlogs.get()
    async with EVENTS.connect(nats_server.url) as events:
        await events.emit(PLACED, 1, sync=True)
    assert await backlogs.get() is first

    async def newer() -> bool:
        return (await backlogs.get())[0].waiting == 1

    await until(newer)


@pytest.mark.anyio
async def test_an_actor_that_is_not_registered_is_named(nats_server: NatsServer) -> None:
    async with open_link(nats_server.url, options={}) as link:
        with pytest.raises(BacklogProblem, match=r"actor 'pack': .*not found"):
            await Backlogs(link, ACTORS).get()


DENYING = """
authorization {{ users = [
  {{user: all, password: x}},
  {{user: some, password: x, permissions: {{publish: {{deny: [{denied!r}]}}}}}}
] }}
"""


@pytest.mark.anyio
@pytest.mark.parametrize("denied", ["$JS.API.STREAM.MSG.GET.>", "$JS.API.CONSUMER.INFO.>"])
async def test_a_user_who_may_not_ask(denied: str) -> None:
    async with NatsServer(config=DENYING.format(denied=denied)) as server:
        of_all, of_some = (server.url.replace("//", f"//{user}:x@") for user in ("all", "some"))
        async with EVENTS.connect(of_all) as events, ACTORS.connect(of_all) as actors:
            await events.register()
            await actors.register()
            await events.emit(PLACED, 1, sync=True)
        async with open_link(of_some, options={}) as link:
            backlogs = Backlogs(link, ACTORS.only(["pack"]))
            if "MSG" in denied:
                assert await backlogs.get() == [Backlog("pack", "shop.placed", 1, 0, None)]
            else:
                with pytest.raises(BacklogProblem, match="this user may not publish"):
                    await backlogs.get()


@pytest.mark.anyio
async def test_a_server_that_is_silent(
    link: Link, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walnats_anyio.cli._health._backlog.ASK_WITHIN", 0.1)
    nats_server.pause()
    try:
        with pytest.raises(BacklogProblem, match=r"did not answer within 0\.1 s"):
            await Backlogs(link, ACTORS).get()
    finally:
        nats_server.resume()


def test_actors_of_one_name_are_added_up() -> None:
    told = in_json(
        [
            Backlog("pack", "a", 1, 2, 3.0),
            Backlog("pack", "b", 10, 20, 30.0),
            Backlog("book", "a", 0, 0, None),
        ]
    )
    assert told == {
        "waiting": 11,
        "running": 22,
        "total": 33,
        "oldest": None,
        "actors": {
            "pack": {"waiting": 11, "running": 22, "total": 33, "oldest": 30.0},
            "book": {"waiting": 0, "running": 0, "total": 0, "oldest": None},
        },
    }


@settings(max_examples=40)
@given(st.dictionaries(st.text(), st.floats(allow_nan=False) | st.integers(0, 2**62).map(float)))
def test_any_labels_and_values_are_read_back_by_prometheus(values: dict[str, float]) -> None:
    samples = [({"actor": label, "event": "a.b"}, value) for label, value in values.items()]
    [*read] = text_string_to_metric_families(in_text([Family("x", "gauge", "About.", samples)]))
    seen = {one.labels["actor"]: one.value for each in read for one in each.samples}
    assert seen == values


def test_an_age_that_is_not_known_is_left_out() -> None:
    families: list[Any] = list(of_consumers([Backlog("pack", "a", 1, 2, None)]))
    text = in_text(families)
    assert 'walnats_consumer_waiting{actor="pack",event="a"} 1\n' in text
    assert "oldest" not in text
