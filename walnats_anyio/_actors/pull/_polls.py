"""Whose turn it is to have a pull request outstanding, where `max_polls` limits them."""

from __future__ import annotations

from typing import Protocol


class Poller(Protocol):
    """An actor that asks for events."""

    def request(self) -> None:
        """Ask, as it is its turn now."""
        ...


class Polls:
    """Turns, first come first served. An actor has its turn until nothing it asked for is open."""

    def __init__(self, max_polls: int | None) -> None:
        self._free = max_polls
        self._having: set[int] = set()
        self._queue: dict[int, Poller] = {}

    def take(self, poller: Poller) -> bool:
        """Whether the poller may ask now; if not, it is called when it is its turn."""
        if self._free is None or id(poller) in self._having:
            return True
        if self._free > 0:
            self._free -= 1
            self._having.add(id(poller))
            return True
        self._queue[id(poller)] = poller
        return False

    def give_back(self, poller: Poller) -> None:
        """The poller has nothing outstanding any more."""
        if self._free is None or id(poller) not in self._having:
            return
        self._having.discard(id(poller))
        self._free += 1
        self._next()

    def withdraw(self, poller: Poller) -> None:
        """The poller will not ask again."""
        self._queue.pop(id(poller), None)
        self.give_back(poller)

    def _next(self) -> None:
        # Somebody called may not want to ask any more, so go on until the turns are taken.
        while self._queue and self._free:
            poller = self._queue.pop(next(iter(self._queue)))
            poller.request()
