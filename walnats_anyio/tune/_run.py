"""One run of one level: what a process measures, and how the runs of a level become a point."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from walnats_anyio.tune._result import Latency, Point

SKETCH = 200
"""Quantiles that stand for all the times of one kind, so that those of several processes add up."""

WAITS = 0.4
"""Share of the time that it is let run, up to which an event loop mostly waits."""

COMPUTES = 0.9
"""Share of that time from which on it is busy all the time."""

QUICK = 20
"""One job of so many is a quick one."""

MORE_FAILURES = 0.02
"""Share of failed jobs, beyond that of the lowest level, that does not matter."""

LEAST_FREE = 0.05
"""Share of a core below which nothing can be said of what would have been."""

DISTURBED = 0.15
"""Share of the time without a core from which on a run is not trusted, if another one is better."""


class Sketch(msgspec.Struct, frozen=True):
    """Many times, summed up."""

    quantiles: tuple[float, ...]
    """Evenly spaced ones, in seconds, rising."""

    count: int
    """How many times there were."""

    @classmethod
    def of(cls, times: Sequence[float]) -> Sketch:
        """Sum up times, which are in any order."""
        ordered = sorted(times)
        if len(ordered) > SKETCH:
            last = len(ordered) - 1
            ordered = [ordered[round(i * last / (SKETCH - 1))] for i in range(SKETCH)]
        return cls(tuple(ordered), len(times))

    @classmethod
    def together(cls, sketches: Iterable[Sketch]) -> Sketch:
        """Those of several processes."""
        parts = list(sketches)
        merged = cls.of([time for part in parts for time in part.quantiles])
        return cls(merged.quantiles, sum(part.count for part in parts))

    def latency(self) -> Latency | None:
        """Its percentiles; None if there is nothing."""
        if not self.quantiles:
            return None
        last = len(self.quantiles) - 1
        p50, p95, p99 = (self.quantiles[round(share * last)] for share in (0.5, 0.95, 0.99))
        return Latency(p50=p50, p95=p95, p99=p99, count=self.count)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What one process measured in one window of time."""

    seconds: float
    """How long the window was."""

    throughput: float
    """Jobs per second that succeeded; parts of jobs are counted as parts."""

    error: float
    """Standard error of the throughput."""

    ended: int
    """Jobs that ended in the window."""

    failed: int
    """Jobs among them that failed."""

    failure: str | None
    """How the latest one failed, in words."""

    handling: Sketch
    """How long the handler took."""

    cpu: float
    """Cores that were busy."""

    memory: int
    """Resident memory in bytes."""

    loop_lag: Sketch
    """How late the event loop was."""

    busy: float
    """Share of the window in which the event loop's thread ran."""

    disturbed: float
    """Share of the window in which it could have run, and had no core."""

    def undisturbed(self, slots: int) -> Window:
        """What it would have been if others had not used the core.

        An event loop that is busy all the time loses throughput in proportion to the time that it
        is not let run; one that mostly waits loses next to nothing. Whatever it lost: so many slots
        cannot do more than one job each in the time that a quick one needs (Little's law).
        """
        free = max(1 - self.disturbed, LEAST_FREE)
        lost = 1 / free - 1
        if not (lost and self.throughput and self.ended):
            return self
        share = (self.busy / free - WAITS) / (COMPUTES - WAITS)
        made_good = min(1.0, max(0.0, share)) * lost
        bound = slots / self._quick_job() / self.throughput - 1
        made_good = max(0.0, min(made_good, bound))
        return msgspec.structs.replace(
            self,
            throughput=self.throughput * (1 + made_good),
            error=self.error * (1 + made_good),
            disturbed=self.disturbed * (1 - made_good / lost),
            cpu=self.cpu * (1 + made_good),
        )

    def _quick_job(self) -> float:
        """Seconds that a quick job needs, without those in which the event loop had no core."""
        each = self.seconds / self.ended
        quick = self.handling.quantiles[len(self.handling.quantiles) // QUICK]
        return max(self.busy * each, quick - self.disturbed * each, 1e-6)

    @classmethod
    def together(cls, windows: Sequence[Window]) -> Window:
        """What several processes measured at the same time."""
        if len(windows) == 1:
            return windows[0]
        return cls(
            seconds=max(each.seconds for each in windows),
            throughput=sum(each.throughput for each in windows),
            error=sum(each.error**2 for each in windows) ** 0.5,
            ended=sum(each.ended for each in windows),
            failed=sum(each.failed for each in windows),
            failure=next((each.failure for each in windows if each.failure), None),
            handling=Sketch.together(each.handling for each in windows),
            cpu=sum(each.cpu for each in windows),
            memory=sum(each.memory for each in windows),
            loop_lag=Sketch.together(each.loop_lag for each in windows),
            busy=statistics.fmean(each.busy for each in windows),
            disturbed=statistics.fmean(each.disturbed for each in windows),
        )


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one level."""

    window: Window
    """With all slots busy."""

    queueing: Sketch = Sketch((), 0)
    """From the emit to the start of the handler, with slots to spare."""


def trusted(runs: Sequence[Run]) -> list[Run]:
    """The runs that others on the machine did not disturb; at least the one disturbed least."""
    least = min(run.window.disturbed for run in runs)
    limit = max(DISTURBED, least * 1.5)
    return [run for run in runs if run.window.disturbed <= limit]


def throughput(runs: Sequence[Run]) -> float:
    """The median over the runs that can be trusted, the upper one where there are two.

    What disturbs a run makes it slower, and hardly ever faster.
    """
    return statistics.median_high(run.window.throughput for run in trusted(runs))


def failed(runs: Sequence[Run]) -> float:
    """Share of the jobs that failed."""
    ended = sum(run.window.ended for run in runs)
    return sum(run.window.failed for run in runs) / ended if ended else 0.0


def throughputs(runs: Mapping[int, Sequence[Run]]) -> dict[int, float]:
    """Jobs per second by level; 0 where more jobs fail than at the lowest one.

    Nobody wants those, however many others succeed beside them.
    """
    lowest = runs[min(runs)] if runs else ()
    return {
        level: throughput(each) if not _fails_more(each, lowest) else 0.0
        for level, each in sorted(runs.items())
    }


def _fails_more(runs: Sequence[Run], others: Sequence[Run]) -> bool:
    """Whether more of the jobs fail, and that is no chance: three standard errors apart."""
    chance = math.sqrt(_variance(runs) + _variance(others))
    return failed(runs) > failed(others) + MORE_FAILURES + 3 * chance


def _variance(runs: Sequence[Run]) -> float:
    """That of the share of failed jobs."""
    share = failed(runs)
    return share * (1 - share) / max(1, sum(run.window.ended for run in runs))


def standard_error(runs: Sequence[Run]) -> float:
    """That of the throughput: from what the runs differ by, or from within, where that is more."""
    kept = trusted(runs)
    within = statistics.median(run.window.error for run in kept) / math.sqrt(len(kept))
    if len(kept) == 1:
        return within
    between = statistics.stdev(run.window.throughput for run in kept) / math.sqrt(len(kept))
    return max(within, between)


def point_of(max_jobs: int, runs: Sequence[Run]) -> Point:
    """Medians over the runs that can be trusted."""
    kept = [run.window for run in trusted(runs)]
    value, error = throughput(runs), standard_error(runs)
    handling = _median_latency([each.handling for each in kept])
    assert handling is not None  # a run without any job that ended is none
    lag = _median_latency([each.loop_lag for each in kept])
    return Point(
        max_jobs=max_jobs,
        throughput=value,
        low=max(0.0, value - 1.96 * error),
        high=value + 1.96 * error,
        runs=len(runs),
        handling=handling,
        queueing=_median_latency([run.queueing for run in runs]),
        cpu=statistics.median(each.cpu for each in kept),
        memory=min(each.memory for each in kept),
        loop_lag=lag or Latency(p50=0.0, p95=0.0, p99=0.0, count=0),
        failed=failed(runs),
        disturbed=statistics.median(each.disturbed for each in kept),
    )


def _median_latency(sketches: Sequence[Sketch]) -> Latency | None:
    found = [latency for sketch in sketches if (latency := sketch.latency())]
    if not found:
        return None
    return Latency(
        p50=statistics.median(each.p50 for each in found),
        p95=statistics.median(each.p95 for each in found),
        p99=statistics.median(each.p99 for each in found),
        count=sum(each.count for each in found),
    )
