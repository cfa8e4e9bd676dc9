"""When a worker that ended is started again, and when that is hopeless."""

from __future__ import annotations

import random
from dataclasses import dataclass

from walnats_anyio.cli._endings import ExitCode

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


class Restarts:
    """Decides about all workers."""

    def __init__(self, workers: int, max_restarts: int) -> None:
        self._max_restarts = max_restarts
        self._backoffs = {number: Backoff() for number in range(1, workers + 1)}
        self._ever_ready = self._unexplained = False

    def ready(self) -> None:
        """Note that some worker is ready."""
        self._ever_ready = True
        for backoff in self._backoffs.values():
            backoff.failures = 0

    def ended(self, restart: Restart, ready_for: float | None, *, others: bool) -> float | str:
        """Decide what comes after the end of a worker.

        Args:
            restart: the end.
            ready_for: how long the worker was ready; None when it never was.
            others: whether another worker is ready now.

        Returns:
            The seconds until its replacement, or why it is hopeless.
        """
        backoff = self._backoffs[restart.number]
        delay = backoff.ended(ready_for)
        if ready_for is not None:
            return delay
        if restart.exit_code == ExitCode.USAGE:
            return "starting it again does not help"
        # What has no exit code could not be started, which is said as well.
        explained = (ExitCode.BROKEN, ExitCode.NO_CONNECTION, None)
        self._unexplained |= restart.exit_code not in explained
        if others:
            return delay
        said = not (self._ever_ready or self._unexplained)
        if said and all(each.failures for each in self._backoffs.values()):
            return "no worker could start"
        if backoff.failures > self._max_restarts:
            return f"not ready in {backoff.failures} starts in a row"
        return delay
