"""Who may run: tokens, waiters, priorities and ageing, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from walnats_anyio import Priority
from walnats_anyio._actors.run import _scheduler
from walnats_anyio._actors.run._scheduler import Scheduler

# Limiters live in an event loop.
pytestmark = pytest.mark.anyio


class Clock:
    """The time, which only tests let pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_scheduler, "time", clock)
    return clock


@dataclass(eq=False)
class Candidate:
    """An actor that notes the workers that it is told to call."""

    max_jobs: int = 16
    priority: Priority = Priority.NORMAL
    running: list[object] = field(default_factory=list)
    waiting_since: float = 0.0
    said: list[str] = field(default_factory=list)
    """What it was told when something ran alone."""

    def __post_init__(self) -> None:
        self.priority_offset: float = self.priority.value
        self.limiter = anyio.CapacityLimiter(self.max_jobs)

    def call_worker(self) -> object:
        worker = object()
        self.running.append(worker)
        return worker

    def clear(self) -> None:
        self.said.append("clear")

    def resume(self) -> None:
        self.said.append("resume")


def nothing() -> None:
    """Nobody waits for a change."""


def scheduler_of(max_jobs: int) -> Scheduler:
    return Scheduler(max_jobs, nothing)


def give_back(scheduler: Scheduler, candidate: Candidate) -> None:
    scheduler.release(candidate, candidate.running.pop())


async def test_free_tokens_are_given() -> None:
    scheduler, candidate = scheduler_of(2), Candidate()
    assert scheduler.call(candidate)
    assert scheduler.call(candidate)
    assert not scheduler.call(candidate)
    assert len(candidate.running) == 2


async def test_its_own_tokens_bound_an_actor_too() -> None:
    scheduler, candidate = scheduler_of(5), Candidate(max_jobs=1)
    assert scheduler.call(candidate)
    assert not scheduler.call(candidate)
    assert not scheduler.waiters
    assert scheduler.limiter.borrowed_tokens == 1


async def test_the_next_token_is_for_whoever_waits_longest(clock: Clock) -> None:
    scheduler = scheduler_of(1)
    busy, first, second = (Candidate() for _ in range(3))
    assert scheduler.call(busy)
    for candidate in (first, second):
        assert not scheduler.call(candidate)
        clock.now += 0.01
    give_back(scheduler, busy)
    assert first.running
    assert not second.running
    give_back(scheduler, first)
    assert second.running


async def test_asking_again_keeps_the_place_in_the_line(clock: Clock) -> None:
    scheduler = scheduler_of(1)
    busy, first, second = (Candidate() for _ in range(3))
    scheduler.call(busy)
    scheduler.call(first)
    clock.now += 0.01
    scheduler.call(second)
    clock.now += 0.01
    scheduler.call(first)
    give_back(scheduler, busy)
    assert first.running


async def test_higher_priorities_come_first(clock: Clock) -> None:
    scheduler = scheduler_of(1)
    busy = Candidate()
    scheduler.call(busy)
    by_priority = {priority: Candidate(priority=priority) for priority in reversed(Priority)}
    for candidate in by_priority.values():
        scheduler.call(candidate)
        clock.now += 0.01
    order: list[Priority] = []
    running = busy
    for _ in Priority:
        give_back(scheduler, running)
        (running,) = [candidate for candidate in by_priority.values() if candidate.running]
        order.append(running.priority)
    assert order == [Priority.HIGH, Priority.NORMAL, Priority.LOW]


@pytest.mark.parametrize(
    ("low", "high"), [(Priority.LOW, Priority.HIGH), (Priority.NORMAL, Priority.HIGH)]
)
async def test_whoever_has_waited_for_its_offset_comes_first(
    clock: Clock, low: Priority, high: Priority
) -> None:
    scheduler = scheduler_of(1)
    busy, patient, quick = Candidate(), Candidate(priority=low), Candidate(priority=high)
    scheduler.call(busy)
    scheduler.call(patient)
    clock.now += low.value - high.value + 0.01
    scheduler.call(quick)
    give_back(scheduler, busy)
    assert patient.running
    assert not quick.running


async def test_a_token_is_kept_while_nobody_waits() -> None:
    scheduler, candidate = scheduler_of(1), Candidate()
    scheduler.call(candidate)
    assert not scheduler.must_yield(candidate)


async def test_a_token_gives_way_to_a_better_claim(clock: Clock) -> None:
    scheduler = scheduler_of(1)
    running, other = Candidate(), Candidate()
    scheduler.call(running)
    scheduler.call(other)
    clock.now += 0.01
    assert scheduler.must_yield(running)


async def test_high_gives_way_to_low_after_its_offset(clock: Clock) -> None:
    scheduler = scheduler_of(1)
    high, low = Candidate(priority=Priority.HIGH), Candidate(priority=Priority.LOW)
    scheduler.call(high)
    scheduler.call(low)
    clock.now += Priority.LOW.value - 0.01
    assert not scheduler.must_yield(high)
    clock.now += 0.02
    assert scheduler.must_yield(high)


async def test_who_withdraws_gets_nothing() -> None:
    scheduler = scheduler_of(1)
    busy, leaving, other = (Candidate() for _ in range(3))
    for candidate in (busy, leaving, other):
        scheduler.call(candidate)
    scheduler.withdraw(leaving)
    give_back(scheduler, busy)
    assert not leaving.running
    assert other.running


