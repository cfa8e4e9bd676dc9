"""From threads into an event loop: a queue with room for so much, taken as a whole.

Theory of operation. A thread that puts something there wakes the event loop only when it sleeps,
and the event loop takes all that is there at once. So a wake-up, which costs as much as several
emits, serves many of them. Nothing is put there any more once the queue is closed, and who waits
for room then hears why.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from walnats_anyio._link import ConnectionLostError, ParkingSpot

T = TypeVar("T")

MAX_ITEMS = 1024
"""Items that may wait in the queue; at this many `put` waits."""

MAX_BYTES = 4 * 1024 * 1024
"""Their size, likewise."""


class ThreadQueue(Generic[T]):
    """A queue that many threads put into, and one task of an event loop takes from.

    Args:
        spot: where the task waits; made in its event loop.
        call_from_thread: has the event loop call a function, from any thread.
    """

    def __init__(
        self, spot: ParkingSpot, call_from_thread: Callable[[Callable[[], None]], object]
    ) -> None:
        self._spot = spot
        self._call_from_thread = call_from_thread
        self._loop_thread = threading.get_ident()
        # A signal handler or a finalizer may put something there while its thread does so already.
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        self._items: list[T] = []
        self._bytes = 0
        self._blocked = 0
        """Threads that wait for room."""
        self._asleep = False
        """Whether the task waits for something to be put there."""
        self._closed: str | None = None
        """Why nothing can be put there any more."""
        self._ended = False
        """Whether nothing is taken any more."""

    @property
    def blocked(self) -> int:
        """Threads that wait for room."""
        return self._blocked

    def check_thread(self) -> None:
        """Refuse to wait in the thread of the event loop, for what that thread has to do.

        Raises:
            RuntimeError: this is that thread.
        """
        if threading.get_ident() == self._loop_thread:
            raise RuntimeError(
                "this is the thread of the connection itself, which would wait for itself:"
                " callbacks of the connection must not use it"
            )

    def put(self, item: T, size: int) -> None:
        """Put something there. Blocks while 1,024 items or 4 MiB wait.

        In the thread of the event loop it never blocks, as nobody else makes room: callbacks and
        finalizers may emit there.

        Raises:
            ConnectionLostError: the queue is closed.
        """
        with self._lock:
            if len(self._items) >= MAX_ITEMS or self._bytes >= MAX_BYTES:
                self._wait_for_room()
            if self._closed is not None:
                raise ConnectionLostError(self._closed)
            self._items.append(item)
            self._bytes += size
            if self._asleep:
                self._asleep = False
                self._call_from_thread(self._spot.wake)

    def put_now(self, item: T) -> bool:
        """Put something of no size there, whatever room there is; for the event loop itself.

        Returns:
            Whether it will be taken; not when the queue has ended.
        """
        with self._lock:
            if self._ended:
                return False
            self._items.append(item)
            if self._asleep:
                self._asleep = False
                self._spot.wake()
            return True

    async def take(self) -> list[T]:
        """Wait until there is something, and take all of it; nothing once the queue is closed."""
        while True:
            with self._lock:
                if self._items or self._closed is not None:
                    return self._take_all()
                self._asleep = True
            # Whoever puts something there has the loop call `wake` later, so it is not missed.
            await self._spot.wait()

    def close(self, why: str) -> None:
        """Take nothing more; what is there already can still be taken."""
        with self._lock:
            if self._closed is None:
                self._closed = why
            self._asleep = False
            self._room.notify_all()
        self._spot.wake()

    def end(self, why: str) -> list[T]:
        """Close it, and give what nobody is going to take."""
        self.close(why)
        with self._lock:
            self._ended = True
            return self._take_all()

    def waiting(self) -> list[T]:
        """What is there."""
        with self._lock:
            return self._items.copy()

    def _take_all(self) -> list[T]:
        items, self._items = self._items, []
        self._bytes = 0
        if self._blocked:
            self._room.notify_all()
        return items

    def _wait_for_room(self) -> None:
        if threading.get_ident() == self._loop_thread:
            return
        self._blocked += 1
        try:
            while self._closed is None and (
                len(self._items) >= MAX_ITEMS or self._bytes >= MAX_BYTES
            ):
                self._room.wait()
        finally:
            self._blocked -= 1
