"""Deliveries that wait until there are enough of them, or long enough. Pure: no tasks here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from walnats_anyio._actors.settle import Delivery, DeliveryBatch


class BatchQueue:
    """What waits for the workers of an actor that handles batches; see `Waiting`.

    It is true while a batch is ready: while one of `size` is there, or the oldest has waited for
    `wait` seconds, or nothing more will come, or something is to be handled alone. A batch is put
    together when a worker takes it, so it grows while no worker is free.

    Args:
        size: the most deliveries of a batch.
        wait: seconds that the first one waits at most.
        clock: the clock of that.
        changed: called when another delivery is the oldest one.
    """

    def __init__(
        self, size: int, wait: float, clock: Callable[[], float], changed: Callable[[], None]
    ) -> None:
        self.is_last = False
        """Whether nothing more will come, so that nothing is waited for."""
        self.alone: deque[Delivery] = deque()
        """Those to be handled alone. They go first, as they are older than the others, mostly."""
        self._together: deque[Delivery] = deque()
        self._came: deque[float] = deque()
        self._size = size
        self._wait = wait
        self._clock = clock
        self._changed = changed

    def __len__(self) -> int:
        return len(self.alone) + len(self._together)

    def __bool__(self) -> bool:
        if self.alone or len(self._together) >= self._size:
            return True
        due = self.due
        return due is not None and (self.is_last or self._clock() >= due)

    @property
    def due(self) -> float | None:
        """When the oldest one has waited long enough; None where none waits for others."""
        return self._came[0] + self._wait if self._came else None

    def append(self, delivery: Delivery, /) -> None:
        """Have a delivery wait: one that was delivered before alone, until more is known of it."""
        if delivery.redelivered:
            self.alone.append(delivery)
            return
        self._together.append(delivery)
        self._came.append(self._clock())
        if len(self._together) == 1:
            self._changed()

    def __contains__(self, delivery: object, /) -> bool:
        return delivery in self.alone or delivery in self._together

    def remove(self, delivery: Delivery, /) -> None:
        """Have a delivery wait no more."""
        if delivery in self.alone:
            self.alone.remove(delivery)
            return
        at = self._together.index(delivery)
        del self._together[at], self._came[at]
        if not at:
            self._changed()

    def popleft(self) -> Delivery:
        """Take what is to be handled next: one delivery, or several as a `DeliveryBatch`."""
        if self.alone:
            return self.alone.popleft()
        together, came = self._together, self._came
        members: list[Delivery] = []
        while together and len(members) < self._size:
            members.append(together.popleft())
            came.popleft()
        if together:
            self._changed()
        return members[0] if len(members) == 1 else DeliveryBatch.of(members)

    def drain(self, tick: float = float("inf")) -> Iterator[Delivery]:
        """Take those that came in a round of the clock, or before; all of them by default.

        They are not in the order in which they came: some have waited in the other line first.
        """
        for delivery in [each for each in (*self.alone, *self._together) if each.tick <= tick]:
            self.remove(delivery)
            yield delivery
