"""Handlers in simulated time, whose best number of jobs is known, with and without noise."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from walnats_anyio._actors.run._auto_limit import AutoLimit

WAY = 0.0006
"""Seconds that a slot is empty between two jobs: the way to the server."""

Noise = Callable[[random.Random], float]
"""A factor for the time that a job takes; 1 on average."""


def steady(_: random.Random) -> float:
    return 1.0


def uniform(rng: random.Random) -> float:
    return rng.uniform(0.7, 1.3)


def exponential(rng: random.Random) -> float:
    return rng.expovariate(1.0)


@dataclass
class World:
    """What jobs compete for."""

    seconds: float
    """What a job takes alone."""
    places: int | None = None
    """Jobs that can be served at once, such as connections of a pool. None: any number."""
    knee: int | None = None
    """Jobs beyond which each takes longer, by the square; such as of a service."""
    noise: Noise = steady
    wanted: int = 10**9
    """Jobs there are at once: fewer than could be run, where little is to be done."""
    changes: list[tuple[float, Callable[[World], None]]] = field(default_factory=list)
    """What happens to it, and when; in order."""


class Simulation:
    """Jobs that follow one another, as many at once as a limit says."""

    def __init__(self, world: World, limit: AutoLimit | int, seed: int = 1) -> None:
        self.now = 0.0
        self.ended: list[float] = []
        """When jobs ended."""
        self.limits: list[tuple[float, int]] = []
        """When a limit was changed, and to what."""
        self._world = world
        self._limit = limit
        self._rng = random.Random(seed)
        self._numbers = count()
        self._ends: list[tuple[float, int, float]] = []
        self._line: deque[float] = deque()
        self._running = self._served = 0

    def run(self, until: float) -> Simulation:
        """Go on until then."""
        world, changes = self._world, deque(self._world.changes)
        self._start()
        while self._ends:
            if changes and changes[0][0] <= self._ends[0][0]:
                self.now, change = changes.popleft()
                change(world)
            else:
                self.now, _, began = heapq.heappop(self._ends)
                self._end(began)
            if self.now > until:
                break
            self._start()
        return self

    def throughput(self, since: float, until: float) -> float:
        """Jobs a second that ended in a span of time."""
        return sum(since < at <= until for at in self.ended) / (until - since)

    @property
    def _most(self) -> int:
        limit = self._limit if isinstance(self._limit, int) else self._limit.limit
        return min(limit, self._world.wanted)

    def _start(self) -> None:
        while self._running < self._most:
            self._running += 1
            self._line.append(self.now)
        while self._line and (self._world.places is None or self._served < self._world.places):
            self._served += 1
            heapq.heappush(self._ends, (self._end_of_one(), next(self._numbers), self._line[0]))
            self._line.popleft()

    def _end_of_one(self) -> float:
        world = self._world
        slower = 1.0 if world.knee is None else max(1.0, self._running / world.knee) ** 2
        return self.now + world.seconds * world.noise(self._rng) * slower + WAY

    def _end(self, began: float) -> None:
        self.ended.append(self.now)
        self._served -= 1
        if isinstance(self._limit, AutoLimit) and self._limit.finished(
            self.now - began, self._running, self.now
        ):
            self.limits.append((self.now, self._limit.limit))
        self._running -= 1
