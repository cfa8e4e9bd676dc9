"""A limit over all processes: turns out of windows of the server's time, counted on the server.

Theory of operation. Time is cut into windows of one period, by the clock of the server, and each
window has as many turns as the limit allows. A process takes as many at once as it has jobs that
wait, and at least a hundredth of the limit, in one request at a time; the answer says how many of
them it has got. What is not used by the end of the window is gone. When a window is used up, nobody
asks again before the next one begins.

The server's time is the clock of the event loop and an offset, which is measured when the stream of
the counts is looked at, once a minute. What it is off by more than a hundredth of the time since
then is no drift: one of the clocks was set, or this machine slept, and the offset is the new one at
once. Unless the event loop has a mock clock, whose hours take no time at the server: then it moves
by that hundredth at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import floor, inf

RESYNC_AFTER = 60.0
"""Seconds after which the server's time is asked for again."""

SLEW = 0.01
"""Seconds by which the offset of a mock clock moves at most, for each second since it was measured;
and by which two clocks may run apart that both run."""

BLOCKS = 100
"""Into how many blocks a window is divided; a process takes at least one at once. So a high limit
needs few requests, and each process leaves at most a hundredth of it unused."""

REMEMBERED = 8
"""Windows whose share is remembered. The best one counts: an event that comes back too early is
snoozed once more, and one that comes too late leaves a turn unused."""

TROUBLE_FOR = 5.0
"""Seconds until the server is asked again after it could not be."""


class ServerTime:
    """The server's time, told by the clock of the event loop."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._measured_at: float | None = None
        self._measured_at_real = 0.0

    def is_stale(self, now: float) -> bool:
        """Whether it is to be measured."""
        return self._measured_at is None or now - self._measured_at >= RESYNC_AFTER

    def measured(self, server: float, now: float, real: float) -> None:
        """The server's time was this.

        Args:
            server: seconds since the epoch.
            now: the clock of the event loop.
            real: a clock that no test has in hand, in seconds since whenever.
        """
        offset = server - now
        if self._measured_at is not None:
            passed = now - self._measured_at
            is_mocked = abs(passed - (real - self._measured_at_real)) > 1 + SLEW * passed
            if is_mocked:
                most = SLEW * passed
                offset = self._offset + min(max(offset - self._offset, -most), most)
        self._offset = offset
        self._measured_at, self._measured_at_real = now, real

    def keep(self, now: float, real: float) -> None:
        """It could not be measured: go on with what is known."""
        self._measured_at, self._measured_at_real = now, real

    def at(self, now: float) -> float:
        """The server's time at a time of the event loop."""
        return now + self._offset

    def local(self, server: float) -> float:
        """The time of the event loop at a time of the server."""
        return server - self._offset


class Windows:
    """Gives the turns that this process takes out of the windows; see `Source`.

    Args:
        max_jobs: turns in each window.
        period: seconds of a window.
        request: asks the server for so many turns of a window. Never blocks; later `granted` or
            `failed` is called.
    """

    reserves = False

    def __init__(
        self,
        max_jobs: int,
        period: float,
        request: Callable[[int, int], None],
    ) -> None:
        self.time = ServerTime()
        self._most = max_jobs
        self._period = period
        self._request = request
        self._window = -1
        """The window that the turns here belong to."""
        self._turns = 0
        self._got = 0
        """Turns of the window that this process has got so far."""
        self._used_up = False
        self._shares: deque[int] = deque([max_jobs], maxlen=REMEMBERED)
        """Turns that this process could get of each of the last windows in which it asked."""
        self._is_asking = False
        self._has_asked = False
        """Whether it has asked for turns of the window."""
        self._trouble_until = -inf

    def is_in_trouble(self, now: float) -> bool:
        """Whether the server could not be asked a moment ago."""
        return now < self._trouble_until

    def free(self, now: float) -> int:
        """How many jobs may start now."""
        self._enter(now)
        return self._turns

    def take(self, now: float) -> None:
        """A job starts."""
        self._turns -= 1

    def when(self, before: int, now: float) -> float:
        """When a job with so many before it may start; not later than now: soon."""
        self._enter(now)
        if self.is_in_trouble(now):
            return self._trouble_until
        if not self._used_up:
            # Nobody knows what others take; at best this window has a turn for it.
            return now + before // self._most * self._period
        return self._begins(self._window + 1) + before // max(self._shares) * self._period

    def ask(self, count: int, now: float) -> None:
        """So many jobs wait here: ask for as many turns, unless that is being done."""
        self._enter(now)
        if self._is_asking or self._used_up or self.is_in_trouble(now):
            return
        wanted = min(max(count, self._most // BLOCKS), self._most) - self._turns
        if count <= self._turns or wanted < 1:
            return
        self._is_asking = self._has_asked = True
        self._request(self._window, wanted)

    def granted(self, window: int, turns: int, is_used_up: bool, now: float) -> None:
        """The server has answered."""
        self._is_asking = False
        self._enter(now)
        if window == self._window:
            self._turns += turns
            self._got += turns
            self._used_up |= is_used_up

    def failed(self, now: float, again_after: float = TROUBLE_FOR) -> None:
        """The server could not be asked."""
        self._is_asking = False
        self._trouble_until = now + again_after

    def _enter(self, now: float) -> None:
        window = floor(self.time.at(now) / self._period)
        # Not back by one: the time may be corrected by a little. By more, the clock was set back.
        if window > self._window or window < self._window - 1:
            if self._has_asked:
                # Of one that was not used up it could have had all.
                self._shares.append(max(1, self._got) if self._used_up else self._most)
            self._window = window
            self._has_asked = False
            self._turns = self._got = 0
            self._used_up = False

    def _begins(self, window: int) -> float:
        # A little later, as seconds since the epoch have no exact multiples.
        return self.time.local(window * self._period) + 0.001
