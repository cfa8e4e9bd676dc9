"""What NATS is told of a delivery: each row of the table, each word on the wire."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from walnats_anyio import Reject, Retry, Snooze
from walnats_anyio._actors.settle._verdict import (
    REFUSED_DELAY,
    UNWRITTEN_DELAY,
    Ack,
    Cancelled,
    DeadLetterVerdict,
    HandBack,
    Nak,
    Outcome,
    Policy,
    Postpone,
    Postponed,
    Superseded,
    Term,
    Verdict,
    decide,
    delay_after,
    to_wire,
    wish_of,
)
from walnats_anyio.dead_letters import Reason

ERROR = KeyError("x")
DELAYS = (0.5, 10.0)


@pytest.mark.parametrize(
    ("outcome", "error", "verdict"),
    [
        (Outcome.RETURNED, None, Ack()),
        (Outcome.RAISED, Reject("no such user"), DeadLetterVerdict(Reason.REJECTED)),
        (Outcome.RAISED, Reject(), DeadLetterVerdict(Reason.REJECTED)),
        (Outcome.RAISED, Retry(delay=7), Nak(7.0)),
        (Outcome.RAISED, Retry(delay=0), Nak(0.0)),
        (Outcome.RAISED, Retry(), Nak(10.0)),
        (Outcome.RAISED, Snooze(7), HandBack(7.0)),
        (Outcome.RAISED, ERROR, Nak(10.0)),
        (Outcome.RAISED, BaseException(), Nak(10.0)),
        (Outcome.RAISED, None, Nak(10.0)),
        (Outcome.TIMED_OUT, TimeoutError(), Nak(10.0)),
        (Outcome.UNDECODABLE, ERROR, DeadLetterVerdict(Reason.UNDECODABLE)),
        (Outcome.DIED, ERROR, DeadLetterVerdict(Reason.DIED)),
        (Outcome.CANCELLED, None, Cancelled()),
        (Outcome.CANCELLED, ERROR, Cancelled()),
        (Outcome.OVERDUE, None, Cancelled()),
        (Outcome.STOPPED, None, HandBack(0.0)),
        (Outcome.STOPPED, ERROR, HandBack(0.0)),
        (Outcome.EXPIRED, None, HandBack(0.0)),
        (Outcome.REFUSED, None, HandBack(REFUSED_DELAY)),
        (Outcome.EARLY, Snooze(7), HandBack(7.0)),
        (Outcome.EARLY, None, HandBack(1.0)),
        (Outcome.FOREIGN, None, Ack()),
        (Outcome.UNWRITTEN, None, Nak(UNWRITTEN_DELAY)),
        (Outcome.SUPERSEDED, None, Superseded()),
    ],
)
def test_every_way_a_delivery_can_end(
    outcome: Outcome, error: BaseException | None, verdict: Verdict
) -> None:
    assert decide(outcome, error, 2, Policy(DELAYS)) == verdict
    assert decide(outcome, error, 2, Policy(DELAYS, 3)) == verdict


@pytest.mark.parametrize("attempt", [2, 3, 1000])
@pytest.mark.parametrize("error", [ERROR, Retry(), Retry(delay=7), None])
@pytest.mark.parametrize("outcome", [Outcome.RAISED, Outcome.TIMED_OUT])
def test_the_last_attempt_that_fails(
    outcome: Outcome, error: Exception | None, attempt: int
) -> None:
    assert decide(outcome, error, attempt, Policy(DELAYS, 2)) == DeadLetterVerdict(Reason.EXHAUSTED)


def test_how_long_an_event_waits_that_could_not_be_taken_or_given_up() -> None:
    assert decide(Outcome.REFUSED) == HandBack(1.0)
    assert decide(Outcome.UNWRITTEN) == Nak(30.0)


def test_without_a_policy_nothing_is_put_off() -> None:
    assert decide(Outcome.RAISED, ERROR) == Nak(0.0)
    assert decide(Outcome.RAISED, ERROR, 1, Policy(DELAYS)) == Nak(0.5)


def test_the_last_attempt_may_end_well_or_be_stopped() -> None:
    policy = Policy(DELAYS, 2)
    assert decide(Outcome.RETURNED, None, 2, policy) == Ack()
    assert decide(Outcome.STOPPED, None, 2, policy) == HandBack(0.0)
    assert decide(Outcome.RAISED, Snooze(7), 2, policy) == HandBack(7.0)
    assert decide(Outcome.RAISED, Reject("no"), 2, policy) == DeadLetterVerdict(Reason.REJECTED)


def test_a_burst_puts_failures_off() -> None:
    """Or one event that always fails would never let it end."""
    policy = Policy((), None, least_delay=1.0)
    assert decide(Outcome.RAISED, ERROR, 1, policy) == Nak(1.0)
    assert decide(Outcome.RAISED, Retry(delay=0), 1, policy) == Nak(1.0)
    assert decide(Outcome.RAISED, Retry(delay=7), 1, policy) == Nak(7.0)
    assert decide(Outcome.RAISED, Snooze(0.1), 1, policy) == HandBack(1.0)
    assert decide(Outcome.RAISED, Snooze(7), 1, policy) == HandBack(7.0)
    assert decide(Outcome.STOPPED, None, 1, policy) == HandBack(0.0)


@pytest.mark.parametrize("delay", [5.0, 7.0, 6 * 24 * 3600.0])
def test_what_waits_for_long_waits_as_a_copy(delay: float) -> None:
    policy = Policy((delay,), 2, postpone_from=5.0)
    assert decide(Outcome.RAISED, ERROR, 1, policy) == Postpone(delay, failed=True)
    assert decide(Outcome.TIMED_OUT, TimeoutError(), 1, policy) == Postpone(delay, failed=True)
    assert decide(Outcome.RAISED, Retry(delay), 1, policy) == Postpone(delay, failed=True)
    assert decide(Outcome.RAISED, Snooze(delay), 1, policy) == Postpone(delay, failed=False)
    assert decide(Outcome.RAISED, ERROR, 2, policy) == DeadLetterVerdict(Reason.EXHAUSTED)
    assert decide(Outcome.UNWRITTEN, None, 1, policy) == Nak(UNWRITTEN_DELAY)
    assert decide(Outcome.STOPPED, None, 1, policy) == HandBack(0.0)


@pytest.mark.parametrize("delay", [0.0, 4.999, 6 * 24 * 3600.0 + 1])
def test_what_is_too_short_or_too_long_for_a_copy(delay: float) -> None:
    policy = Policy((delay,), 2, postpone_from=5.0)
    assert decide(Outcome.RAISED, ERROR, 1, policy) == Nak(delay)
    assert decide(Outcome.RAISED, ERROR, 1, Policy((7.0,), 2)) == Nak(7.0)


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        ([Reject("a"), Reject("b")], DeadLetterVerdict(Reason.REJECTED)),
        ([Retry(delay=3), Retry(delay=7), Retry()], Nak(7.0)),
        ([Retry(), Retry()], Nak(10.0)),
        ([Snooze(3), Snooze(7)], HandBack(7.0)),
        ([Snooze(3), Retry(delay=7)], Nak(10.0)),
        ([Snooze(3), ERROR], Nak(10.0)),
        ([Retry(delay=7), Reject("a")], Nak(10.0)),
        ([Reject("a"), ERROR], Nak(10.0)),
        ([Retry(delay=7), ERROR], Nak(10.0)),
    ],
)
def test_a_group_counts_as_what_all_of_it_is(errors: list[Exception], verdict: Verdict) -> None:
    group = ExceptionGroup("several", errors)
    nested = ExceptionGroup("outer", [ExceptionGroup("inner", errors)])
    assert decide(Outcome.RAISED, group, 2, Policy(DELAYS, 3)) == verdict
    assert decide(Outcome.RAISED, nested, 2, Policy(DELAYS, 3)) == verdict


class Mute(Retry):
    """Cannot be asked for its delay."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)


