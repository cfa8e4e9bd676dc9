"""How much the actors of one `listen` may ask for, as they share the jobs at once."""

from __future__ import annotations

from collections.abc import Callable


class RequestBudget:
    """What all actors together hold and have asked for."""

    def __init__(self, max_jobs: int) -> None:
        self.total = max_jobs
        """Jobs at once, over all actors."""
        self.held = 0
        """Deliveries that all actors together hold, waiting or running."""
        self.extra = 0
        """Events that the actors have asked for, the first one of each not counted."""
        self.starved: dict[int, Callable[[], None]] = {}
        """What those ask with for whom there was no room."""

    @property
    def room(self) -> int:
        """How many more deliveries can be held, so that each has a worker at once."""
        return self.total - self.held

    def feed(self) -> None:
        """An actor is done with a delivery: let those ask that could not."""
        if self.held < self.total:
            # All of them, as nobody knows which one has events at the server.
            starved, self.starved = self.starved, {}
            for request in starved.values():
                request()

    def call_later(self, share: Share, request: Callable[[], None]) -> None:
        """Call `request` when there is room again."""
        self.starved[id(share)] = request

    def withdraw(self, share: Share) -> None:
        """The actor asks for nothing more."""
        self.starved.pop(id(share), None)


class Share:
    """How much one actor may ask for.

    An actor that waits for its first event asks for that one only, or the actors would take all
    that each of them can run, for workers that they share. One with events coming asks for what the
    others leave. And each may always have one delivery that waits, or it could not compete.

    An actor of higher priority than another one is *ahead*: it asks for as many as it can run,
    whatever the others hold, so that its events are here when a job ends.

    Args:
        budget: what is shared.
        alone: there is no other actor.
        ahead: there is one of lower priority.
        eager: ask for all that can be run, from the beginning.
    """

    def __init__(
        self, budget: RequestBudget, *, alone: bool, ahead: bool = False, eager: bool = False
    ) -> None:
        self.busy = eager or ahead
        """Whether events are coming."""
        self._budget = budget
        self._free = alone or ahead
        self._eager = eager
        self._extra = 0

    def most(self, held: int) -> int | None:
        """The most to ask for altogether; None for no limit.

        Args:
            held: deliveries that the actor holds, waiting or running.
        """
        if self._free:
            return None
        room = self._budget.room
        if room <= 0:
            return 0 if held else 1
        return max(1, room - self._budget.extra + self._extra) if self.busy else 1

    def asked(self, count: int) -> None:
        """So much is asked for now."""
        extra = max(0, count - 1)
        self._budget.extra += extra - self._extra
        self._extra = extra

    def rest(self) -> None:
        """No event came for a whole request."""
        self.busy = self._eager
