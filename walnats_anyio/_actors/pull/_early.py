"""Deliveries that wait in this process for the moment when they are due, which is near.

The server looks for what is due at most four times a second. So an event that waited there comes a
moment early (`LEAD` of `_events/_schedules`), and is held here until it is due. It takes no slot
meanwhile, is prolonged by the pulse, can be cancelled, and is handed back by whatever hands back
what waits for a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from heapq import heapify, heappop, heappush
from typing import Any

import anyio

from walnats_anyio._actors.settle import Delivery
from walnats_anyio._link import Message

MOST = 1000
"""Deliveries of one actor that are held; those beyond are handed back until they are due."""

MOST_BYTES = 16 * 1024 * 1024
"""The same in bytes, as all of them are in memory."""

ROUND = 0.005
"""Seconds at least between two looks at what is due; those of one look share a turn of the loop."""

WAIT_FOR_SLOT = 0.25
"""Seconds that one which is due waits for a slot here; another process may have one."""


class EarlyDeliveries:
    """The deliveries of one actor that are not due yet.

    Args:
        start: starts a task, which runs for as long as there are any.
        give: is given each delivery when it is due, and whether that is for the last time. Tells
            whether it has found something to do with it.
    """

    def __init__(
        self,
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
        give: Callable[[Delivery, bool], bool],
    ) -> None:
        self._start = start
        self._give = give
        self._heap: list[tuple[float, int, Delivery]] = []
        self._bytes = 0
        self._count = 0
        self._runs = False
        self._sooner = anyio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def has_room(self, message: Message) -> bool:
        """Whether one more can be held."""
        return len(self._heap) < MOST and self._bytes + _size(message) <= MOST_BYTES

    def hold(self, delivery: Delivery, seconds: float) -> None:
        """Hold a delivery for so long."""
        due = anyio.current_time() + seconds
        is_first = not self._heap or due < self._heap[0][0]
        self._count += 1
        self._bytes += _size(delivery.message)
        heappush(self._heap, (due, self._count, delivery))
        if not self._runs:
            self._runs = True
            self._start(self._keep_time)
        elif is_first:
            self._sooner.set()

    def drain(self) -> list[Delivery]:
        """Take out all of them."""
        heap, self._heap, self._bytes = self._heap, [], 0
        self._sooner.set()
        return [delivery for *_, delivery in heap]

    def take_out(self, delivery: Delivery) -> bool:
        """Take out one of them; False: it is not there."""
        for number, (*_, each) in enumerate(self._heap):
            if each is delivery:
                del self._heap[number]
                heapify(self._heap)
                self._bytes -= _size(delivery.message)
                return True
        return False

    async def _keep_time(self) -> None:
        while self._heap:
            due, number, delivery = self._heap[0]
            late = anyio.current_time() - due
            if late < 0:
                self._sooner = anyio.Event()
                with anyio.move_on_after(max(-late, ROUND)):
                    await self._sooner.wait()
                continue
            heappop(self._heap)
            if self._give(delivery, late >= WAIT_FOR_SLOT):
                self._bytes -= _size(delivery.message)
            else:  # no slot is free
                heappush(self._heap, (due, number, delivery))
                await anyio.sleep(ROUND)
        self._runs = False


def _size(message: Message) -> int:
    return len(message.data) + len(message.header)
