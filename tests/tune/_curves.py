"""Throughputs whose best level is known, and runs that measure them with noise."""

from __future__ import annotations

import random
from collections.abc import Callable

from walnats_anyio.tune._run import Run, Sketch, Window
from walnats_anyio.tune._sweep import Sweep

Throughput = Callable[[int], float]

WAY = 0.0006
"""Seconds that a slot is empty between two jobs of 20 milliseconds: the way to the server."""

JOB = 0.02


def sleep(n: int) -> float:
    return n / (JOB + WAY)


def lock(n: int) -> float:
    return min(n / (JOB + WAY), 1 / JOB)


def pool(n: int) -> float:
    return min(n / (JOB + WAY), 10 / JOB)


def service(n: int) -> float:
    return n / (JOB * max(1.0, n / 30) ** 2 + WAY)


BEST: dict[Throughput, int] = {sleep: 64, lock: 1, pool: 10, service: 30}
"""The best level of each, of up to 64."""


def run_of(throughput: float, *, disturbed: float = 0.0, failed: int = 0) -> Run:
    """A run that measured so many jobs per second."""
    times = Sketch.of([JOB] * 10)
    return Run(
        window=Window(
            seconds=1.0,
            throughput=throughput,
            error=0.005 * throughput,
            ended=100,
            failed=failed,
            failure=None,
            handling=times,
            cpu=0.1,
            memory=50_000_000,
            loop_lag=Sketch.of([0.0001] * 10),
            busy=0.1,
            disturbed=disturbed,
        ),
        queueing=times,
    )


def swept(sweep: Sweep, curve: Throughput, noise: float, seed: int) -> int:
    """Measure what the sweep asks for until it asks no more; gives how many runs that took."""
    chance = random.Random(seed)
    count = 0
    while levels := sweep.next_round():
        for level in levels:
            sweep.add(level, run_of(curve(level) * chance.gauss(1, noise)))
            count += 1
            assert count < 200, "it never ends"
    return count
