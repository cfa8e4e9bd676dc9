"""What was measured, and what follows from it: plain values, which are also the JSON."""

from __future__ import annotations

import msgspec


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of a time, in seconds."""

    p50: float
    """Half of the times are at most this."""

    p95: float
    """19 of 20 are."""

    p99: float
    """99 of 100 are."""

    count: int
    """How many times were measured."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured at one level: medians over its runs."""

    max_jobs: int
    """Jobs that might run at once, in each process."""

    throughput: float
    """Jobs that ended per second, over all processes."""

    low: float
    """Lower end of the 95 % confidence interval of the throughput."""

    high: float
    """Upper end of it."""

    runs: int
    """How many times the level was measured."""

    handling: Latency
    """From the start of the handler to its end, with all slots busy."""

    queueing: Latency | None = None
    """From the emit to the start of the handler, with events coming at 80 % of the throughput.

    They come at random times, as from many independent clients. None: too few came.
    """

    cpu: float
    """Cores that the processes kept busy, child processes included: 1.0 is one core."""

    memory: int
    """Resident memory of the processes in bytes, the smallest of the runs."""

    loop_lag: Latency
    """How late the event loop was for a task that wakes up every 5 milliseconds."""

    failed: float
    """Share of the jobs that raised or took too long: 0.0 to 1.0."""

    disturbed: float
    """Share of the time that the process waited for a core which others used; 0.0 if unknown."""


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """The fitted law at one level, with its 95 % confidence band."""

    max_jobs: int
    """The level."""

    throughput: float
    """Jobs per second by the law."""

    low: float
    """Lower end of the band."""

    high: float
    """Upper end of it."""


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """The Universal Scalability Law, fitted to the points.

    X(N) = a * N / (1 + s * (N - 1) + k * N * (N - 1))
    """

    a: float
    """Jobs per second of a single job slot."""

    s: float
    """Contention: the share of the work that is done one at a time."""

    k: float
    """Coherency: what each pair of jobs costs; above 0 the throughput falls in the end."""

    a_error: float
    """Standard error of `a`."""

    s_error: float
    """Standard error of `s`."""

    k_error: float
    """Standard error of `k`."""

    residual: float
    """Root mean square of the points' distances from the law, as a share of the law."""

    good: bool
    """Whether the law describes the points. Where it does not, nothing is concluded from it."""

    peak: float | None
    """The level with the highest throughput, sqrt((1 - s) / k). None: it rises without an end."""

    peak_low: float | None
    """Lower end of the 95 % confidence interval of `peak`."""

    peak_high: float | None
    """Upper end of it. None: there may be no peak."""

    band: tuple[Band, ...]
    """The law at the levels measured and in between."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Everything but `max_jobs` that may be varied."""

    backend: str = "asyncio"
    """The event loop: `asyncio` or `trio`."""

    uvloop: bool = False
    """Whether asyncio runs on uvloop."""

    workers: int = 1
    """Processes that run the actor at the same time."""

    batch: int | None = None
    """The most events that one request asks for; None: as many as there are free slots."""

    def __str__(self) -> str:
        parts = [self.backend + (" with uvloop" if self.uvloop else "")]
        if self.workers > 1:
            parts.append(f"{self.workers} workers")
        if self.batch is not None:
            parts.append(f"batch {self.batch}")
        return ", ".join(parts)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What is going on; `tune` calls a function with it."""

    setting: Setting
    """The setting that is measured."""

    max_jobs: int
    """The level that is measured."""

    runs: int
    """Runs that are over."""

    seconds: float
    """How long it has taken so far."""

    budget: float
    """How long it may take."""

    throughput: float | None
    """Jobs per second of the run that is over now; None: a run begins."""


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """The throughput over `max_jobs` in one setting, and what follows from it."""

    setting: Setting
    """What the curve was measured with."""

    recommended_max_jobs: int
    """The fewest jobs at once from which nothing worth having is to be gained."""

    peak_max_jobs: int
    """The fewest jobs at once that reach the highest throughput among the levels offered."""

    knee_max_jobs: int
    """Where throughput divided by time in the system is highest (Kleinrock's power)."""

    advice: str
    """The recommendation in one sentence."""

    points: tuple[Point, ...]
    """What was measured, by `max_jobs`."""

    fit: Fit | None
    """The law. None: there are fewer than four levels to fit it to."""

    def point(self, max_jobs: int) -> Point:
        """The point of that level, or the nearest one."""
        return min(self.points, key=lambda point: abs(point.max_jobs - max_jobs))


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """What `tune` found out."""

    actor: str
    """Name of the actor."""

    event: str
    """Name of its event."""

    recommended_max_jobs: int
    """That of the best setting; see `Curve`."""

    peak_max_jobs: int
    """That of the best setting; see `Curve`."""

    knee_max_jobs: int
    """That of the best setting; see `Curve`."""

    advice: str
    """The recommendation in one sentence, which names the best setting where there are several."""

    setting: Setting
    """The setting with the highest throughput at its recommendation."""

    points: tuple[Point, ...]
    """The points of that setting."""

    fit: Fit | None
    """The law of that setting."""

    curves: tuple[Curve, ...]
    """All settings."""

    complete: bool
    """Whether all was measured; False where the time or the patience ran out before."""

    seconds: float
    """How long it took."""

    machine: dict[str, str]
    """Processor, cores, memory, system."""

    def curve(self) -> Curve:
        """The curve of the best setting."""
        [found] = [curve for curve in self.curves if curve.setting == self.setting]
        return found
