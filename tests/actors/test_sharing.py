"""Actors that share the slots of one `listen`: nobody starves, and who matters comes first."""

from __future__ import annotations

from collections import Counter
from functools import partial

import anyio
import pytest

from tests.actors._stage import listening, running, stage
from tests.support.recorders import Gate, Handled
from tests.support.waiting import until
from walnats_anyio import Actor, Actors, Event, Priority

pytestmark = pytest.mark.anyio


async def test_many_actors_and_few_slots(url: str, event: Event[int]) -> None:
    """A hundred actors on four slots: each gets all its events."""
    handled = [Handled() for _ in range(100)]
    running_now = most = 0

    def actor_of(number: int) -> Actor[int, None]:
        async def handle(message: int) -> None:
            nonlocal running_now, most
            running_now += 1
            most = max(most, running_now)
            await anyio.lowlevel.checkpoint()
            running_now -= 1
            await handled[number](message)

        return Actor(f"a{number}", event, handle)

    actors = [actor_of(number) for number in range(100)]
    async with stage(url, *actors) as on:
        await on.emit(*range(10))
        async with listening(on.actors, max_jobs=4):
            await until(lambda: all(len(one.messages) == 10 for one in handled))
    assert most <= 4
    assert [sorted(one.messages) for one in handled] == [list(range(10))] * 100


async def test_an_actor_with_a_backlog_leaves_slots_to_others(url: str, event: Event[int]) -> None:
    """One has thousands of events, another gets one now and then."""
    rare = Event(f"{event.name}-rare", int, storage="memory")
    order: list[str] = []

    async def busy(message: int) -> None:
        await anyio.sleep(0.001)
        order.append("busy")

    async def seldom(message: int) -> None:
        order.append("seldom")

    actors = Actor("busy", event, busy), Actor("seldom", rare, seldom)
    async with stage(url, *actors) as on:
        await on.emit(*range(1500))
        async with listening(on.actors, max_jobs=2):
            for number in range(5):
                await until(partial(lambda count: len(order) >= 200 * count, number))
                await on.emit(number, event=rare)
                await until(partial(lambda count: order.count("seldom") > count, number))
            # All of the rare ones were handled long before the backlog was.
            assert order.count("busy") < 1500
            await on.until_done(*actors)


async def test_slots_are_shared_evenly(url: str, event: Event[int]) -> None:
    order: list[str] = []

    def handler_of(name: str) -> Actor[int, None]:
        async def handle(message: int) -> None:
            await anyio.sleep(0.002)
            order.append(name)

        return Actor(name, event, handle)

    actors = [handler_of(name) for name in "abc"]
    async with stage(url, *actors) as on:
        await on.emit(*range(100))
        async with listening(on.actors, max_jobs=2):
            await on.until_done(*actors)
    # Of the first half, nobody got nearly all or nearly nothing.
    shares = Counter(order[:150])
    assert set(shares) == set("abc")
    assert min(shares.values()) >= 20


async def test_priority(url: str, event: Event[int]) -> None:
    """While both have events waiting, those of HIGH come first."""
    order: list[str] = []
    gate = Gate()

    async def high(message: int) -> None:
        order.append("high")

    async def low(message: int) -> None:
        order.append("low")

    blocker = Event(f"{event.name}-blocker", int, storage="memory")
    actors = (
        Actor("blocker", blocker, gate),
        Actor("low", event, low, priority=Priority.LOW),
        Actor("high", event, high, priority=Priority.HIGH),
    )
    async with running(url, *actors, max_jobs=1) as on:
        await on.emit(1, event=blocker)
        await gate.come(1)
        # Both ask for an event at least, which waits now.
        await on.emit(*range(20), event=event)

        async def both_wait() -> bool:
            return all([(await on.consumer(actor)).taken > 0 for actor in actors[1:]])

        await until(both_wait)
        gate.open()
        await on.until_done(*actors)
    assert order[0] == "high"
    assert order.index("low") > 0
    assert Counter(order) == {"high": 20, "low": 20}


@pytest.mark.parametrize(("priority", "blocked"), [(Priority.LOW, 0), (Priority.NORMAL, 1)])
async def test_a_lower_priority_gets_its_turn(
    url: str, event: Event[int], priority: Priority, blocked: int
) -> None:
    """HIGH has events all the time; another actor has one, and it is run.

    Where a third actor has one of two slots, an event of HIGH always waits in this process.
    """
    rare = Event(f"{event.name}-rare", int, storage="memory")
    blocker = Event(f"{event.name}-blocker", int, storage="memory")
    handled, gate = Handled(), Gate()

    async def busy(message: int) -> None:
        await anyio.sleep(0.01)

    actors = (
        Actor("busy", event, busy, priority=Priority.HIGH),
        Actor("rare", rare, handled, priority=priority),
        Actor("blocker", blocker, gate),
    )
    async with stage(url, *actors) as on:
        await on.emit(*range(blocked), event=blocker)
        async with listening(on.actors, max_jobs=1 + blocked, shutdown_timeout=0):
            await gate.come(blocked)
            await on.emit(*range(2000))
            await on.emit(1, event=rare)
            await handled.come(1)
            assert (await on.consumer(actors[0])).left > 0


async def test_a_second_process_gets_what_the_first_cannot_run(url: str, event: Event[int]) -> None:
    """Many actors with few slots take hardly more than they can run."""
    gate, handled = Gate(), Handled()
    slow = [Actor(f"a{number}", event, gate) for number in range(10)]
    quick = [Actor(f"a{number}", event, handled) for number in range(10)]
    async with running(url, *slow, max_jobs=4) as on:
        await on.emit(*range(20))
        await gate.come(4)
        taken = sum([(await on.consumer(actor)).taken for actor in slow])
        # About one for each actor that waits, instead of four slots for each.
        assert taken <= 2 * (4 + len(slow)) < 4 * len(slow)
        async with Actors(*quick).connect(url) as other, listening(other):
            await handled.come(200 - taken)
        gate.open()
        await on.until_done(*slow)
    assert gate.most == 4
    assert len(handled.messages) + len(gate.finished) == 200


async def test_an_actor_of_few_slots_beside_one_of_many(url: str, event: Event[int]) -> None:
    gates = Gate(), Gate()
    actors = [
        Actor("few", event, gates[0], max_jobs=1),
        Actor("many", event, gates[1], max_jobs=50),
    ]
    async with running(url, *actors, max_jobs=10) as on:
        await on.emit(*range(30))
        await gates[0].come(1)
        await gates[1].come(9)
        for gate in gates:
            gate.open()
        await on.until_done(*actors)
    assert gates[0].most == 1
    assert gates[1].most <= 10


async def test_slots_that_another_actor_leaves_are_used(url: str, event: Event[int]) -> None:
    """Also by one that asked for nothing as there was no room, and whose own jobs go on."""
    other = Event(f"{event.name}-other", int, storage="memory")
    long, short = Gate(), Gate()
    stays, leaves = Actor("stays", event, long), Actor("leaves", other, short)
    async with running(url, stays, leaves, max_jobs=3) as on:
        await on.emit(1)
        await long.come(1)
        await on.emit(1, 2, event=other)
        await short.come(2)
        await on.emit(2, 3, 4)
        short.open()
        await long.come(3)
        assert long.finished == []
        long.open()
        await on.until_done(stays, leaves)
