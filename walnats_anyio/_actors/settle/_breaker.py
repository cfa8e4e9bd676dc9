"""Noticing that most jobs of an actor fail. Pure: no clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from walnats_anyio._actors.declare._ratio import Ratio

MARKS = 32
"""Marks within the time that counts: so exactly it is kept."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What had been counted at one moment."""

    at: float
    handled: int
    failed: int


class Breaker:
    """Counts the failures of one actor in one process, and says when there are too many.

    Successes are counted elsewhere, on a path where nothing may cost anything; here they are read.
    """

    def __init__(self, ratio: Ratio, now: float) -> None:
        self.ratio = ratio
        self._failed = 0
        self._marks = deque([Mark(now, 0, 0)])

    def failure(self, handled: int, now: float) -> bool:
        """A job has failed. True: the actor is to be paused; then it counts anew.

        Args:
            handled: jobs that have succeeded so far.
            now: the time, in seconds.
        """
        self.tick(handled, now)
        self._failed += 1
        since = self._marks[0]
        failed = self._failed - since.failed
        ended = failed + handled - since.handled
        if ended < self.ratio.jobs or failed < self.ratio.failed * ended:
            return False
        self._marks = deque([Mark(now, handled, self._failed)])
        return True

    def tick(self, handled: int, now: float) -> None:
        """Time has passed."""
        marks, within = self._marks, self.ratio.within
        if now - marks[-1].at >= within / MARKS:
            marks.append(Mark(now, handled, self._failed))
        while len(marks) > 1 and now - marks[1].at >= within:
            marks.popleft()