def test_what_cannot_be_asked_for_a_wish_has_none() -> None:
    assert wish_of(Mute()) is None
    assert wish_of(ExceptionGroup("one", [Mute()])) is None


def test_a_wish_in_groups_that_are_nested_deeply() -> None:
    errors: list[Exception] = [Reject("no")]
    for _ in range(5_000):
        errors = [ExceptionGroup("again", errors)]
    wish = wish_of(errors[0])
    assert isinstance(wish, Reject)
    assert wish.reason == "no"


def test_a_group_of_rejections_has_every_reason() -> None:
    wish = wish_of(ExceptionGroup("several", [Reject("a"), Reject("b")]))
    assert isinstance(wish, Reject)
    assert wish.reason == "a; b"


class OwnRetry(Retry):
    """One whose `__init__` does not call ours, or sets nonsense."""

    def __init__(self, delay: object) -> None:
        self.delay = delay  # type: ignore[assignment] # nonsense


@pytest.mark.parametrize("delay", ["7", -1, math.nan, math.inf, None, 10**12])
def test_a_retry_with_a_delay_that_is_none(delay: object) -> None:
    assert decide(Outcome.RAISED, OwnRetry(delay), 2, Policy(DELAYS)) == Nak(10.0)


class OwnSnooze(Snooze):
    """One whose `__init__` does not call ours, or sets nonsense."""

    def __init__(self, delay: object) -> None:
        self.delay = delay  # type: ignore[assignment] # nonsense


