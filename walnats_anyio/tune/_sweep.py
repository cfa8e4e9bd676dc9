"""Which levels to measure next, from what is known: pure, so that it is tested without any clock.

The first round has every level of the grid. Each further one has new levels where the decision
falls, between a level that is good enough and the next lower one, and those that were not measured
often enough. A round is in random order, so that a machine that gets slower does not look like
handlers that do.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence

from walnats_anyio.tune import _choice
from walnats_anyio.tune._run import Run, throughputs, trusted

REPEATS = 2
"""Runs of each level that can be trusted."""

CLOSE = 3
"""Runs of the levels between which the decision falls."""

MOST_RUNS = 5
"""Runs of one level, whatever disturbs them."""

RESOLUTION = 0.10
"""How close the next lower level must be to the recommended one, as a share of it."""

MOST_NOISE = 0.04
"""However much the runs differ, a larger difference of levels counts."""

RANGE_OF_SIGMA = 1.4
"""The range of two or three normal values, in standard deviations."""

FALLS = 0.97
"""Below this share of the peak the throughput falls, and does not only stay."""


def grid(top: int) -> tuple[int, ...]:
    """The levels of the first round: powers of two, and the highest level."""
    levels = [1]
    while levels[-1] * 2 < top:
        levels.append(levels[-1] * 2)
    if top > 1:
        # Two levels side by side at the end would cost a run and say nothing.
        if levels[-1] > 0.75 * top and len(levels) > 1:
            levels.pop()
        levels.append(top)
    return tuple(levels)


class Sweep:
    """The levels of one setting, and their runs.

    Args:
        levels: those of the first round.
        refine: whether levels in between may be added.
        seed: of the order.
    """

    def __init__(self, levels: Sequence[int], *, refine: bool = True, seed: int = 0) -> None:
        self._levels = sorted(set(levels))
        self._refine = refine
        self._random = random.Random(seed)
        self._asked = False
        self._hopeless: set[int] = set()
        self.runs: dict[int, list[Run]] = {}
        """What was measured, by level."""

    @property
    def begun(self) -> bool:
        """Whether each level of the first round has been measured, or given up."""
        return set(self._levels) <= self.runs.keys() | self._hopeless

    def add(self, level: int, run: Run) -> None:
        """Add a run."""
        self.runs.setdefault(level, []).append(run)

    def give_up(self, level: int) -> None:
        """Never measure the level again: its process died, or did not answer."""
        self._hopeless.add(level)

    def next_round(self) -> list[int]:
        """The levels to measure next, in order; none when all is known."""
        if not self._asked:
            self._asked = True
            levels = list(self._levels)
        elif not self.runs:
            levels = []
        else:
            levels = self._next()
        levels = [level for level in levels if level not in self._hopeless]
        self._random.shuffle(levels)
        return levels

    def undecided(self) -> list[int]:
        """The levels that decide and were measured once only, in random order."""
        close = self._close(self.throughputs(), self.noise())
        levels = [level for level in close if self._missing(level, REPEATS)]
        self._random.shuffle(levels)
        return levels

    def _next(self) -> list[int]:
        values, noise = self.throughputs(), self.noise()
        new = self._between(values, noise) if self._refine else set[int]()
        close = self._close(values, noise)
        if new:  # first where it falls: time may be short
            wanted = dict.fromkeys(close, REPEATS)
        else:
            wanted = dict.fromkeys([*self.runs, *self._levels], REPEATS)
            wanted |= dict.fromkeys(close, CLOSE)
        again = {level for level, count in wanted.items() if self._missing(level, count)}
        return sorted(new | again)

    def _missing(self, level: int, count: int) -> bool:
        runs = self.runs.get(level, [])
        if not runs:
            return True
        return len(trusted(runs)) < count and len(runs) < MOST_RUNS

    def _close(self, values: Mapping[int, float], noise: float) -> list[int]:
        level = _choice.recommended(values, noise)
        below = _choice.gap_below(values, level)
        peak = _choice.peak(values, noise)
        return list({each for each in (level, below, peak) if each is not None})

    def _between(self, values: Mapping[int, float], noise: float) -> set[int]:
        level, peak = _choice.recommended(values, noise), _choice.peak(values, noise)
        gaps = [(_choice.gap_below(values, each), each) for each in {level, peak}]
        above = _choice.gap_above(values, peak)
        if above is not None and values[above] < FALLS * values[peak]:
            gaps.append((peak, above))
        found: set[int] = set()
        for low, high in gaps:
            if low is not None and high - low > max(1, RESOLUTION * high):
                found |= _inside(low, high)
        return found - self.runs.keys() - self._hopeless

    def throughputs(self) -> dict[int, float]:
        """Jobs per second by level."""
        return throughputs(self.runs)

    def noise(self) -> float:
        """By how much runs of one level differ, as a share: a standard deviation."""
        ranges: list[float] = []
        for runs in self.runs.values():
            values = [run.window.throughput for run in trusted(runs)]
            if len(values) > 1 and statistics.median(values) > 0:
                ranges.append((max(values) - min(values)) / statistics.median(values))
        sigma = statistics.median(ranges) / RANGE_OF_SIGMA if ranges else 0.0
        return min(MOST_NOISE, sigma)


def _inside(low: int, high: int) -> set[int]:
    """One level in the middle of two, or two of them where they are far apart."""
    ratio = high / low
    if ratio > 1.5:
        levels = {round(low * ratio ** (1 / 3)), round(low * ratio ** (2 / 3))}
    else:
        levels = {(low + high) // 2}
    return {level for level in levels if low < level < high}
