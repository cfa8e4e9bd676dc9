"""Noting every job, and what the notes of a window of time add up to."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from walnats_anyio._actors.declare._contexts import Context, ErrorContext, OkContext
from walnats_anyio._actors.declare._middleware import Middleware
from walnats_anyio.tune._run import Sketch

SLICES = 8
"""Parts of a window, by whose differences its uncertainty is judged."""

SENT = "walnats-tune-"
"""What the trace id of an event begins with that is emitted to measure the queueing.

After it comes the time of the emit in nanoseconds, by a clock that all processes of one machine
share.
"""

T_QUANTILE = 2.36
"""Half of a 95 % confidence interval in standard errors, for 8 slices (Student's t)."""


@dataclass(frozen=True, slots=True)
class Note:
    """One job that ended."""

    started: float
    ended: float
    succeeded: bool


class Recorder(Middleware):
    """Notes when each job starts and ends. The last middleware, so the one closest to the handler.

    Its hooks are plain functions that do next to nothing, as what they take is measured as well.
    """

    __slots__ = ("_queued", "_running", "failure", "notes", "started")

    def __init__(self) -> None:
        self.notes: list[Note] = []
        """The jobs that ended, in order."""
        self.failure: str | None = None
        """How the latest job failed."""
        self.started = 0
        """How many jobs have started."""
        self._running: dict[int, float] = {}
        self._queued: list[float] = []

    def on_start(self, ctx: Context, /) -> None:
        """Note the time; and how long the event has waited, if it says when it was emitted."""
        now = time.perf_counter()
        self._running[ctx.seq_number] = now
        self.started += 1
        trace = ctx.trace_id
        if trace is not None and trace.startswith(SENT):
            self._queued.append(time.monotonic() - int(trace.removeprefix(SENT)) / 1e9)

    def on_success(self, ctx: OkContext, /) -> None:
        """Note the job."""
        self._end(ctx.seq_number, succeeded=True)

    def on_failure(self, ctx: ErrorContext, /) -> None:
        """Note the job, and why it failed."""
        self._end(ctx.seq_number, succeeded=False)
        self.failure = f"{type(ctx.exception).__name__}: {ctx.exception}"

    def _end(self, number: int, *, succeeded: bool) -> None:
        now = time.perf_counter()
        # A message that could not be decoded was never started.
        self.notes.append(Note(self._running.pop(number, now), now, succeeded))

    def reset(self) -> None:
        """Forget the jobs that ended."""
        self.notes.clear()
        self._queued.clear()

    def forget_running(self) -> None:
        """Forget jobs that were cancelled: nobody tells of their end."""
        self._running.clear()

    def running(self) -> list[float]:
        """When the jobs that are running started."""
        return list(self._running.values())

    def queueing(self) -> Sketch:
        """How long events have waited since the reset."""
        return Sketch.of(self._queued)


def throughput(
    notes: Sequence[Note], running: Sequence[float], begin: float, end: float
) -> tuple[float, float]:
    """Jobs per second between two moments, and the standard error of that.

    A job counts in each part of the time by the share of it that falls there. So jobs that begin
    and end together, as those of one pull often do, make no jumps, and a window that is hardly
    longer than a job has a throughput. One that is still running counts as one that takes as long
    as the others did.
    """
    usual = statistics.fmean(note.ended - note.started for note in notes) if notes else 0.0
    width = (end - begin) / SLICES
    parts = [0.0] * SLICES
    for note in notes:
        if note.succeeded:
            _spread(parts, note.started - begin, note.ended - begin, width)
    # As many of them will fail as of the others.
    weight = sum(note.succeeded for note in notes) / len(notes) if notes else 0.0
    for started in running:
        expected = max(started + usual, end)
        _spread(parts, started - begin, expected - begin, width, weight)
    rates = [part / width for part in parts]
    return statistics.fmean(rates), statistics.stdev(rates) / SLICES**0.5


def _spread(
    parts: list[float], started: float, ended: float, width: float, weight: float = 1.0
) -> None:
    """Spread one job over the parts of the window that it was running in."""
    duration = ended - started
    first, last = int(max(started, 0) / width), int(max(ended, 0) / width)
    if first == last or duration <= 0:
        # The usual case by far: a job much shorter than a part of the window.
        if ended >= 0 and last < len(parts):
            share = 1.0 if started >= 0 or duration <= 0 else ended / duration
            parts[last] += share * weight
        return
    for index in range(first, min(last + 1, len(parts))):
        inside = min(ended, (index + 1) * width) - max(started, index * width)
        parts[index] += max(0.0, inside) / duration * weight
