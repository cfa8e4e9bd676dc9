"""Who may run: tokens, contenders, priorities and ageing, without tasks or a server."""

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
from walnats_anyio._actors import _slots
from walnats_anyio._actors.run._scheduler import Slots

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
    monkeypatch.setattr(_slots, "time", clock)
    return clock


@dataclass(eq=False)
class Candidate:
    """An actor that notes the slots it is given."""

    max_jobs: int = 16
    priority: Priority = Priority.NORMAL
    wanted: int = 0
    """Events waiting for a slot."""
    running: list[object] = field(default_factory=list)
    waiting_since: float = 0.0

    def __post_init__(self) -> None:
        self.handicap: float = self.priority.value
        self.limiter = anyio.CapacityLimiter(self.max_jobs)

    def call_slot(self) -> object:
        slot = object()
        self.running.append(slot)
        return slot


def give_back(slots: Slots, candidate: Candidate) -> None:
    slots.release(candidate, candidate.running.pop())


async def test_free_slots_are_given() -> None:
    slots, candidate = Slots(2), Candidate()
    assert slots.call(candidate)
    assert slots.call(candidate)
    assert not slots.call(candidate)
    assert len(candidate.running) == 2


async def test_its_own_slots_bound_an_actor_too() -> None:
    slots, candidate = Slots(5), Candidate(max_jobs=1)
    assert slots.call(candidate)
    assert not slots.call(candidate)
    assert not slots.contenders
    assert slots.limiter.borrowed_tokens == 1


async def test_the_next_slot_is_for_whoever_waits_longest(clock: Clock) -> None:
    slots = Slots(1)
    busy, first, second = (Candidate() for _ in range(3))
    assert slots.call(busy)
    for candidate in (first, second):
        assert not slots.call(candidate)
        clock.now += 0.01
    give_back(slots, busy)
    assert first.running
    assert not second.running
    give_back(slots, first)
    assert second.running


async def test_asking_again_keeps_the_place_in_the_line(clock: Clock) -> None:
    slots = Slots(1)
    busy, first, second = (Candidate() for _ in range(3))
    slots.call(busy)
    slots.call(first)
    clock.now += 0.01
    slots.call(second)
    clock.now += 0.01
    slots.call(first)
    give_back(slots, busy)
    assert first.running


async def test_higher_priorities_come_first(clock: Clock) -> None:
    slots = Slots(1)
    busy = Candidate()
    slots.call(busy)
    by_priority = {priority: Candidate(priority=priority) for priority in reversed(Priority)}
    for candidate in by_priority.values():
        slots.call(candidate)
        clock.now += 0.01
    order: list[Priority] = []
    running = busy
    for _ in Priority:
        give_back(slots, running)
        (running,) = [candidate for candidate in by_priority.values() if candidate.running]
        order.append(running.priority)
    assert order == [Priority.HIGH, Priority.NORMAL, Priority.LOW]


@pytest.mark.parametrize(
    ("low", "high"), [(Priority.LOW, Priority.HIGH), (Priority.NORMAL, Priority.HIGH)]
)
async def test_whoever_has_waited_for_its_handicap_comes_first(
    clock: Clock, low: Priority, high: Priority
) -> None:
    slots = Slots(1)
    busy, patient, quick = Candidate(), Candidate(priority=low), Candidate(priority=high)
    slots.call(busy)
    slots.call(patient)
    clock.now += low.value - high.value + 0.01
    slots.call(quick)
    give_back(slots, busy)
    assert patient.running
    assert not quick.running


async def test_a_slot_is_kept_while_nobody_contends() -> None:
    slots, candidate = Slots(1), Candidate()
    slots.call(candidate)
    assert not slots.must_yield(candidate)


async def test_a_slot_gives_way_to_a_better_claim(clock: Clock) -> None:
    slots = Slots(1)
    running, other = Candidate(), Candidate()
    slots.call(running)
    slots.call(other)
    clock.now += 0.01
    assert slots.must_yield(running)