class Running(RuleBasedStateMachine):
    """Actors call workers for their events and give the tokens back, in any order."""

    @initialize(
        total=st.integers(1, 6),
        actors=st.lists(
            st.tuples(st.integers(1, 4), st.sampled_from(Priority)), min_size=1, max_size=6
        ),
    )
    def begin(self, total: int, actors: list[tuple[int, Priority]]) -> None:
        self.scheduler = scheduler_of(total)
        self.total = total
        self.actors = [Candidate(max_jobs, priority) for max_jobs, priority in actors]

    def one(self, number: int) -> Candidate:
        return self.actors[number % len(self.actors)]

    @rule(number=st.integers(0, 5))
    def call(self, number: int) -> None:
        candidate = self.one(number)
        running = len(candidate.running)
        given = self.scheduler.call(candidate)
        assert len(candidate.running) == running + given

    @precondition(lambda self: any(actor.running for actor in self.actors))
    @rule(number=st.integers(0, 5))
    def release(self, number: int) -> None:
        candidates = [actor for actor in self.actors if actor.running]
        candidate = candidates[number % len(candidates)]
        give_back(self.scheduler, candidate)

    @rule(number=st.integers(0, 5))
    def withdraw(self, number: int) -> None:
        self.scheduler.withdraw(self.one(number))

    @invariant()
    def tokens_are_those_of_the_workers_that_run(self) -> None:
        running = sum(len(actor.running) for actor in self.actors)
        assert running <= self.total
        assert self.scheduler.limiter.borrowed_tokens == running
        for actor in self.actors:
            assert actor.limiter.borrowed_tokens == len(actor.running) <= actor.max_jobs

    @invariant()
    def nobody_waits_for_a_free_token(self) -> None:
        if any(len(actor.running) < actor.max_jobs for actor in self._waiting()):
            assert self.scheduler.limiter.available_tokens == 0

    def _waiting(self) -> Iterator[Candidate]:
        return (actor for actor in self.actors if id(actor) in self.scheduler.waiters)


async def test_tokens_are_never_lost() -> None:
    run_state_machine_as_test(
        Running, settings=settings(max_examples=40, stateful_step_count=40, deadline=None)
    )


async def test_nobody_waits_for_ever(clock: Clock) -> None:
    """LOW runs although HIGH always has events."""
    scheduler = scheduler_of(1)
    high, low = Candidate(priority=Priority.HIGH), Candidate(priority=Priority.LOW)
    scheduler.call(high)
    scheduler.call(low)
    ran = 0
    while not low.running:
        clock.now += 0.1
        ran += 1
        if scheduler.must_yield(high):
            give_back(scheduler, high)
            scheduler.call(high)
    assert ran == pytest.approx(Priority.LOW.value / 0.1, abs=2)


# alone


async def test_what_runs_alone_waits_for_the_others() -> None:
    scheduler, mine, other = scheduler_of(3), Candidate(), Candidate()
    scheduler.members = [mine, other]
    for candidate in (mine, other):
        assert scheduler.call(candidate)
    (worker,) = mine.running
    quiet: list[bool] = []

    async def run_alone() -> None:
        quiet.append(await scheduler.begin_alone(worker, 60))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_alone)
        await anyio.wait_all_tasks_blocked()
        assert not quiet
        assert mine.said == other.said == ["clear"]
        assert scheduler.must_yield(other)
        give_back(scheduler, other)
    assert quiet == [True]
    assert not scheduler.call(other)
    assert not scheduler.waiters
    give_back(scheduler, mine)
    assert mine.said == other.said == ["clear", "resume"]
    assert scheduler.call(other)
    assert scheduler.limiter.borrowed_tokens == 1


async def test_the_end_of_what_ran_alone_is_told() -> None:
    """Or whoever waits for the last job would wait for ever."""
    idle: list[bool] = []
    scheduler = Scheduler(2, lambda: idle.append(scheduler.idle))
    mine = Candidate()
    scheduler.members = [mine]
    assert scheduler.call(mine)
    assert await scheduler.begin_alone(mine.running[0], 60)
    give_back(scheduler, mine)
    assert idle == [True]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_what_cannot_run_alone_lets_the_others_go_on(cancelled: bool) -> None:
    """Another job does not end in time, or the one that was to run alone is cancelled."""
    scheduler, mine, other = scheduler_of(2), Candidate(), Candidate()
    scheduler.members = [mine, other]
    for candidate in (mine, other):
        assert scheduler.call(candidate)
    (worker,) = mine.running
    with anyio.move_on_after(0.01 if cancelled else 60):
        assert not await scheduler.begin_alone(worker, 60 if cancelled else 0.01)
    assert scheduler.alone is None
    assert other.said == ["clear", "resume"]
    give_back(scheduler, mine)
    assert scheduler.call(other)


async def test_only_one_runs_alone() -> None:
    scheduler, mine = scheduler_of(2), Candidate()
    scheduler.members = [mine]
    assert scheduler.call(mine)
    (worker,) = mine.running
    assert await scheduler.begin_alone(worker, 60)
    assert not await scheduler.begin_alone(object(), 60)
    assert scheduler.alone is worker
    scheduler.end_alone(object())
    assert scheduler.alone is worker
    scheduler.end_alone(worker)
    assert scheduler.alone is None
