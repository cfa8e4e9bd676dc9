"""The table of docs/concepts/guarantees.md says what the verdicts do."""

from __future__ import annotations

import pytest

from tests.docs._blocks import ROOT
from walnats_anyio._actors._choices import Reject, Retry
from walnats_anyio._actors._verdict import Ack, Nak, Outcome, Term, Verdict, decide

ATTEMPT = 2
RETRY_DELAY = (1.0, 10.0)

ROWS: dict[str, list[tuple[Outcome, BaseException | None, Verdict]]] = {
    "returned": [(Outcome.RETURNED, None, Ack())],
    "raised `Reject(reason)`": [(Outcome.RAISED, Reject("no"), Term("no"))],
    "raised `Retry(delay)`": [(Outcome.RAISED, Retry(delay=7), Nak(7.0))],
    "raised `Retry()` or anything else": [
        (Outcome.RAISED, Retry(), Nak(10.0)),
        (Outcome.RAISED, KeyError("x"), Nak(10.0)),
    ],
    "took longer than `job_timeout`": [(Outcome.TIMED_OUT, TimeoutError(), Nak(10.0))],
    "could not be decoded": [(Outcome.UNDECODABLE, ValueError(), Nak(10.0))],
    "was not started, or was cancelled, as `listen` ends": [(Outcome.STOPPED, None, Nak(0.0))],
    # There is nobody left to decide anything.
    "died with its process": [],
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
        case Term():
            return "term, with the reason"


def test_the_docs_have_every_way_a_job_can_end() -> None:
    assert list(rows_in_the_docs()) == list(ROWS)
    tested = {outcome for row in ROWS.values() for outcome, _, _ in row}
    assert tested == set(Outcome)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_says_what_is_decided(row: str) -> None:
    for outcome, error, expected in ROWS[row]:
        verdict = decide(outcome, error, ATTEMPT, RETRY_DELAY)
        assert verdict == expected
        assert rows_in_the_docs()[row] == in_words(verdict)
