"""The life of one event, in every order of what can happen to it, against the verdicts."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from walnats_anyio import Reject, Retry
from walnats_anyio._actors.settle._verdict import Ack, Bury, Nak, Outcome, decide
from walnats_anyio.dead_letters import Reason

DELAYS = (0.5, 2.0)

FAILURES = [
    (Outcome.RAISED, ValueError("wrong")),
    (Outcome.RAISED, Retry()),
    (Outcome.RAISED, Retry(delay=7)),
    (Outcome.TIMED_OUT, TimeoutError()),
]


class Life(RuleBasedStateMachine):
    """One event, delivered by a server that counts, to workers that come and go.

    The server counts deliveries; notes count what was handed back; an attempt is a delivery less
    the notes. What a user counts are runs of the handler that were not handed back.
    """

    @initialize(max_attempts=st.none() | st.integers(1, 4))
    def choose(self, max_attempts: int | None) -> None:
        self.begin(max_attempts)

    def begin(self, max_attempts: int | None) -> None:
        self.max_attempts = max_attempts
        self.deliveries = self.notes = self.runs = 0
        self.held = self.over = False
        self.why: Reason | None = None

    def conclude(self, outcome: Outcome, error: Exception | None = None) -> Ack | Nak | Bury:
        verdict = decide(outcome, error, self.attempt, DELAYS, self.max_attempts)
        self.held = False
        if isinstance(verdict, Ack | Bury):
            self.over = True
        if isinstance(verdict, Bury):
            self.why = verdict.reason
        return verdict

    @property
    def attempt(self) -> int:
        return self.deliveries - self.notes

    @property
    def may_run(self) -> bool:
        return self.max_attempts is None or self.attempt <= self.max_attempts

    @precondition(lambda self: self.over)
    @rule()
    def live_another(self) -> None:
        self.begin(self.max_attempts)

    @precondition(lambda self: not self.held and not self.over)
    @rule()
    def deliver(self) -> None:
        self.deliveries += 1
        self.held = True

    @precondition(lambda self: self.held)
    @rule()
    def stop(self) -> None:
        """Before it ran, or in the middle: it makes no difference."""
        assert self.conclude(Outcome.STOPPED) == Nak(0.0)
        self.notes += 1

    @precondition(lambda self: self.held)
    @rule()
    def die(self) -> None:
        """The worker is killed: nobody says anything, and a run may have begun."""
        if self.may_run:
            self.runs += 1
        self.held = False

    @precondition(lambda self: self.held and self.may_run)
    @rule()
    def return_(self) -> None:
        self.runs += 1
        assert self.conclude(Outcome.RETURNED) == Ack()

    @precondition(lambda self: self.held and self.may_run)
    @rule(failure=st.sampled_from(FAILURES))
    def fail(self, failure: tuple[Outcome, Exception]) -> None:
        self.runs += 1
        outcome, error = failure
        last = self.attempt == self.max_attempts
        verdict = self.conclude(outcome, error)
        if last:
            assert verdict == Bury(Reason.EXHAUSTED)
        elif isinstance(error, Retry) and error.delay is not None:
            assert verdict == Nak(7.0)
        else:
            assert verdict == Nak(DELAYS[min(self.attempt, len(DELAYS)) - 1])

    @precondition(lambda self: self.held and self.may_run)
    @rule()
    def reject(self) -> None:
        self.runs += 1
        assert self.conclude(Outcome.RAISED, Reject("no")) == Bury(Reason.REJECTED)

    @precondition(lambda self: self.held and self.runs == 0)
    @rule()
    def find_it_undecodable(self) -> None:
        """As it is at its first delivery, or never."""
        assert self.conclude(Outcome.UNDECODABLE, ValueError()) == Bury(Reason.UNDECODABLE)

    @precondition(lambda self: self.held and not self.may_run)
    @rule()
    def come_too_often(self) -> None:
        """Its last attempt died with its worker."""
        assert self.conclude(Outcome.DIED, RuntimeError()) == Bury(Reason.DIED)

    @invariant()
    def it_runs_as_often_as_allowed(self) -> None:
        if self.deliveries:
            assert self.max_attempts is None or self.runs <= self.max_attempts

    @invariant()
    def attempts_are_what_a_user_counts(self) -> None:
        if self.deliveries and self.held and self.may_run:
            assert self.attempt == self.runs + 1

    @invariant()
    def what_is_given_up_has_its_reason(self) -> None:
        if self.deliveries and self.why in (Reason.EXHAUSTED, Reason.DIED):
            assert self.runs == self.max_attempts

    @invariant()
    def it_is_never_held_when_it_is_over(self) -> None:
        if self.deliveries:
            assert not (self.held and self.over)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("max_attempts", [None, 1, 3])
def test_a_life_that_only_stops_never_ends(max_attempts: int | None) -> None:
    life = Life()
    life.begin(max_attempts)
    for _ in range(100):
        life.deliver()
        life.stop()
    assert (life.runs, life.over) == (0, False)
    life.deliver()
    assert life.may_run
