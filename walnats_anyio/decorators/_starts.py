"""A limit in one process: as many starts in any period as it allows. Pure."""

from __future__ import annotations

from collections import deque


class RecentStarts:
    """Gives as many turns in any period, wherever it begins; see `Source`."""

    reserves = True

    def __init__(self, max_jobs: int, period: float) -> None:
        self._most = max_jobs
        self._period = period
        self._starts: deque[float] = deque()
        """When jobs started, within the last period."""

    def free(self, now: float) -> int:
        """How many jobs may start now."""
        starts = self._starts
        # Not `now - period`: it must become free at the very time that `when` gave.
        while starts and starts[0] + self._period <= now:
            starts.popleft()
        return self._most - len(starts)

    def take(self, now: float) -> None:
        """A job starts."""
        self._starts.append(now)

    def when(self, before: int, now: float) -> float:
        """When a job with so many before it may start, if each of them starts when it may."""
        free = self.free(now)
        rounds, before = divmod(before, self._most)
        first = now if before < free else self._starts[before - free] + self._period
        return first + rounds * self._period

    def ask(self, count: int, now: float) -> None:
        """There is nobody to ask."""
