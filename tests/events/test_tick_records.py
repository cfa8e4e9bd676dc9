"""Which replica emits which tick: what each decides, and all of them together."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walnats_anyio._events._tick_records import (
    REPEAT_AFTER,
    Claim,
    Missed,
    Record,
    Repeat,
    Rules,
    Wait,
)
from walnats_anyio._events._ticks import NEVER, Period

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = 120.0
PERIOD = 60


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def rules(missed: Missed = "skip", began: float = 0.5, period: float = PERIOD) -> Rules:
    return Rules(Period(period), missed, WINDOW, "us", at(began))


def record(tick: float, by: str = "them", since: float | None = None, *, emitted: bool) -> Record:
    return Record(at(tick), by, at(tick if since is None else since), emitted)


def test_it_waits_for_the_tick_and_claims_it() -> None:
    assert rules().next_step(None, at(1)) == Wait(at(60))
    assert rules().next_step(None, at(60)) == Claim(at(60))


def test_a_tick_that_another_replica_emitted_is_done() -> None:
    assert rules().next_step(record(60, emitted=True), at(61)) == Wait(at(120))


def test_late_it_claims_the_last_tick_only() -> None:
    """It was stopped, or could not reach the server."""
    assert rules().next_step(record(60, emitted=True), at(301)) == Claim(at(300))


def test_ticks_before_it_began_are_skipped_or_one_is_caught_up() -> None:
    before = record(60, emitted=True)
    assert rules(began=301).next_step(before, at(302)) == Wait(at(360))
    assert rules("once", began=301).next_step(before, at(302)) == Claim(at(300))
    # Nothing is missed where there never was a tick.
    assert rules("once", began=301).next_step(None, at(302)) == Wait(at(360))


def test_after_a_step_back_no_tick_comes_again() -> None:
    """The clock of the server was set back from 300 to 100."""
    assert rules().next_step(record(300, emitted=True), at(100)) == Wait(at(360))


def test_a_claim_is_repeated_after_a_while() -> None:
    claimed = record(60, emitted=False)
    assert rules().next_step(claimed, at(61)) == Wait(at(60 + REPEAT_AFTER))
    assert rules().next_step(claimed, at(60 + REPEAT_AFTER)) == Repeat(claimed)


def test_a_claim_is_repeated_before_the_next_tick_is_claimed() -> None:
    claimed = record(1, emitted=False)
    assert rules(period=1).next_step(claimed, at(2)) == Repeat(claimed)


def test_a_claim_of_ours_is_repeated_at_once() -> None:
    """The answer to it was lost."""
    claimed = record(60, "us", emitted=False)
    assert rules().next_step(claimed, at(60.1)) == Repeat(claimed)


@pytest.mark.parametrize("by", ["us", "them"])
def test_what_is_too_old_to_be_repeated(by: str) -> None:
    """Nobody knows whether it is emitted: not again, or once more."""
    claimed = record(60, by, emitted=False)
    old = at(60 + WINDOW / 2)
    slow = rules(period=3600)
    assert slow.next_step(claimed, old) == Wait(at(3600))
    assert rules("once", period=3600).next_step(claimed, old) == Claim(at(60))
    # The next tick goes before.
    assert rules("once").next_step(claimed, old) == Claim(at(120))


@given(st.binary(max_size=60))
@settings(max_examples=50)
def test_anybody_may_write_a_record(data: bytes) -> None:
    assert Record.of(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b'{"tick":"2026-01-01T00:00:00","by":"x","since":"2026-01-01T00:00:00Z"}',
        b'{"tick":"9999-12-31T23:59:59Z","by":"x","since":"2026-01-01T00:00:00Z"}',
        b'{"tick":"0001-01-01T00:00:00+14:00","by":"x","since":"2026-01-01T00:00:00Z"}',
        b'{"tick":"2026-01-01T00:00:00Z","by":"x","since":"9999-12-31T23:59:59-14:00"}',
        b'{"tick":"1969-01-01T00:00:00Z","by":"x","since":"2026-01-01T00:00:00Z"}',
        b'{"tick":1,"by":"x","since":1}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_times_that_are_none(data: bytes) -> None:
    assert Record.of(data) is None


def test_a_record_comes_back_as_it_was_written() -> None:
    for one in (record(60, emitted=True), record(0.5, emitted=False)):
        assert Record.of(one.to_wire()) == one


def test_a_clock_that_does_not_tick_any_more() -> None:
    """Far in the future, nothing overflows."""
    last = Record(NEVER - timedelta(seconds=1), "them", at(0), emitted=True)
    assert rules().next_step(last, at(1)) == Wait(NEVER)


# All together, against a model of the server.


@dataclass
class Server:
    """The record with its number, and the stream of the event with its memory of ids."""

    now: float = 0.0
    record: Record | None = None
    sequence: int = 0
    stored: list[tuple[datetime, float]] = field(default_factory=list[tuple[datetime, float]])

    def replace(self, new: Record, known: int) -> bool:
        if known != self.sequence:
            return False
        self.record, self.sequence = new, self.sequence + 1
        return True

    def emit(self, tick: datetime) -> None:
        if not any(uid == tick and self.now - when < WINDOW for uid, when in self.stored):
            self.stored.append((tick, self.now))


def replica(server: Server, name: str, missed: Missed, period: float) -> Generator[None]:
    """What `Replica` does, with a `yield` wherever others may act, and where it may die."""
    decide = Rules(Period(period), missed, WINDOW, name, at(server.now))
    while True:
        known, sequence = server.record, server.sequence
        yield
        step = decide.next_step(known, at(server.now))
        if isinstance(step, Wait):
            continue
        if isinstance(step, Claim):
            known = Record(step.tick, name, at(server.now))
            if not server.replace(known, sequence):
                continue
            sequence += 1
            yield
        else:
            known = step.record
        if (at(server.now) - known.since).total_seconds() >= WINDOW / 2:
            continue
        server.emit(known.tick)
        yield
        server.replace(Record(known.tick, known.by, known.since, emitted=True), sequence)


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("step"), st.integers(0, 2)),
        st.tuples(st.just("step"), st.integers(0, 2)),
        st.tuples(st.just("die"), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 1, 5, 20, 50, 200])),
        st.tuples(st.just("set back"), st.sampled_from([1, 30, 300])),
    ),
    max_size=150,
)


@given(ACTS, st.sampled_from([1, 10, 60, 600]))
@settings(max_examples=150, deadline=None)
def test_no_tick_is_emitted_twice(acts: list[tuple[str, float]], period: float) -> None:
    """Replicas die anywhere, and the server's clock is set back."""
    server = Server(now=1000.0)
    replicas = [replica(server, f"r{number}", "skip", period) for number in range(3)]
    for number, (act, value) in enumerate(acts):
        if act == "step":
            next(replicas[int(value)])
        elif act == "die":
            replicas[int(value)] = replica(server, f"again{number}", "skip", period)
        elif act == "wait":
            server.now += value
        else:
            server.now -= value
    ticks = [tick for tick, _ in server.stored]
    assert len(ticks) == len(set(ticks))


@given(ACTS)
@settings(max_examples=80, deadline=None)
def test_the_last_tick_is_emitted_as_long_as_one_replica_lives(
    acts: list[tuple[str, float]],
) -> None:
    server = Server(now=1000.0)
    replicas = [replica(server, f"r{number}", "skip", PERIOD) for number in range(3)]
    for one in replicas:
        next(one)
    for number, (act, value) in enumerate(acts):
        if act == "step":
            next(replicas[int(value)])
        elif act == "die" and value:  # the first one lives
            replicas[int(value)] = replica(server, f"again{number}", "skip", PERIOD)
        elif act == "wait":
            server.now += min(value, 20)
    for _ in range(30):
        next(replicas[0])
        server.now += 1
    last = max(tick for tick, _ in server.stored) if server.stored else at(1000)
    assert at(server.now) - last < timedelta(seconds=PERIOD + 30)
