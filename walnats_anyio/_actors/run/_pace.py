"""Letting others run: one budget for all workers of a `listen`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

import anyio
from anyio.lowlevel import checkpoint

from walnats_anyio._actors.run import _forks
from walnats_anyio._link import ParkingSpot

BUDGET = 0.001
"""Seconds that handlers which do not wait may take in a turn of the event loop, all together."""

STEP_BUDGET = 0.003
"""The same for handlers that have waited: to stand in line costs them some 5 us each."""

LIGHT = 0.00002
"""Seconds that a step may take without being counted: standing in line would cost a good part of
it, and a thousand of them fit into a turn."""


class Pace:
    """Keeps handlers from taking the event loop for themselves.

    The workers that want to go on when the budget of a turn is used up stand in a line, and in each
    further turn one of them goes on. So whoever embeds us waits for one or two handlers, however
    many workers there are.

    Handlers that have waited for something stand in a second line, before their next step: the
    event loop resumes all of them in one turn when they waited for the same. In each turn as many
    go on as the budget is good for, by what steps took before.
    """

    def __init__(self, new_spot: Callable[[], ParkingSpot]) -> None:
        self.began = monotonic()
        """When the budget that is used now began."""
        self._used: float = 0.0
        """Seconds that steps of handlers which have waited took in this turn."""
        self._average: float = 0.0
        """Seconds that one of them takes."""
        self._asked = False
        """Whether it is to be noticed that a turn is over."""
        self._line: deque[ParkingSpot] = deque()
        self._steps: deque[ParkingSpot] = deque()
        self._resting = False
        self._stopped = False
        self._new_spot = new_spot
        self._spot = new_spot()
        self._forked = _forks.mark()

    # handlers that have waited

    @property
    def is_over(self) -> bool:
        """Whether the next step of a handler is to wait for another turn, with `next_turn`."""
        return self._used > STEP_BUDGET

    def step_ended(self, took: float) -> None:
        """A step of a handler has ended, and took so many seconds."""
        if self._forked:
            _forks.end_child()
        # One that takes much longer than those before was perhaps interrupted by another process.
        took = min(took, 4 * self._average + LIGHT)
        self._average = self._average + (took - self._average) / 8
        if took < LIGHT:
            return
        self._used += took
        # To notice each turn would cost as much as a step; with half of the budget left it is soon
        # enough.
        if self._used > STEP_BUDGET / 2 and not self._asked:
            self._asked = True
            self._spot.wake()

    async def next_turn(self) -> None:
        """Wait for a turn of the event loop in which the next step fits.

        No scope cancels it: what the handler waited for has come, and would be lost.
        """
        spot = self._new_spot()
        self._steps.append(spot)
        self._spot.wake()
        try:
            await spot.wait_on()
        finally:
            if spot in self._steps:
                self._steps.remove(spot)

    # workers

    async def breathe(self) -> None:
        """Let others run, and wait for the turn to go on."""
        if self._resting or self._line:
            await self._stand_in_line()
            return
        # Nobody else waits: a checkpoint costs a fifth of standing in line.
        self._resting = True
        try:
            await checkpoint()
        finally:
            self._resting = False
            self.began = monotonic()

    async def _stand_in_line(self) -> None:
        spot = self._new_spot()
        self._line.append(spot)
        self._spot.wake()
        try:
            await spot.wait()
        except BaseException:
            if spot in self._line:
                self._line.remove(spot)
            raise

    async def let_go_on(self) -> None:
        """Let one worker, and some handlers, go on in each turn; a task of its own, until `stop`.

        It outlives the workers, as handlers that stand in line cannot be cancelled.
        """
        with anyio.CancelScope(shield=True):
            while not self._stopped:
                await self._let_some_go_on()

    def stop(self) -> None:
        """Nobody stands in line any more."""
        self._stopped = True
        self._spot.wake()

    async def _let_some_go_on(self) -> None:
        while not (self._line or self._steps or self._asked or self._stopped):
            await self._spot.wait()
        await checkpoint()
        self.began, self._used, self._asked = monotonic(), 0.0, False
        if self._line:
            self._line.popleft().wake()
        fitting = max(1, int(STEP_BUDGET / max(self._average, 1e-6)))
        for _ in range(min(fitting, len(self._steps))):
            self._steps.popleft().wake()
