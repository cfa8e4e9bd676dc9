"""What a run of `listen` shows of itself: `ConnectedActors.statistics()`, and what it holds."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.actors._stage import Stage, listening, run_of, running, stage
from tests.support.recorders import Gate, Handled
from tests.support.waiting import until
from walnats_anyio import Actor, Event, Priority, Reject, Retry
from walnats_anyio.types import ActorStatistics, ActorSummary

pytestmark = pytest.mark.anyio

LONG = 60.0


def of(on: Stage, number: int = 0) -> ActorStatistics:
    """What one of the actors does, in the order of the registry."""
    return on.actors.statistics().actors[number]


def doing(shown: ActorStatistics) -> tuple[int, int, int]:
    return shown.running, shown.waiting, shown.parked


def done(shown: ActorSummary) -> tuple[int, int, int, int]:
    return shown.handled, shown.failed, shown.dead_lettered, shown.handed_back


async def test_before_it_listens(url: str, event: Event[int]) -> None:
    one, two = Actor("one", event, Handled()), Actor("two", event, Handled())
    async with stage(url, one, two) as on:
        shown = on.actors.statistics()
        assert (shown.listening, shown.seconds, shown.slots, shown.running) == (False, 0, 0, 0)
        assert shown.actors == (
            ActorStatistics("one", event.name, 0, 0, 0, 0),
            ActorStatistics("two", event.name, 0, 0, 0, 0),
        )
        assert shown.connection.connected
        with pytest.raises(dataclasses.FrozenInstanceError):
            shown.slots = 1  # type: ignore[misc]  # that it cannot be is what is tested


async def test_what_it_is_doing(url: str, event: Event[int]) -> None:
    gate, low = Gate(), Gate()
    # An actor that is ahead of another one takes more than it can run, so something waits here.
    high = Actor("high", event, gate, priority=Priority.HIGH, max_jobs=2)
    other: Event[int] = dataclasses.replace(event, name=f"{event.name}-other")
    async with running(url, high, Actor("low", other, low), max_jobs=3) as on:
        await on.emit(1, 2, 3, 4, 5)
        await on.emit(1, event=other)
        await until(lambda: doing(of(on)) == (2, 2, 0) and doing(of(on, 1)) == (1, 0, 0))
        shown = on.actors.statistics()
        assert (shown.listening, shown.slots, shown.running) == (True, 3, 3)
        assert [actor.slots for actor in shown.actors] == [2, 3]
        assert [actor.actor for actor in shown.actors] == ["high", "low"]
        assert [actor.event for actor in shown.actors] == [event.name, other.name]
        assert shown.actors[0].requested == 0
        assert done(shown.actors[0]) == (0, 0, 0, 0)
        assert repr(on.actors).endswith(", listening>")
        gate.open()
        low.open()
        await until(lambda: of(on).handled == 5 and of(on, 1).handled == 1)
        await until(lambda: doing(of(on)) == (0, 0, 0) and of(on).requested > 0)
        assert on.actors.statistics().running == 0
        await until(lambda: on.actors.statistics().seconds > shown.seconds)


async def test_what_became_of_the_events(url: str, event: Event[int]) -> None:
    async def handle(message: int) -> None:
        if message == 1 and of(on).failed == 0:
            raise ValueError("not yet")
        if message == 2:
            raise Reject("never")
        if message == 3:
            raise Retry(LONG)

    async with running(url, Actor("a", event, handle, retry_delay=())) as on:
        await on.emit(0, 1)
        await until(lambda: of(on).handled == 2)
        assert done(of(on)) == (2, 1, 0, 0)
        assert (of(on).redelivered, of(on).retried, of(on).parked) == (1, 1, 0)
        await on.emit(2, 3)
        await until(lambda: of(on).dead_lettered == 1 and of(on).parked == 1)
        assert done(of(on)) == (2, 2, 1, 0)
        assert (of(on).redelivered, of(on).retried) == (1, 1)


async def test_between_two_runs_it_shows_the_last_one(url: str, event: Event[int]) -> None:
    gate = Gate()
    async with stage(url, Actor("a", event, gate)) as on:
        await on.emit(1, 2)
        with anyio.CancelScope() as scope:
            async with listening(on.actors):
                await gate.come(2)
                assert of(on).running == 2
                scope.cancel()
        shown = on.actors.statistics()
        assert (shown.listening, shown.slots, shown.running) == (False, 0, 0)
        step = of(on).longest_step
        assert shown.actors == (ActorStatistics("a", event.name, 0, 0, 0, 2, longest_step=step),)
        assert shown.seconds == on.actors.statistics().seconds > 0
        assert repr(on.actors).endswith(f"connected to {url}>")
        gate.open()
        await on.emit(3)
        async with listening(on.actors):
            await until(lambda: of(on).handled == 3)
            # What was handed back was no attempt, so to run it now is no retry.
            assert (of(on).handed_back, of(on).redelivered, of(on).retried) == (0, 2, 0)


async def test_it_agrees_with_the_summary(url: str, event: Event[int]) -> None:
    async def handle(message: int) -> None:
        if message % 3 == 0:
            raise Reject("a third")

    async with stage(url, Actor("a", event, handle)) as on:
        await on.emit(*range(30))
        summary = await on.actors.listen(burst=True)
        shown = on.actors.statistics()
        assert done(shown.actors[0]) == done(summary.actors[0]) == (20, 0, 10, 0)
        assert shown.seconds == pytest.approx(summary.seconds, abs=1)


async def test_a_handler_sees_its_own_job(url: str, event: Event[int]) -> None:
    seen: list[ActorStatistics] = []

    def handle(_message: int) -> None:
        seen.append(of(on))

    async with running(url, Actor("a", event, handle, max_jobs=1)) as on:
        await on.emit(1, 2)
        await until(lambda: of(on).handled == 2)
    assert [(shown.running, shown.handled) for shown in seen] == [(1, 0), (1, 1)]


async def test_while_it_stops(url: str, event: Event[int]) -> None:
    gate = Gate()
    async with stage(url, Actor("a", event, gate)) as on:
        async with listening(on.actors):
            await on.emit(1)
            await gate.come(1)
            on.actors.shutdown()
            await until(lambda: repr(run_of(on.actors)).endswith("1 running>"))
            shown = on.actors.statistics()
            assert (shown.listening, shown.running) == (True, 1)
            gate.open()
        assert done(of(on)) == (1, 0, 0, 0)
        assert not on.actors.statistics().listening


@pytest.mark.parametrize("settled", [False, True])
async def test_a_delivery_shows_what_it_is(url: str, event: Event[int], settled: bool) -> None:
    gate = Gate()
    actor = Actor("a", event, gate)
    async with running(url, actor) as on:
        await on.emit(1, 2)
        await gate.come(2)
        held: list[Any] = list(run_of(on.actors).deliveries.held)
        ending = "held"
        if settled:
            gate.open()
            await until(lambda: of(on).handled == 2)
            ending = "settled: Ack()"
        assert repr(held[1]) == (
            f"<Delivery of {event.stream_name!r} to 'a', sequence 2, delivery 1, {ending}>"
        )
        gate.open()


async def test_who_blocks_the_event_loop(url: str, event: Event[int]) -> None:
    # Each blocks at another time: before it waits, afterwards, and without ever waiting.
    async def at_first(message: int) -> None:
        time.sleep(0.12)  # noqa: ASYNC251 - what is to be noticed
        await anyio.lowlevel.checkpoint()

    async def later(message: int) -> None:
        await anyio.lowlevel.checkpoint()
        time.sleep(0.12)  # noqa: ASYNC251 - what is to be noticed

    def always(message: int) -> None:
        time.sleep(0.12)

    async def never(message: int) -> None:
        await anyio.sleep(0.001)

    actors = [
        Actor(handler.__name__.replace("_", "-"), event, handler, ack_wait=0.4)
        for handler in (at_first, later, always, never)
    ]
    async with running(url, *actors) as on:
        assert on.actors.statistics().longest_loop_lag < LONG
        await on.emit(1)
        await on.until_done(*actors)
        *blocking, kind = (of(on, number).longest_step for number in range(4))
        assert all(0.12 <= seconds < LONG for seconds in blocking)
        assert kind < min(blocking)
        # The clock is due ten times a second.
        await on.emit(*range(10))
        await until(lambda: on.actors.statistics().longest_loop_lag > 0.02)
    assert of(on).longest_step >= 0.12
    assert on.actors.statistics().longest_loop_lag > 0.02
    assert on.actors.statistics().loop_lag == 0.0
