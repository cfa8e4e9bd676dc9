"""Turns at asking: never more than there are, and nobody is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from walnats_anyio._actors.pull._polls import Polls

PATIENCE = 20


class Actor:
    """Asks when it is its turn and it wants to, as listeners do."""

    def __init__(self, polls: Polls, *, wants: bool = True) -> None:
        self.polls = polls
        self.wants = wants
        self.asking = False
        self.waiting = False
        self.withdrawn = False
        self.called = 0

    def request(self) -> None:
        self.called += 1
        self.waiting = False
        if not self.wants or self.withdrawn or self.asking:
            return
        if self.polls.take(self):
            self.asking = True
        else:
            self.waiting = True

    def answered(self) -> None:
        self.asking = False
        self.polls.give_back(self)

    def withdraw(self) -> None:
        self.withdrawn = True
        self.asking = self.waiting = False
        self.polls.withdraw(self)


def test_without_a_limit_it_is_always_your_turn() -> None:
    polls = Polls(None)
    actors = [Actor(polls) for _ in range(1000)]
    for actor in actors:
        actor.request()
    assert all(actor.asking for actor in actors)
    actors[0].answered()
    actors[1].withdraw()


def test_turns_are_taken_in_the_order_of_coming() -> None:
    polls = Polls(1)
    actors = [Actor(polls) for _ in range(3)]
    order: list[int] = []
    for actor in actors:
        actor.request()
    for _ in range(6):
        (asking,) = [number for number, actor in enumerate(actors) if actor.asking]
        order.append(asking)
        actors[asking].answered()
        actors[asking].request()
    assert order == [0, 1, 2, 0, 1, 2]


def test_who_has_a_turn_may_ask_again() -> None:
    polls = Polls(1)
    actor = Actor(polls)
    assert polls.take(actor)
    assert polls.take(actor)
    actor.answered()
    other = Actor(polls)
    assert polls.take(other)


def test_who_declines_its_turn_passes_it_on() -> None:
    polls = Polls(1)
    first, declines, last = Actor(polls), Actor(polls), Actor(polls)
    for actor in (first, declines, last):
        actor.request()
    declines.wants = False
    first.answered()
    assert not declines.asking
    assert last.asking


def test_giving_back_what_one_has_not_changes_nothing() -> None:
    polls = Polls(1)
    first, second = Actor(polls), Actor(polls)
    first.request()
    second.answered()
    assert not polls.take(second)


class Turns(RuleBasedStateMachine):
    @initialize(most=st.integers(1, 4), count=st.integers(1, 8))
    def begin(self, most: int, count: int) -> None:
        self.most = most
        self.polls = Polls(most)
        self.actors = [Actor(self.polls) for _ in range(count)]

    def one(self, number: int) -> Actor:
        return self.actors[number % len(self.actors)]

    @rule(number=st.integers(0, 7))
    def ask(self, number: int) -> None:
        self.one(number).request()

    @rule(number=st.integers(0, 7))
    def answered(self, number: int) -> None:
        self.one(number).answered()

    @rule(number=st.integers(0, 7))
    def change_its_mind(self, number: int) -> None:
        self.one(number).wants ^= True

    @precondition(lambda self: sum(not actor.withdrawn for actor in self.actors) > 1)
    @rule(number=st.integers(0, 7))
    def withdraw(self, number: int) -> None:
        self.one(number).withdraw()

    @invariant()
    def no_more_turns_than_there_are(self) -> None:
        assert sum(actor.asking for actor in self.actors) <= self.most

    @invariant()
    def nobody_waits_for_a_free_turn(self) -> None:
        if any(actor.waiting for actor in self.actors):
            assert sum(actor.asking for actor in self.actors) == self.most

    def teardown(self) -> None:
        """Everybody who waits comes to their turn when turns end."""
        if not hasattr(self, "actors"):
            return
        for actor in self.actors:
            actor.wants = True
        for _ in range(PATIENCE):
            if not any(actor.waiting for actor in self.actors):
                return
            next(actor for actor in self.actors if actor.asking).answered()
        pytest.fail("somebody is forgotten")


TestTurns = Turns.TestCase
TestTurns.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