async def test_high_gives_way_to_low_after_its_handicap(clock: Clock) -> None:
    slots = Slots(1)
    high, low = Candidate(priority=Priority.HIGH), Candidate(priority=Priority.LOW)
    slots.call(high)
    slots.call(low)
    clock.now += Priority.LOW.value - 0.01
    assert not slots.must_yield(high)
    clock.now += 0.02
    assert slots.must_yield(high)


async def test_who_withdraws_gets_nothing() -> None:
    slots = Slots(1)
    busy, leaving, other = (Candidate() for _ in range(3))
    for candidate in (busy, leaving, other):
        slots.call(candidate)
    slots.withdraw(leaving)
    give_back(slots, busy)
    assert not leaving.running
    assert other.running


async def test_who_is_starved_is_asked_when_there_is_room() -> None:
    slots = Slots(2)
    asked: list[str] = []
    first, second, gone = (Candidate() for _ in range(3))
    for _ in range(3):
        slots.hold()
    slots.ask_later(first, lambda: asked.append("first"))
    slots.ask_later(second, lambda: asked.append("second"))
    slots.ask_later(gone, lambda: asked.append("gone"))
    slots.withdraw(gone)
    assert slots.room == -1
    slots.let_go()
    assert asked == []
    slots.let_go()
    assert asked == ["first", "second"]
    slots.let_go()
    assert asked == ["first", "second"]


class Running(RuleBasedStateMachine):
    """Actors call slots for their events and give them back, in any order."""

    @initialize(
        total=st.integers(1, 6),
        actors=st.lists(
            st.tuples(st.integers(1, 4), st.sampled_from(Priority)), min_size=1, max_size=6
        ),
    )
    def begin(self, total: int, actors: list[tuple[int, Priority]]) -> None:
        self.slots = Slots(total)
        self.total = total
        self.actors = [Candidate(max_jobs, priority) for max_jobs, priority in actors]

    def one(self, number: int) -> Candidate:
        return self.actors[number % len(self.actors)]

    @rule(number=st.integers(0, 5))
    def call(self, number: int) -> None:
        candidate = self.one(number)
        running = len(candidate.running)
        given = self.slots.call(candidate)
        assert len(candidate.running) == running + given

    @precondition(lambda self: any(actor.running for actor in self.actors))
    @rule(number=st.integers(0, 5))
    def release(self, number: int) -> None:
        candidates = [actor for actor in self.actors if actor.running]
        candidate = candidates[number % len(candidates)]
        give_back(self.slots, candidate)

    @rule(number=st.integers(0, 5))
    def withdraw(self, number: int) -> None:
        self.slots.withdraw(self.one(number))

    @invariant()
    def tokens_are_those_of_the_slots_that_run(self) -> None:
        running = sum(len(actor.running) for actor in self.actors)
        assert running <= self.total
        assert self.slots.limiter.borrowed_tokens == running
        for actor in self.actors:
            assert actor.limiter.borrowed_tokens == len(actor.running) <= actor.max_jobs

    @invariant()
    def nobody_contends_for_a_free_slot(self) -> None:
        if any(len(actor.running) < actor.max_jobs for actor in self._contending()):
            assert self.slots.limiter.available_tokens == 0

    def _contending(self) -> Iterator[Candidate]:
        return (actor for actor in self.actors if id(actor) in self.slots.contenders)


async def test_tokens_are_never_lost() -> None:
    run_state_machine_as_test(
        Running, settings=settings(max_examples=40, stateful_step_count=40, deadline=None)
    )


async def test_nobody_waits_for_ever(clock: Clock) -> None:
    """LOW runs although HIGH always has events."""
    slots = Slots(1)
    high, low = Candidate(priority=Priority.HIGH), Candidate(priority=Priority.LOW)
    slots.call(high)
    slots.call(low)
    ran = 0
    while not low.running:
        clock.now += 0.1
        ran += 1
        if slots.must_yield(high):
            give_back(slots, high)
            slots.call(high)
    assert ran == pytest.approx(Priority.LOW.value / 0.1, abs=2)
