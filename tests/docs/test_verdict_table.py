"""The table of docs/concepts/guarantees.md says what the verdicts do."""

from __future__ import annotations

import pytest

from tests.docs._blocks import ROOT
from walnats_anyio import Reject, Retry, Snooze
from walnats_anyio._actors.run import WorkerProcessError
from walnats_anyio._actors.settle._verdict import (
    REFUSED_DELAY,
    UNWRITTEN_DELAY,
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

ATTEMPT = 2
MOST = 5
POLICY = Policy((2.0, 10.0), MOST)

AGAIN = Nak(10.0)

ROWS: dict[str, list[tuple[Outcome, BaseException | None, int, Verdict]]] = {
    "returned: its handler did": [
        (Outcome.RETURNED, None, ATTEMPT, Ack()),
        (Outcome.RETURNED, None, MOST, Ack()),
    ],
    "is for another actor, as it was requeued": [(Outcome.FOREIGN, None, ATTEMPT, Ack())],
    "was not started, or was cancelled, as `listen` ends": [
        (Outcome.STOPPED, None, ATTEMPT, HandBack(0.0)),
        (Outcome.STOPPED, None, MOST, HandBack(0.0)),
    ],
    "waited for a worker too long, with `pulse=False`": [
        (Outcome.EXPIRED, None, ATTEMPT, HandBack(0.0))
    ],
    "came when this process could not take it": [
        (Outcome.REFUSED, None, ATTEMPT, HandBack(REFUSED_DELAY))
    ],
    "is not due yet, by its header `Walnats-Delay`": [
        (Outcome.EARLY, Snooze(7), ATTEMPT, HandBack(7.0)),
        (Outcome.EARLY, Snooze(7), MOST, HandBack(7.0)),
    ],
    "raised `Reject(reason)`": [
        (Outcome.RAISED, Reject("no"), ATTEMPT, DeadLetterVerdict(Reason.REJECTED))
    ],
    "raised `Snooze(delay)`": [
        (Outcome.RAISED, Snooze(7), ATTEMPT, HandBack(7.0)),
        (Outcome.RAISED, Snooze(7), MOST, HandBack(7.0)),
    ],
    "raised `Retry(delay)`": [(Outcome.RAISED, Retry(delay=7), ATTEMPT, Nak(7.0))],
    "raised `Retry()`": [(Outcome.RAISED, Retry(), ATTEMPT, AGAIN)],
    "raised anything else, `SystemExit` included": [
        (Outcome.RAISED, KeyError("x"), ATTEMPT, AGAIN),
        (Outcome.RAISED, SystemExit(1), ATTEMPT, AGAIN),
    ],
    "ended with its process of `ExecuteIn.PROCESS`": [
        (Outcome.RAISED, WorkerProcessError(), ATTEMPT, AGAIN)
    ],
    "took longer than `job_timeout`": [(Outcome.TIMED_OUT, TimeoutError(), ATTEMPT, AGAIN)],
    "failed in the last of `max_attempts`": [
        (Outcome.RAISED, KeyError("x"), MOST, DeadLetterVerdict(Reason.EXHAUSTED)),
        (Outcome.RAISED, Retry(delay=7), MOST, DeadLetterVerdict(Reason.EXHAUSTED)),
        (Outcome.TIMED_OUT, TimeoutError(), MOST, DeadLetterVerdict(Reason.EXHAUSTED)),
    ],
    "could not be decoded": [
        (Outcome.UNDECODABLE, ValueError(), ATTEMPT, DeadLetterVerdict(Reason.UNDECODABLE))
    ],
    "is to be a dead letter that cannot be written": [
        (Outcome.UNWRITTEN, None, ATTEMPT, Nak(UNWRITTEN_DELAY))
    ],
    # What a hook raises is logged, and never comes so far.
    "had a hook that raised": [],
    # There is nobody left to decide anything.
    "died with its worker": [],
    "died so in the last of `max_attempts`": [
        (Outcome.DIED, RuntimeError(), MOST + 1, DeadLetterVerdict(Reason.DIED))
    ],
    # The end of the job is decided as ever: the link keeps what could not be sent.
    "returned while the connection was lost": [(Outcome.RETURNED, None, ATTEMPT, Ack())],
}


def rows_in_the_docs() -> dict[str, str]:
    """Map what became of a delivery to what the server is told."""
    page = (ROOT / "docs" / "concepts" / "guarantees.md").read_text()
    section = page.split("## How a delivery ends\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:2] == "| "]
    return {cells[0]: cells[1] for cells in rows[2:]}


def in_words(verdict: Verdict) -> str:
    match verdict:
        case Ack():
            return "ack"
        case HandBack(0.0):
            return "nak"
        case Nak(7.0) | HandBack(7.0):
            return "nak with that delay"
        case Nak(10.0):
            return "nak with the delay of this attempt"
        case Nak(delay) | HandBack(delay):
            return f"nak with {delay:g} s"
        case DeadLetterVerdict():
            return "term, after its dead letter is stored"


def test_the_docs_have_every_way_a_delivery_can_end() -> None:
    assert list(rows_in_the_docs()) == list(ROWS)
    tested = {outcome for row in ROWS.values() for outcome, *_ in row}
    assert tested == set(Outcome)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_says_what_is_decided(row: str) -> None:
    for outcome, error, attempt, expected in ROWS[row]:
        verdict = decide(outcome, error, attempt, POLICY)
        assert verdict == expected
        told = rows_in_the_docs()[row]
        assert told == in_words(verdict) or told.startswith(f"{in_words(verdict)}, ")
