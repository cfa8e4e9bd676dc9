"""Letting others run: one budget for all workers of a `listen`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

from anyio.lowlevel import checkpoint

from walnats_anyio._link import ParkingSpot

BUDGET = 0.001
"""Seconds that handlers which never wait may take in a turn of the event loop, all together."""


class Pace:
    """Keeps handlers from taking the event loop for themselves.

    The workers that want to go on when the budget of a turn is used up stand in a line, and in each
    further turn one of them goes on. So whoever embeds us waits for one or two handlers, however
    many workers there are.
    """

    def __init__(self, new_spot: Callable[[], ParkingSpot]) -> None:
        self.began = monotonic()
        """When the budget that is used now began."""
        self._line: deque[ParkingSpot] = deque()
        self._resting = False
        self._new_spot = new_spot
        self._spot = new_spot()

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
        """Let one worker go on in each turn, until cancelled; a task of its own."""
        while True:
            while not self._line:
                await self._spot.wait()
            await checkpoint()
            if self._line:
                self.began = monotonic()
                self._line.popleft().wake()
