"""When a worker that ended is started again, and when that is hopeless."""

from __future__ import annotations

import random
from dataclasses import dataclass

FIRST_DELAY = 0.5
"""Seconds until the first replacement at most, doubled by every further one."""

LONGEST_DELAY = 30.0
"""Seconds until any replacement at most."""

STEADY_AFTER = 60.0
"""Seconds that a worker has to be ready for its end to be the first one again."""


@dataclass
class Backoff:
    """The ends of one worker and its replacements, in a row."""

    ends: int = 0
    """How many there were, none of them after a long life."""

    failures: int = 0
    """How many there were since any worker was ready."""

    def ended(self, ready_for: float | None) -> float:
        """Note an end, and give the seconds until the replacement.

        Args:
            ready_for: how long the worker was ready; None when it never was.
        """
        if ready_for is None:
            self.failures += 1
        elif ready_for >= STEADY_AFTER:
            self.ends = 0
        # No power of two that is far beyond the longest delay.
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(self.ends, 16))
        self.ends += 1
        # Workers that end together do not come back together.
        return longest * random.uniform(0.5, 1.0)


@dataclass(frozen=True)
class Restart:
    """A worker that ended unasked, and that another one takes the place of."""

    number: int
    """Which one, from 1."""

    pid: int | None
    """Its process id; None when it could not be started."""

    exit_code: int | None
    """Its exit code; below 0 when a signal killed it. None when it could not be started."""

    signal: str | None
    """The name of that signal."""

    reason: str
    """What a person is told."""

    at: str
    """When it ended, in UTC."""
