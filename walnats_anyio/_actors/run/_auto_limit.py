"""Finding how many jobs of an actor should run at once, while they run. Pure: no clock, no tasks.

Theory of operation. As long as a handler has what it needs, a job takes the same time however many
others run. When they compete (for connections, for a lock, for the CPU), each takes longer, and
more jobs at once only make a longer line. So the time that jobs take says whether there are too
many of them. That is what congestion control on networks knows, and this is its rule: the window
update of FAST TCP,

    limit <- (1 - G) * limit + G * (limit * base / time + allowance)

(Wei, Jin, Low, Hegde: "FAST TCP: Motivation, Architecture, Algorithms, Performance", IEEE/ACM
Transactions on Networking 14(6), 2006). `time` is what jobs take on average now, `base` what they
take when they do not compete. `allowance` is how many may stand in line: half of the root of the
limit (a root after the library concurrency-limits of Netflix), so that a small limit can
grow, and a large one is not far above what is best.

`base` is measured, never assumed: now and then half as many jobs run for a moment (a *probe*, after
ProbeRTT of BBR: Cardwell and others, "BBR: Congestion-Based Congestion Control", ACM Queue 14(5),
2016), and when jobs suddenly take much longer, at once. If they still do with half as many, it is
not the line that is to blame but what the jobs wait for, and the limit stays. If half as many take
half the time, most of them only stand in line, and the limit is halved.

At the beginning, and when `base` has changed a lot, the limit doubles until jobs take longer (slow
start). A measurement counts only while the limit is what holds jobs back, and it takes so many jobs
that the mean of their times is known to 5 %, or two seconds.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from walnats_anyio._actors.declare._auto import Auto

GAIN = 0.5
"""G of the rule: how far one measurement moves the limit."""

ALLOWANCE = 0.5
"""Of the root of the limit: the jobs that may stand in line."""

PROBE_EVERY = 10.0
"""Seconds between probes; one costs about half of a measurement's throughput."""

DOUBT = 0.7
"""With `base / time` below this, `base` itself is doubted, and measured anew."""

TRUST = 3
"""Measurements after a probe in which there is no other."""

LINE = 0.65
"""With half as many jobs taking at most this part of the time, the others only stand in line."""

SLOWER = 0.9
"""With `base / time` below this, jobs compete: slow start is over."""

OTHER = (0.75, 1.33)
"""A `base` outside of these bounds of the last one is another state of the world: slow start."""

CALM = 15.0
"""Seconds without competition after which slow start is tried once more."""

PRECISION = 0.05
"""Relative error of a mean that is good enough."""

SHORTEST = 0.1
"""Seconds that a measurement takes at least."""

LONGEST = 2.0
"""Seconds after which a measurement is taken although it is not precise."""

FEWEST = 16
"""Jobs of a measurement at least; and each of those that run at once twice."""

SETTLE = 1.5
"""Means of a job's time that pass after a change before the next measurement begins."""

FULL = 0.5
"""Of the jobs of a measurement, the part at whose end the limit was used up."""


class Phase(enum.Enum):
    """What is being done about the limit."""

    PROBING = "probing"
    """Half as many jobs run for a moment, to see what they take."""

    GROWING = "growing"
    """It doubles with each measurement, as jobs do not compete."""

    STEERING = "steering"
    """It follows what jobs take."""


@dataclass(frozen=True)
class AutoStatistics:
    """How the number of an actor's jobs is being found, at one moment."""

    limit: int
    """Jobs that may run at once now; during a probe half of what is otherwise."""

    goal: int
    """Jobs that may run at once outside of probes."""

    phase: Phase
    """What is being done about it."""

    base: float | None
    """Seconds that a job takes when jobs do not compete; None as long as that is not known."""

    time: float | None
    """Seconds that a job took on average at the last measurement; None before the first."""

    probes: int
    """Probes so far."""

    changes: int
    """Times that the limit was changed, probes left out."""


class Sample:
    """What jobs take, from a moment on."""

    __slots__ = ("count", "full", "since", "squares", "total")

    def __init__(self, since: float) -> None:
        self.since = since
        self.count = self.full = 0
        self.total = self.squares = 0.0

    def add(self, seconds: float, *, full: bool) -> None:
        """A job took so long; `full`: the limit was used up when it ended."""
        self.count += 1
        self.total += seconds
        self.squares += seconds * seconds
        self.full += full

    @property
    def mean(self) -> float:
        return self.total / self.count

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        variance = max(0.0, self.squares / self.count - self.mean**2)
        return math.sqrt(variance / self.count)

    def is_enough(self, limit: int, now: float) -> bool:
        """Whether the mean is worth something."""
        passed = now - self.since
        if self.count < max(FEWEST, 2 * limit) or passed < SHORTEST:
            return False
        return passed >= LONGEST or self.error <= PRECISION * self.mean


