"""What is to happen later, by the time that somebody else gives."""

from __future__ import annotations

import heapq
from collections.abc import Callable

SECOND = 10**9
"""All times of the engine are nanoseconds since the epoch, as in NATS."""


class Timer:
    """One call that is to happen later."""

    __slots__ = ("call", "due")

    def __init__(self, due: int, call: Callable[[], None]) -> None:
        self.due = due
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Do not call it any more."""
        self.call = None


class Timers:
    """The time, and the calls that wait for theirs."""

    def __init__(self, now: int) -> None:
        self.now = now
        """The time that was given last."""
        self._heap: list[tuple[int, int, Timer]] = []
        self._serial = 0
        self._stamped = 0

    def at(self, due: int, call: Callable[[], None]) -> Timer:
        """Have it called at a time; calls of one moment come in the order they were set."""
        timer = Timer(due, call)
        self._serial += 1
        heapq.heappush(self._heap, (due, self._serial, timer))
        return timer

    def after(self, delay: int, call: Callable[[], None]) -> Timer:
        """Have it called so many nanoseconds from now."""
        return self.at(self.now + delay, call)

    def next_due(self) -> int | None:
        """When the next call is due."""
        while self._heap and self._heap[0][2].call is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: int) -> Callable[[], None] | None:
        """The next call that is due at this time; the time moves on to that of the call."""
        due = self.next_due()
        if due is None or due > now:
            self.now = max(self.now, now)
            return None
        timer = heapq.heappop(self._heap)[2]
        self.now = max(self.now, due)
        call, timer.call = timer.call, None
        return call

    def stamp(self) -> int:
        """The time, for something that must not have the same as anything else.

        A stream that was made anew counts from 1 again, so the time tells its messages apart; and a
        mock clock may stand still meanwhile.
        """
        self._stamped = max(self.now, self._stamped + 1)
        return self._stamped
