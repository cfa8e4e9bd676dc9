"""The throughput of a window, from when its jobs started and ended."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walnats_anyio.tune._window import Note, throughput


def jobs(slots: int, duration: float, until: float) -> tuple[list[Note], list[float]]:
    """Slots that are always busy from 0 on: the jobs that ended, and when the others started."""
    notes: list[Note] = []
    start = 0.0
    while start + duration <= until:
        notes += [Note(start, start + duration, succeeded=True)] * slots
        start += duration
    return notes, [start] * slots


@settings(max_examples=50, deadline=None)
@given(
    slots=st.integers(1, 50),
    duration=st.floats(0.005, 0.45),
    begin=st.floats(0.5, 1),
    length=st.floats(0.5, 2),
)
def test_it_is_slots_over_duration_wherever_the_window_begins(
    slots: int, duration: float, begin: float, length: float
) -> None:
    notes, running = jobs(slots, duration, begin + length)
    seen = [note for note in notes if note.ended >= begin]
    rate, _ = throughput(seen, running, begin, begin + length)
    # Short jobs count in the part in which they end, so one for each slot may be off.
    assert rate == pytest.approx(slots / duration, abs=slots / length + 1e-6)


def test_long_jobs_that_begin_and_end_together_make_no_jumps() -> None:
    notes, running = jobs(16, 0.4, 2.0)
    seen = [note for note in notes if note.ended >= 1.0]
    rate, error = throughput(seen, running, 1.0, 2.0)
    assert rate == pytest.approx(40)
    assert error < 1


def test_jobs_that_are_running_count_by_the_part_that_is_done() -> None:
    notes, running = jobs(16, 0.4, 1.9)
    seen = [note for note in notes if note.ended >= 0.9]
    assert throughput(seen, running, 0.9, 1.9)[0] == pytest.approx(40)


def test_failed_jobs_count_for_nothing() -> None:
    notes = [Note(0.1 * n, 0.1 * n + 0.05, succeeded=n % 2 == 0) for n in range(10)]
    assert throughput(notes, [], 0.0, 1.0)[0] == pytest.approx(5)


def test_a_window_without_any_job_has_no_throughput() -> None:
    assert throughput([], [0.5, 0.6], 0.0, 1.0) == (0.0, 0.0)
