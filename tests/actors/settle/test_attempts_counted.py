"""How attempts are counted out of deliveries and notes: pure, and in every order."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from walnats_anyio import Reject, Retry
from walnats_anyio._actors.settle._notes import Note, before_delivery, must_be_alone
from walnats_anyio._actors.settle._verdict import (
    Ack,
    DeadLetterVerdict,
    HandBack,
    Nak,
    Outcome,
    Policy,
    Verdict,
    decide,
)
from walnats_anyio.dead_letters import Reason

MOST = st.none() | st.integers(1, 6)
COUNT = st.integers(0, 20) | st.integers(0, 10**11)
DELIVERY = st.integers(1, 20) | st.integers(1, 2**63 - 1)


@given(data=st.binary(max_size=60))
@example(b"1 2 3")
@example(b"1 -2 3")
@example(b"1 2 3 4")
@example(b"999999999999 0 0")
@example("٣ ٣ ٣".encode())
@example(b"1 1_0 1")
def test_what_anybody_may_write_is_a_note_or_none(data: bytes) -> None:
    note = Note.of(data)
    if note is not None:
        assert min(note.delivery, note.attempts, note.deaths) >= 0
        assert max(note.delivery, note.attempts, note.deaths) < 10**11


@given(COUNT, COUNT, COUNT)
def test_a_note_is_read_as_it_was_written(delivery: int, attempts: int, deaths: int) -> None:
    note = Note(delivery, attempts, deaths)
    if max(delivery, attempts, deaths) < 10**11:
        # There are no more deaths than attempts, and no more of these than deliveries.
        possible = deaths <= attempts <= delivery
        assert Note.of(note.to_wire()) == (note if possible else None)


@given(note=st.none() | st.builds(Note, COUNT, COUNT, COUNT), delivery=DELIVERY, most=MOST)
def test_whatever_a_note_claims_attempts_are_possible(
    note: Note | None, delivery: int, most: int | None
) -> None:
    """Not below 0, and no more than there were deliveries before."""
    known = before_delivery(note, delivery, most)
    assert known.delivery == delivery - 1
    assert 0 <= known.deaths <= known.attempts <= delivery - 1


@given(delivery=DELIVERY, most=st.none() | st.integers(2, 100))
def test_what_only_dies_gets_its_run_alone(delivery: int, most: int | None) -> None:
    """However often the process dies around it, an event is not given up before it ran alone."""
    known = before_delivery(None, delivery, most)
    assert most is None or known.attempts < most
    if delivery >= 3:
        assert must_be_alone(known, most)


@given(delivery=st.integers(2, 100))
def test_with_one_attempt_a_death_is_the_end(delivery: int) -> None:
    assert before_delivery(None, delivery, 1).attempts == 1


@given(attempts=st.integers(0, 10), more=st.integers(1, 50))
def test_without_deaths_nothing_runs_alone(attempts: int, more: int) -> None:
    note = before_delivery(Note(attempts, attempts, 0), attempts + 1, attempts + more)
    assert note == Note(attempts, attempts, 0)
    assert not must_be_alone(note, attempts + more)


def test_a_note_of_this_delivery_or_a_later_one_is_none() -> None:
    """A stranger wrote it, or the stream was made anew and counts from 1 again."""
    for delivery in (3, 4, 99):
        assert before_delivery(Note(delivery, 2, 0), 3, None) == before_delivery(None, 3, None)


DELAYS = (0.5, 2.0)

FAILURES = [
    (Outcome.RAISED, ValueError("wrong")),
    (Outcome.RAISED, Retry()),
    (Outcome.RAISED, Retry(delay=7)),
    (Outcome.TIMED_OUT, TimeoutError()),
]


class Life(RuleBasedStateMachine):
    """One event, delivered by a server that counts, to workers that come, go and die.

    The worker does what `Attempts` and `Deliveries` do with notes: it looks one up before a run,
    leaves one before a run alone, and one with each nak and hand-back.
    """

    @initialize(max_attempts=st.none() | st.integers(1, 4))
    def choose(self, max_attempts: int | None) -> None:
        self.begin(max_attempts)

    def begin(self, max_attempts: int | None) -> None:
        self.policy = Policy(DELAYS, max_attempts)
        self.most = max_attempts
        self.note: Note | None = None
        self.deliveries = 0
        self.runs = self.failures = self.deaths_beside_others = self.deaths_alone = 0
        """Runs that began and were not handed back; how many of them ended in which way."""
        self.held = self.running = self.over = False
        self.why: Reason | None = None

    # the worker

    @precondition(lambda self: self.over)
    @rule()
    def live_another(self) -> None:
        self.begin(self.most)

    @precondition(lambda self: not self.held and not self.over)
    @rule()
    def deliver(self) -> None:
        self.deliveries += 1
        self.held, self.running = True, False
        self.known = before_delivery(self.note, self.deliveries, self.most)
        self.attempt = self.known.attempts + 1
        self.alone = must_be_alone(self.known, self.most)

    @property
    def may_run(self) -> bool:
        return self.most is None or self.known.attempts < self.most

    @precondition(lambda self: self.held and not self.running and self.may_run)
    @rule()
    def start(self) -> None:
        self.running = True
        if self.alone:
            self.note = Note(self.deliveries, self.attempt, self.known.deaths + 1)

    def conclude(self, outcome: Outcome, error: Exception | None = None) -> Verdict:
        verdict = decide(outcome, error, self.attempt, self.policy)
        self.held = False
        if isinstance(verdict, Nak | HandBack):
            attempts = self.attempt - isinstance(verdict, HandBack)
            self.leave(Note(self.deliveries, attempts, self.known.deaths))
        else:
            self.over = True
        if isinstance(verdict, DeadLetterVerdict):
            self.why = verdict.reason
        return verdict

    def leave(self, note: Note) -> None:
        self.note = note

    # what may happen to it

    @precondition(lambda self: self.held)
    @rule()
    def stop(self) -> None:
        """Before it ran, or in the middle: it makes no difference."""
        assert self.conclude(Outcome.STOPPED) == HandBack(0.0)

    @precondition(lambda self: self.held)
    @rule()
    def die(self) -> None:
        """The worker is killed: nobody says anything, and a run may have begun."""
        self.held = False
        if self.running:
            self.runs += 1
            if self.alone:
                self.deaths_alone += 1
            else:
                self.deaths_beside_others += 1

    @precondition(lambda self: self.held and self.running)
    @rule()
    def return_(self) -> None:
        self.runs += 1
        assert self.conclude(Outcome.RETURNED) == Ack()

    @precondition(lambda self: self.held and self.running)
    @rule(failure=st.sampled_from(FAILURES))
    def fail(self, failure: tuple[Outcome, Exception]) -> None:
        self.runs += 1
        self.failures += 1
        outcome, error = failure
        last = self.attempt == self.most
        verdict = self.conclude(outcome, error)
        if last:
            assert verdict == DeadLetterVerdict(Reason.EXHAUSTED)
        elif isinstance(error, Retry) and error.delay is not None:
            assert verdict == Nak(7.0)
        else:
            assert verdict == Nak(DELAYS[min(self.attempt, len(DELAYS)) - 1])

    @precondition(lambda self: self.held and self.running)
    @rule()
    def reject(self) -> None:
        self.runs += 1
        assert self.conclude(Outcome.RAISED, Reject("no")) == DeadLetterVerdict(Reason.REJECTED)

    @precondition(lambda self: self.held and not self.running and not self.may_run)
    @rule()
    def come_too_often(self) -> None:
        """Its last attempt died with its worker."""
        assert self.conclude(Outcome.DIED, RuntimeError()) == DeadLetterVerdict(Reason.DIED)

    # what always holds

    @invariant()
    def it_runs_as_often_as_allowed(self) -> None:
        if self.deliveries:
            assert self.most is None or self.runs <= self.most

    @invariant()
    def attempts_are_at_least_the_runs_so_far(self) -> None:
        """And no more than the deliveries."""
        if self.deliveries and self.held:
            assert self.runs <= self.known.attempts <= self.deliveries - 1

    @invariant()
    def without_deaths_attempts_are_the_runs(self) -> None:
        if self.deliveries and self.held and not self.known.deaths:
            assert self.known.attempts == self.runs

    @invariant()
    def an_innocent_event_is_not_given_up(self) -> None:
        """It never failed, and no run of it alone died: it is another one that kills processes."""
        innocent = self.deliveries and not self.failures and not self.deaths_alone
        if innocent and self.held and self.most != 1:
            assert self.may_run

    @invariant()
    def it_is_never_held_when_it_is_over(self) -> None:
        if self.deliveries:
            assert not (self.held and self.over)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("max_attempts", [None, 1, 3])
def test_a_life_that_only_stops_never_ends(max_attempts: int | None) -> None:
    life = Life()
    life.begin(max_attempts)
    for _ in range(100):
        life.deliver()
        life.start()
        life.stop()
    assert (life.runs, life.over) == (0, False)
    life.deliver()
    assert life.may_run
    assert life.attempt == 1


@pytest.mark.parametrize(("max_attempts", "runs"), [(1, 1), (2, 2), (3, 3), (10, 10), (None, 20)])
def test_an_event_that_kills_its_process(max_attempts: int | None, runs: int) -> None:
    """It runs as often as it may, and the later times alone."""
    life = Life()
    life.begin(max_attempts)
    alone: list[bool] = []
    for _ in range(20):
        life.deliver()
        if not life.may_run:
            life.come_too_often()
            break
        life.start()
        alone.append(life.alone)
        life.die()
    assert life.runs == len(alone) == runs
    assert all(alone[2:])
    assert max_attempts != 2 or alone == [False, True]


@given(st.integers(2, 50), st.sets(st.integers(1, 60)), st.none() | st.integers(1, 9))
def test_marked_deliveries_are_no_attempts(
    delivery: int, marked: set[int], most: int | None
) -> None:
    known = before_delivery(None, delivery, most, marked)
    silent = [number for number in range(1, delivery) if number not in marked]
    assert known.attempts == known.deaths <= len(silent)
    if not silent:
        assert known.attempts == 0


def test_a_forged_number_of_deliveries_costs_no_time() -> None:
    assert before_delivery(None, 10**15, None).deaths == 2
