"""What was measured: raw figures, and what is worked out from them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from benchmarks._benchmarks import Bar, Benchmark, Metric
from benchmarks._candidates import before_name
from benchmarks.workers._job import Figures, Job


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one candidate."""

    round: int
    """Number of the round, from 1."""

    candidate: str
    """Name of the candidate."""

    figures: Figures = {}
    """What it measured; empty when it failed."""

    error: str | None = None
    """Why it failed; None when it did not."""


class BenchmarkResult(msgspec.Struct, frozen=True, kw_only=True):
    """Every run of one benchmark."""

    name: str
    """Name of the benchmark."""

    jobs: dict[str, Job]
    """The exact settings each candidate ran with."""

    runs: list[Run]
    """Every run, in the order in which they happened."""

    not_installed: list[str]
    """Candidates left out because their packages are missing."""

    def candidates(self) -> list[str]:
        """Names of the candidates that ran, in the order of their declaration."""
        return list(self.jobs)

    def errors(self) -> list[Run]:
        """Runs that failed."""
        return [run for run in self.runs if run.error is not None]

    def by_round(self, candidate: str, metric: str) -> dict[int, float]:
        """A candidate's figure in each round it finished."""
        return {
            run.round: run.figures[metric]
            for run in self.runs
            if run.candidate == candidate and metric in run.figures
        }

    def spread(self, candidate: str, metric: str) -> Spread | None:
        """A candidate's figure over all rounds; None if it never finished one."""
        return Spread.over(self.by_round(candidate, metric).values())

    def ratio(self, candidate: str, against: str, metric: str) -> Spread | None:
        """One candidate's figure divided by another's, each pair from the same round."""
        above = self.by_round(candidate, metric)
        below = self.by_round(against, metric)
        return Spread.over(above[n] / below[n] for n in above.keys() & below.keys() if below[n])


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one call of the harness found out."""

    command: str
    """How it was called."""

    started: str
    """When, as an ISO date and time in UTC."""

    machine: dict[str, str]
    """Processor, cores, memory, system."""

    versions: dict[str, str]
    """Of Python, of the server, and of every library that takes part."""

    benchmarks: list[BenchmarkResult] = []
    """In the order in which they ran."""


@dataclass(frozen=True)
class Spread:
    """Some figures of the same thing, summed up."""

    median: float
    """The middle one."""

    low: float
    """The lowest one."""

    high: float
    """The highest one."""

    @classmethod
    def over(cls, values: Iterable[float]) -> Spread | None:
        """Sum up values; None if there are none."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found)) if found else None


@dataclass(frozen=True)
class Verdict:
    """What became of one bar."""

    bar: Bar
    """The bar."""

    rival: str | None
    """The best of those the bar is against; None where the bar is a figure."""

    reached: Spread
    """The figure, or the ratio where the bar is one."""

    passed: bool
    """Whether the median is on the right side."""


def judge(benchmark: Benchmark, result: BenchmarkResult) -> list[Verdict]:
    """Compare a result with the bars of its benchmark; bars nobody ran for are left out."""
    verdicts = []
    for bar in benchmark.bars:
        rival = best_of(result, bar.against, benchmark.metric(bar.metric))
        if rival is not None:
            reached = result.ratio(bar.candidate, rival, bar.metric)
        else:
            reached = None if bar.against else result.spread(bar.candidate, bar.metric)
        if reached is not None:
            high_enough = bar.at_least is None or reached.median >= bar.at_least
            low_enough = bar.at_most is None or reached.median <= bar.at_most
            verdicts.append(Verdict(bar, rival, reached, high_enough and low_enough))
    return verdicts


def best_peer(benchmark: Benchmark, result: BenchmarkResult) -> str | None:
    """The peer with the best median of the first metric; None if no peer finished a round."""
    peers = tuple(c.name for c in benchmark.candidates if c.role == "peer")
    return best_of(result, peers, benchmark.metrics[0])


def best_of(result: BenchmarkResult, names: tuple[str, ...], metric: Metric) -> str | None:
    """The one of these candidates with the best median of the metric."""
    medians = {name: s.median for name in names if (s := result.spread(name, metric.key))}
    pick = max if metric.more_is_better else min
    return pick(medians, key=medians.__getitem__) if medians else None


def beside_before(
    benchmark: Benchmark, result: BenchmarkResult, candidate: str
) -> dict[str, Spread]:
    """A candidate's figures divided by those of the other checkout, by key of the metric."""
    other = before_name(candidate)
    if other == candidate:  # a peer
        return {}
    found = {m.key: result.ratio(candidate, other, m.key) for m in benchmark.metrics}
    return {key: spread for key, spread in found.items() if spread}
