"""Which level to recommend, from throughputs alone: pure functions.

A level is good enough when no higher one is worth having: not one with 7 % more throughput, and not
one of at least twice the jobs with 15 % more; in between the price rises with the jobs. The lowest
such level is recommended. A plain share of the peak would do neither for a handler that needs one
job at a time (two jobs hide the way to the server and back, and so gain some per cent) nor for a
pool of ten connections (whose ninth brings 10 %).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

LITTLE = 0.07
"""Gain that is never worth more jobs."""

DOUBLED = 0.15
"""Gain that is not worth twice the jobs, or more."""

AT_PEAK = 0.03
"""How close to the highest throughput counts as having reached it."""

STILL_RISING = 0.9
"""From this share of the highest level on, the highest level is meant."""

Throughputs = Mapping[int, float]
"""Jobs per second by level."""


def recommended(throughputs: Throughputs, noise: float = 0.0) -> int:
    """The lowest level that is good enough.

    Args:
        throughputs: jobs per second by level.
        noise: by how much they are uncertain, as a share; a smaller difference counts for nothing.
    """
    levels = sorted(throughputs)
    for level in levels:
        if all(
            throughputs[other] <= throughputs[level] * _allowed(other / level) * (1 + noise)
            for other in levels
            if other > level
        ):
            return _top_if_near(level, throughputs)
    return levels[-1]


def _allowed(jobs: float) -> float:
    """How much more throughput so many times the jobs may bring without being worth them."""
    price = math.pow(1 + DOUBLED, min(1.0, math.log2(jobs)))
    return max(1 + LITTLE, price)


def _top_if_near(level: int, throughputs: Throughputs) -> int:
    # Where the throughput rises to the end, a few jobs less are no result, but the noise of one.
    top = max(throughputs)
    rises = level > STILL_RISING * top and throughputs[top] >= throughputs[level]
    return top if rises else level


def peak(throughputs: Throughputs, noise: float = 0.0) -> int:
    """The lowest level with the highest throughput, or one that cannot be told from it."""
    best = max(throughputs.values())
    enough = best * (1 - max(AT_PEAK, noise))
    lowest = min(level for level, value in throughputs.items() if value >= enough)
    return _top_if_near(lowest, throughputs)


def knee(throughputs: Throughputs) -> int:
    """The level of the highest power: throughput over time in the system, which is N / X."""
    return max(sorted(throughputs), key=lambda level: throughputs[level] ** 2 / level)


def gap_below(throughputs: Throughputs, level: int) -> int | None:
    """The next lower level that was measured; None if there is none."""
    return max((other for other in throughputs if other < level), default=None)


def gap_above(throughputs: Throughputs, level: int) -> int | None:
    """The next higher level that was measured; None if there is none."""
    return min((other for other in throughputs if other > level), default=None)
