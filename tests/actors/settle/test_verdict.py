"""What NATS is told at the end of a job: each row of the table, each word on the wire."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from walnats_anyio import Reject, Retry
from walnats_anyio._actors.settle._verdict import (
    Ack,
    Bury,
    Nak,
    Outcome,
    Term,
    Verdict,
    decide,
    delay_after,
    in_words,
)
from walnats_anyio.dead_letters import Reason

ERROR = KeyError("x")
DELAYS = (0.5, 10.0)


@pytest.mark.parametrize(
    ("outcome", "error", "verdict"),
    [
        (Outcome.RETURNED, None, Ack()),
        (Outcome.RAISED, Reject("no such user"), Bury(Reason.REJECTED)),
        (Outcome.RAISED, Reject(), Bury(Reason.REJECTED)),
        (Outcome.RAISED, Retry(delay=7), Nak(7.0)),
        (Outcome.RAISED, Retry(delay=0), Nak(0.0)),
        (Outcome.RAISED, Retry(), Nak(10.0)),
        (Outcome.RAISED, ERROR, Nak(10.0)),
        (Outcome.RAISED, BaseException(), Nak(10.0)),
        (Outcome.RAISED, None, Nak(10.0)),
        (Outcome.TIMED_OUT, TimeoutError(), Nak(10.0)),
        (Outcome.UNDECODABLE, ERROR, Bury(Reason.UNDECODABLE)),
        (Outcome.DIED, ERROR, Bury(Reason.DIED)),
        (Outcome.STOPPED, None, Nak(0.0)),
        (Outcome.STOPPED, ERROR, Nak(0.0)),
    ],
)
def test_every_way_a_job_can_end(
    outcome: Outcome, error: BaseException | None, verdict: Verdict
) -> None:
    assert decide(outcome, error, 2, DELAYS, None) == verdict
    assert decide(outcome, error, 2, DELAYS, 3) == verdict


@pytest.mark.parametrize("attempt", [2, 3, 1000])
@pytest.mark.parametrize("error", [ERROR, Retry(), Retry(delay=7), None])
@pytest.mark.parametrize("outcome", [Outcome.RAISED, Outcome.TIMED_OUT])
def test_the_last_attempt_that_fails(
    outcome: Outcome, error: Exception | None, attempt: int
) -> None:
    assert decide(outcome, error, attempt, DELAYS, 2) == Bury(Reason.EXHAUSTED)


def test_the_last_attempt_may_end_well_or_be_stopped() -> None:
    assert decide(Outcome.RETURNED, None, 2, DELAYS, 2) == Ack()
    assert decide(Outcome.STOPPED, None, 2, DELAYS, 2) == Nak(0.0)
    assert decide(Outcome.RAISED, Reject("no"), 2, DELAYS, 2) == Bury(Reason.REJECTED)


@pytest.mark.parametrize("error", [Reject("no"), Retry(delay=7)])
def test_only_a_handler_chooses_its_end(error: Exception) -> None:
    assert decide(Outcome.TIMED_OUT, error, 1, DELAYS, None) == Nak(0.5)


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
    assert delay_after(attempt, lambda failed: 2**failed) == 2.0**attempt


@pytest.mark.parametrize("wrong", [-1, -0.001, math.inf, math.nan])
def test_a_function_that_gives_no_delay(wrong: float) -> None:
    with pytest.raises(ValueError, match=rf"retry_delay\(3\) .*seconds .*not {wrong}"):
        delay_after(3, lambda _: wrong)


@given(st.floats(0, 1e300))
def test_a_delay_of_any_length_fits(delay: float) -> None:
    """The server reads an int64 of nanoseconds, which is 292 years."""
    words = in_words(Nak(delay)).removeprefix(b"-NAK").strip() or b'{"delay": 0}'
    assert 0 <= json.loads(words)["delay"] < 2**63


@given(st.floats(0, 1e9))
def test_a_delay_in_words_is_in_nanoseconds(delay: float) -> None:
    words = in_words(Nak(delay))
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
        (Nak(0.0), b"-NAK"),
        (Nak(1.5), b'-NAK {"delay": 1500000000}'),
        (Term("no such user"), b"+TERM no such user"),
        (Term(""), b"+TERM"),
        (Term(" \n"), b"+TERM"),
        (Term("line\r\nbreak"), b"+TERM line break"),
        (Term("größer"), "+TERM größer".encode()),
    ],
)
def test_verdicts_in_words(verdict: Ack | Nak | Term, words: bytes) -> None:
    assert in_words(verdict) == words


@given(st.text(st.characters(codec=None)))
@example("not \ud800 unicode")
@example("long " * 300_000)
@settings(deadline=None)
def test_any_reason_fits_into_a_line(reason: str) -> None:
    words = in_words(Term(reason))
    assert words.startswith(b"+TERM")
    assert b"\r" not in words
    assert b"\n" not in words
    assert len(words) < 10_000
    words.decode()