class AutoLimit:
    """The number of jobs of one actor that may run at once.

    Args:
        bounds: what the declaration allows.
        most: what `listen` allows.
        now: the time, in seconds, on any clock.
    """

    def __init__(self, bounds: Auto, most: int, now: float) -> None:
        self._most = max(1, min(bounds.most, most))
        self._least = min(bounds.least, self._most)
        self._goal = float(min(bounds.start, self._most))
        self._base = math.inf
        self._base_error = 0.0
        self._time = 0.0
        self._growing = True
        self._knee = math.inf
        """The goal at which jobs began to compete."""
        self._probing = True
        self._before = 0.0
        """What jobs took before the probe."""
        self._probed_at = now
        self._competed_at = -math.inf
        self._since_probe = 0
        self._probes = self._changes = 0
        self.limit = self._half
        """Jobs that may run at once."""
        self._sample = Sample(now)

    @property
    def capped(self) -> bool:
        """Whether more jobs than are allowed would be better."""
        return self._growing and self.limit >= self._most

    def finished(self, seconds: float, running: int, now: float) -> bool:
        """A job has ended. Tells whether `limit` has changed.

        Args:
            seconds: how long it took.
            running: jobs that run, this one included.
            now: the time, on the clock of the constructor.
        """
        sample = self._sample
        if now <= sample.since:
            return False  # it began before the limit was what it is
        # A slot is empty for a moment, until the next event has come for it.
        sample.add(seconds, full=running >= self.limit - max(1, self.limit // 8))
        if not sample.is_enough(self.limit, now):
            return False
        before = self.limit
        self._measured(sample, now)
        changed = self.limit != before
        self._sample = Sample(now + (SETTLE * self._time if changed else 0.0))
        return changed

    def statistics(self) -> AutoStatistics:
        """How it is being found."""
        phase = Phase.GROWING if self._growing else Phase.STEERING
        return AutoStatistics(
            limit=self.limit,
            goal=round(self._goal),
            phase=Phase.PROBING if self._probing else phase,
            base=None if self._base == math.inf else self._base,
            time=self._time or None,
            probes=self._probes,
            changes=self._changes,
        )

    @property
    def _half(self) -> int:
        return max(self._least, round(self._goal) // 2)

    def _measured(self, sample: Sample, now: float) -> None:
        self._time, error = sample.mean, sample.error
        if self._probing:
            self._end_probe(error, now)
            return
        if sample.full < FULL * sample.count:
            return  # fewer events come than could be run: nothing is to be learnt from that
        tolerance = math.hypot(error, self._base_error)
        if self._time < self._base - 2 * tolerance or self.limit == self._least:
            # Jobs never take less time than when they do not compete.
            self._base, self._base_error = self._time, error
        # What may be noise is no reason to hold jobs back.
        ratio = self._ratio(tolerance)
        self._since_probe += 1
        if self._should_probe(ratio, now):
            self._probing, self.limit, self._before = True, self._half, self._time
        else:
            self._steer(ratio, competing=self._ratio(2 * tolerance) < SLOWER, now=now)

    def _should_probe(self, ratio: float, now: float) -> bool:
        if self._since_probe <= TRUST or self._half == self.limit:
            return False
        return ratio < DOUBT or now - self._probed_at > PROBE_EVERY

    def _end_probe(self, error: float, now: float) -> None:
        self._probing, self._probed_at, self._since_probe = False, now, 0
        self._probes += 1
        if self._time <= LINE * self._before:
            self._growing, self._competed_at = False, now
            self._goal = float(self._half)
            self._changes += 1
            if self._time < self._base:
                self._base, self._base_error = self._time, error
        else:
            last, self._base, self._base_error = self._base, self._time, error
            low, high = OTHER
            if not low * last <= self._base <= high * last:
                self._growing, self._knee = True, math.inf
        self.limit = round(self._goal)

    def _ratio(self, tolerance: float) -> float:
        return min(1.0, self._base / max(self._time - tolerance, 1e-9))

    def _steer(self, ratio: float, *, competing: bool, now: float) -> None:
        if competing:
            if self._growing:
                self._knee = self._goal
            self._growing, self._competed_at = False, now
        elif now - self._competed_at > CALM:
            self._growing, self._knee = True, math.inf
        if self._growing and 2 * self._goal <= self._knee:
            goal = 2 * self._goal
        else:
            allowance = max(0.5, ALLOWANCE * math.sqrt(self._goal))
            goal = (1 - GAIN) * self._goal + GAIN * (self._goal * ratio + allowance)
        self._goal = min(max(goal, float(self._least)), float(self._most))
        self._changes += round(self._goal) != self.limit
        self.limit = round(self._goal)
