"""How much the actors of one `listen` ask for: pure, without tasks or a server."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from walnats_anyio._actors.pull._budget import RequestBudget, Share


class CountedShare(Share):
    """A share that counts what its pull consumer counts."""

    held = 0

    def most_now(self) -> int | None:
        return self.most(self.held)


def hold(share: CountedShare, budget: RequestBudget) -> None:
    """What the pull consumer does in its hot path as a delivery comes."""
    share.held += 1
    budget.held += 1


def release(share: CountedShare, budget: RequestBudget) -> None:
    """What it does as one is settled."""
    share.held -= 1
    budget.held -= 1
    if budget.starved:
        budget.feed()


def test_who_found_no_room_asks_when_there_is_some() -> None:
    budget = RequestBudget(2)
    asked: list[str] = []
    first, second, gone = (CountedShare(budget, alone=False) for _ in range(3))
    for share in (first, second, gone):
        hold(share, budget)
    budget.call_later(first, lambda: asked.append("first"))
    budget.call_later(second, lambda: asked.append("second"))
    budget.call_later(gone, lambda: asked.append("gone"))
    budget.withdraw(gone)
    assert budget.room == -1
    release(first, budget)
    assert asked == []
    release(second, budget)
    assert asked == ["first", "second"]
    release(gone, budget)
    assert asked == ["first", "second"]


def test_one_actor_asks_for_all_that_it_can_run() -> None:
    assert CountedShare(RequestBudget(2), alone=True).most_now() is None


def test_of_two_that_are_idle_each_asks_for_its_first_event() -> None:
    budget = RequestBudget(16)
    shares = [CountedShare(budget, alone=False) for _ in range(2)]
    for share in shares:
        assert share.most_now() == 1
        share.asked(1)
    assert [share.most_now() for share in shares] == [1, 1]


def test_one_with_events_coming_asks_for_what_the_others_leave() -> None:
    budget = RequestBudget(16)
    busy, other, idle = (CountedShare(budget, alone=False) for _ in range(3))
    busy.busy = other.busy = True
    assert busy.most_now() == 16
    busy.asked(10)
    # The first event of each is not counted: each may always have one.
    assert other.most_now() == 7
    assert busy.most_now() == 16
    busy.rest()
    assert busy.most_now() == 1
    assert idle.most_now() == 1


def test_a_burst_asks_for_all_from_the_beginning() -> None:
    share = CountedShare(RequestBudget(16), alone=False, eager=True)
    share.rest()
    assert share.most_now() == 16


def test_one_of_higher_priority_asks_whatever_the_others_hold() -> None:
    budget = RequestBudget(2)
    high, low = CountedShare(budget, alone=False, ahead=True), CountedShare(budget, alone=False)
    for _ in range(2):
        hold(low, budget)
    assert high.most_now() is None
    assert low.most_now() == 0


def test_without_room_each_may_still_have_one_that_waits() -> None:
    budget = RequestBudget(1)
    first, second = (CountedShare(budget, alone=False) for _ in range(2))
    hold(first, budget)
    assert (first.most_now(), second.most_now()) == (0, 1)
    hold(second, budget)
    assert second.most_now() == 0
    release(second, budget)
    assert second.most_now() == 1


class Sharing(RuleBasedStateMachine):
    """Actors ask, get and settle in any order; those of equal priority, of which events come."""

    @initialize(total=st.integers(1, 8), actors=st.integers(2, 5))
    def begin(self, total: int, actors: int) -> None:
        self.total = total
        self.budget = RequestBudget(total)
        self.shares = [CountedShare(self.budget, alone=False) for _ in range(actors)]
        self.outstanding = [0] * actors
        self.most = 0

    @rule(number=st.integers(0, 4))
    def ask(self, number: int) -> None:
        number %= len(self.shares)
        most = self.shares[number].most_now()
        assert most is not None
        self.outstanding[number] = max(self.outstanding[number], most)
        self.shares[number].asked(self.outstanding[number])

    @precondition(lambda self: any(self.outstanding))
    @rule(number=st.integers(0, 4))
    def come(self, number: int) -> None:
        asking = [index for index, count in enumerate(self.outstanding) if count]
        index = asking[number % len(asking)]
        self.outstanding[index] -= 1
        self.shares[index].busy = True
        hold(self.shares[index], self.budget)
        self.shares[index].asked(self.outstanding[index])

    @precondition(lambda self: self.budget.held)
    @rule(number=st.integers(0, 4))
    def settle(self, number: int) -> None:
        holding = [share for share in self.shares if share.held]
        release(holding[number % len(holding)], self.budget)

    @rule(number=st.integers(0, 4))
    def expire(self, number: int) -> None:
        number %= len(self.shares)
        self.outstanding[number] = 0
        self.shares[number].asked(0)
        self.shares[number].rest()

    @invariant()
    def what_is_held_is_counted_once(self) -> None:
        assert self.budget.held == sum(share.held for share in self.shares)
        assert self.budget.extra == sum(max(0, count - 1) for count in self.outstanding)

    @invariant()
    def what_comes_in_excess_has_a_bound(self) -> None:
        """At worst all that one asked for while the others took the room, one event at a time."""
        assert self.budget.extra < self.total
        assert self.budget.held <= 2 * self.total + len(self.shares)

    @invariant()
    def nobody_is_starved(self) -> None:
        assert all(share.most_now() or share.held for share in self.shares)


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
