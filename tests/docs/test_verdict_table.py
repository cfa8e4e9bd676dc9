"""The table of docs/concepts/guarantees.md says what the verdicts do."""

from __future__ import annotations

import pytest
from anyio import BrokenWorkerProcess

from tests.docs._blocks import ROOT
from walnats_anyio._actors.declare._choices import Reject, Retry
from walnats_anyio._actors.settle._verdict import Ack, Bury, Nak, Outcome, Verdict, decide
from walnats_anyio.dead_letters import Reason

ATTEMPT = 2
RETRY_DELAY = (1.0, 10.0)

MOST = 5

ROWS: dict[str, list[tuple[Outcome, BaseException | None, int, Verdict]]] = {
    "returned": [(Outcome.RETURNED, None, ATTEMPT, Ack()), (Outcome.RETURNED, None, MOST, Ack())],
    "raised `Reject(reason)`": [(Outcome.RAISED, Reject("no"), ATTEMPT, Bury(Reason.REJECTED))],
    "raised `Retry(delay)`": [(Outcome.RAISED, Retry(delay=7), ATTEMPT, Nak(7.0))],
    "raised `Retry()` or anything else": [
        (Outcome.RAISED, Retry(), ATTEMPT, Nak(10.0)),
        (Outcome.RAISED, KeyError("x"), ATTEMPT, Nak(10.0)),
    ],
    "ended with its process of `ExecuteIn.PROCESS`": [
        (Outcome.RAISED, BrokenWorkerProcess(), ATTEMPT, Nak(10.0))
    ],
    "took longer than `job_timeout`": [(Outcome.TIMED_OUT, TimeoutError(), ATTEMPT, Nak(10.0))],
    "failed, and was the last of `max_attempts`": [
        (Outcome.RAISED, KeyError("x"), MOST, Bury(Reason.EXHAUSTED)),
        (Outcome.RAISED, Retry(delay=7), MOST, Bury(Reason.EXHAUSTED)),
        (Outcome.TIMED_OUT, TimeoutError(), MOST, Bury(Reason.EXHAUSTED)),
    ],
    "could not be decoded": [
        (Outcome.UNDECODABLE, ValueError(), ATTEMPT, Bury(Reason.UNDECODABLE))
    ],
    # What a hook raises is logged, and never comes so far.
    "had a hook that raised": [],
    "was not started, or was cancelled, as `listen` ends": [
        (Outcome.STOPPED, None, ATTEMPT, Nak(0.0)),
        (Outcome.STOPPED, None, MOST, Nak(0.0)),
    ],
    # There is nobody left to decide anything.
    "died with its worker": [],
    "died so in the last of `max_attempts`": [
        (Outcome.DIED, RuntimeError(), MOST + 1, Bury(Reason.DIED))
    ],
    # The end of the job is decided as ever: the link keeps what could not be sent.
    "returned while the connection was lost": [(Outcome.RETURNED, None, ATTEMPT, Ack())],
}


def rows_in_the_docs() -> dict[str, str]:
    """Map what a job did to what the server is told."""
    page = (ROOT / "docs" / "concepts" / "guarantees.md").read_text()
    section = page.split("## How a job ends\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:2] == "| "]
    return {cells[0]: cells[1] for cells in rows[2:]}


def in_words(verdict: Verdict) -> str:
    match verdict:
        case Ack():
            return "ack"
        case Nak(0.0):
            return "nak"
        case Nak(10.0):
            return "nak with the delay of this attempt"
        case Nak():
            return "nak with that delay"
        case Bury():
            return "term, after its dead letter is stored"


def test_the_docs_have_every_way_a_job_can_end() -> None:
    assert list(rows_in_the_docs()) == list(ROWS)
    tested = {outcome for row in ROWS.values() for outcome, *_ in row}
    assert tested == set(Outcome)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_says_what_is_decided(row: str) -> None:
    for outcome, error, attempt, expected in ROWS[row]:
        verdict = decide(outcome, error, attempt, RETRY_DELAY, MOST)
        assert verdict == expected
        assert rows_in_the_docs()[row].startswith(in_words(verdict))