@pytest.mark.parametrize("delay", ["7", -1, 0, math.nan, math.inf, None, 10**12])
def test_a_snooze_with_a_delay_that_is_none(delay: object) -> None:
    assert decide(Outcome.RAISED, OwnSnooze(delay), 2, Policy(DELAYS)) == HandBack(1.0)
    assert decide(Outcome.RAISED, OwnSnooze(1e-9), 2, Policy(DELAYS)) == HandBack(0.001)


@pytest.mark.parametrize("delay", [0, -1, math.nan, math.inf, 10**12])
def test_a_snooze_needs_a_delay(delay: float) -> None:
    with pytest.raises(ValueError, match=r"Snooze: delay must be 0\.001 to"):
        Snooze(delay)
    with pytest.raises(TypeError, match="Snooze: delay must be a number of seconds"):
        Snooze("soon")  # type: ignore[arg-type] # that is the test


@given(
    delays=st.lists(st.floats(0, 1e6), min_size=1, max_size=8), attempt=st.integers(1, 1_000_000)
)
def test_the_last_delay_repeats(delays: list[float], attempt: int) -> None:
    expected = delays[attempt - 1] if attempt <= len(delays) else delays[-1]
    assert delay_after(attempt, delays) == expected
    assert delay_after(attempt, tuple(delays)) == expected


@given(st.integers(1, 1000))
def test_no_delays_means_at_once(attempt: int) -> None:
    assert delay_after(attempt, ()) == 0.0


@given(st.integers(1, 30))
def test_a_function_of_the_attempt_that_failed(attempt: int) -> None:
    assert delay_after(attempt, lambda failed: 2.0 ** (failed - 9)) == 2.0 ** (attempt - 9)
    assert delay_after(attempt, lambda _: 0) == 0.0


@pytest.mark.parametrize("wrong", [-1, -0.001, math.inf, math.nan])
def test_a_function_that_gives_no_delay(wrong: float) -> None:
    with pytest.raises(ValueError, match=rf"retry_delay\(3\) .*seconds .*not {wrong}"):
        delay_after(3, lambda _: wrong)


@given(st.floats(0, 1e300))
def test_a_delay_of_any_length_fits(delay: float) -> None:
    """The server reads an int64 of nanoseconds, which is 292 years."""
    words = to_wire(Nak(delay)).removeprefix(b"-NAK").strip() or b'{"delay": 0}'
    assert 0 <= json.loads(words)["delay"] < 2**63


@given(st.floats(0, 1e9))
def test_a_delay_on_the_wire_is_in_nanoseconds(delay: float) -> None:
    words = to_wire(Nak(delay))
    if delay == 0:
        assert words == b"-NAK"
        return
    assert words.startswith(b"-NAK ")
    nanoseconds = json.loads(words.removeprefix(b"-NAK "))["delay"]
    assert isinstance(nanoseconds, int)
    assert nanoseconds == pytest.approx(delay * 1e9, abs=1)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Ack(), b""),
        (Postponed(failed=True), b""),
        (Superseded(), b""),
        (Nak(0.0), b"-NAK"),
        (Nak(1.5), b'-NAK {"delay": 1500000000}'),
        (HandBack(0.0), b"-NAK"),
        (HandBack(1.0), b'-NAK {"delay": 1000000000}'),
        (Term("no such user"), b"+TERM no such user"),
        (Term(""), b"+TERM"),
        (Term(" \n"), b"+TERM"),
        (Term("line\r\nbreak"), b"+TERM line break"),
        (Term("größer"), "+TERM größer".encode()),
    ],
)
def test_verdicts_to_wire(verdict: Ack | Nak | Term, words: bytes) -> None:
    assert to_wire(verdict) == words


@given(st.text(st.characters(codec=None)))
@example("not \ud800 unicode")
@example("long " * 300_000)
@settings(deadline=None)
def test_any_reason_fits_into_a_line(reason: str) -> None:
    words = to_wire(Term(reason))
    assert words.startswith(b"+TERM")
    assert b"\r" not in words
    assert b"\n" not in words
    assert len(words) < 10_000
    words.decode()
