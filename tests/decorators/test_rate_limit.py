"""Actors whose handlers have a rate limit of their process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
import trio
import trio.testing

from tests.actors._stage import letters_of, listening, running, stage
from tests.decorators.test_turns import most_within
from tests.support.recorders import Handled, Recorder
from tests.support.waiting import until
from walnats_anyio import Actor, Event, ExecuteIn
from walnats_anyio.decorators import RateLimitStatistics, rate_limit

pytestmark = pytest.mark.anyio

PERIOD = 0.4


class Times:
    """Notes when it is called."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.messages: list[int] = []

    def note(self, message: int) -> None:
        self.at.append(monotonic())
        self.messages.append(message)

    async def waits(self, message: int) -> None:
        self.note(message)

    def plain(self, message: int) -> None:
        self.note(message)


PLACES: dict[str, tuple[Callable[[Times], Callable[[int], Any]], ExecuteIn]] = {
    "async": (lambda times: times.waits, ExecuteIn.MAIN),
    "plain": (lambda times: times.plain, ExecuteIn.MAIN),
    "thread": (lambda times: times.plain, ExecuteIn.THREAD),
}


@pytest.mark.parametrize(
    ("place", "max_wait"),
    [("async", 0.0), ("async", 10.0), ("plain", 10.0), ("thread", 0.0), ("thread", 10.0)],
)
async def test_no_more_start_than_allowed_and_it_is_no_attempt(
    url: str, event: Event[int], place: str, max_wait: float
) -> None:
    times, recorder = Times(), Recorder()
    handler_of, execute_in = PLACES[place]
    limit = rate_limit(4, PERIOD, max_wait=max_wait)
    actor = Actor(
        "a", event, limit(handler_of(times)), max_attempts=1, job_timeout=10,
        execute_in=execute_in, middlewares=(recorder,),
    )  # fmt: skip
    async with running(url, actor) as on:
        first = monotonic()
        await on.emit(*range(10))
        await on.until_done(actor)
        done = on.actors.statistics().actors[0]
        assert limit.statistics() == RateLimitStatistics(waiting=0, snoozed=0)
    assert sorted(times.messages) == list(range(10))
    if place != "thread":  # there it takes a moment from the turn to the start
        first = min(times.at)
        # And here a turn of the event loop, which takes some milliseconds on a busy machine.
        assert most_within(times.at, PERIOD - 0.05) <= 4
    assert max(times.at) - first >= 2 * PERIOD - 0.05
    assert (done.handled, done.failed) == (10, 0)
    # Nobody is snoozed who may wait, and else nobody who need not be.
    may_wait = max_wait > 0 and place != "plain"
    assert (done.handed_back == 0) == may_wait
    assert recorder.failed == []
    assert await letters_of(url, event) == []


async def test_whose_turn_is_far_has_no_slot(url: str, event: Event[int]) -> None:
    """So the other actor, which shares the slots, is not held up."""
    other = Event(f"{event.name}-other", int, storage="memory")
    limited, free = Times(), Handled()
    limit = rate_limit(1, period=3600)
    actors = (Actor("limited", event, limit(limited.waits)), Actor("free", other, free))
    async with stage(url, *actors) as on, listening(on.actors, max_jobs=2):
        await on.emit(*range(20))
        await until(lambda: limit.statistics().snoozed == 19)
        assert limit.statistics().waiting == 0
        await on.emit(1, 2, 3, event=other)
        await free.come(3)
        assert on.actors.statistics().actors[0].running == 0
    assert limited.messages == [0]


async def test_waiting_never_takes_most_of_the_job_timeout(url: str, event: Event[int]) -> None:
    times = Times()
    limit = rate_limit(1, 0.5, max_wait=60)
    actor = Actor("a", event, limit(times.waits), job_timeout=0.4, max_attempts=1)
    async with running(url, actor) as on:
        await on.emit(1, 2)
        await on.until_done(actor)
        assert on.actors.statistics().actors[0].failed == 0
    assert times.messages == [1, 2]
    assert await letters_of(url, event) == []


@pytest.mark.parametrize("place", ["async", "thread"])
async def test_a_stop_takes_no_turn(url: str, event: Event[int], place: str) -> None:
    """What waits is handed back, and runs once, in the next `listen`."""
    times = Times()
    handler_of, execute_in = PLACES[place]
    # A long period, or the second may have its turn before the stop; patience is longer still.
    limit = rate_limit(1, 1.0, max_wait=10)
    actor = Actor("a", event, limit(handler_of(times)), execute_in=execute_in, max_attempts=1)
    async with stage(url, actor) as on:
        async with listening(on.actors) as tasks:
            await on.emit(1, 2, 3)
            # Until the first is acknowledged, or it may come again.
            await until(lambda: on.actors.statistics().actors[0].handled == 1)
            await until(lambda: limit.statistics().waiting == 2)
            tasks.cancel_scope.cancel()
        assert len(times.messages) == 1
        async with listening(on.actors):
            await on.until_done(actor)
    assert sorted(times.messages) == [1, 2, 3]
    # On trio a thread that was given up leaves when its turn would have come.
    await until(lambda: limit.statistics().waiting == 0)
    assert threading.active_count() < 50


def test_hours_take_no_time_with_a_mock_clock(url: str, event: Event[int]) -> None:
    """The wait in a slot is on the clock of the event loop."""
    times: list[float] = []
    limit = rate_limit(1, period=3600, max_wait=10_000)

    @limit
    async def handle(message: int) -> None:
        times.append(trio.current_time())

    actor = Actor("a", event, handle, job_timeout=100_000, ack_wait=100_000)
    clock = trio.testing.MockClock()

    async def main() -> None:
        async with running(url, actor) as on:
            await on.emit(1, 2)
            await until_real(lambda: limit.statistics().waiting == 1)
            clock.jump(3600)
            await until_real(lambda: len(times) == 2)

    async def until_real(condition: Callable[[], bool]) -> None:
        give_up_at = monotonic() + 30
        while not condition() and monotonic() < give_up_at:
            clock.jump(0.01)
            await trio.to_thread.run_sync(lambda: threading.Event().wait(0.005))

    trio.run(main, clock=clock)
    assert times[1] - times[0] >= 3600
