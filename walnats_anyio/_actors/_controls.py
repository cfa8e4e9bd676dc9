"""What a program has asked for the actors of one connection: pauses, and other numbers of jobs.

It is kept from one run of `listen` to the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from walnats_anyio._actors._actor_run import ActorRun
from walnats_anyio._actors.declare._actor import Actor

Key = tuple[str, str]
"""The names of event and actor."""


def key_of(actor: Actor[Any, Any]) -> Key:
    """What identifies an actor of one connection."""
    return actor.event.name, actor.name


class Controls:
    """Pauses and limits of the actors of one connection, in this process."""

    def __init__(self) -> None:
        self._pauses: dict[Key, float] = {}
        """When they end, on the clock of the event loop."""
        self._limits: dict[Key, int] = {}

    def pause(self, actors: Iterable[Actor[Any, Any]], until: float) -> None:
        """Pause actors until then; `math.inf` is until `resume`."""
        for actor in actors:
            self._pauses[key_of(actor)] = until

    def prolong(self, actor: Actor[Any, Any], until: float) -> None:
        """Pause an actor at least until then: what a program has asked for may be longer."""
        key = key_of(actor)
        self._pauses[key] = max(until, self._pauses.get(key, until))

    def resume(self, actors: Iterable[Actor[Any, Any]]) -> None:
        """End their pauses."""
        for actor in actors:
            self._pauses.pop(key_of(actor), None)

    def limit(self, actors: Iterable[Actor[Any, Any]], max_jobs: int | None) -> None:
        """Have so many jobs of each run at once; None: what it declares."""
        for actor in actors:
            if max_jobs is None:
                self._limits.pop(key_of(actor), None)
            else:
                self._limits[key_of(actor)] = max_jobs

    def next_end(self) -> float:
        """When the next pause ends."""
        return min(self._pauses.values(), default=math.inf)

    def apply(self, runs: Iterable[ActorRun], now: float) -> None:
        """Make the actors that run what was asked for."""
        for key in [key for key, until in self._pauses.items() if until <= now]:
            del self._pauses[key]
        for run in runs:
            key = key_of(run.actor)
            if key in self._pauses:
                run.pause()
            elif run.paused:
                run.resume()
            if run.asked_limit != (asked := self._limits.get(key)):
                run.limit_to(asked)
