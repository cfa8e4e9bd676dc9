"""The caller's own callbacks, called one after another by a task of the link."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from walnats_anyio._link._parking import ParkingSpot

logger = logging.getLogger("walnats_anyio.link")

Callback = Callable[..., Awaitable[None] | None]


class Callbacks:
    """Calls what the options name, in order, beside everything else.

    They may be plain or coroutine functions. One that raises an `Exception` is logged. Others, such
    as `SystemExit`, end the link and go out through `connect()`.
    """

    def __init__(self, spot: ParkingSpot) -> None:
        self._spot = spot
        self._queue: deque[tuple[Callback, tuple[Any, ...]]] = deque()
        self._calling = anyio.Lock()

    def post(self, callback: Callback | None, *args: Any) -> None:
        """Have a callback called soon. Never blocks."""
        if callback is not None:
            self._queue.append((callback, args))
            self._spot.wake()

    async def run(self) -> None:
        """Call what is posted, until cancelled."""
        while True:
            await self.call_all()
            await self._spot.wait()

    async def call_all(self) -> None:
        """Call what is posted, and wait for those that are being called just now."""
        async with self._calling:
            while self._queue:
                callback, args = self._queue.popleft()
                try:
                    result = callback(*args)
                    if isinstance(result, Awaitable):
                        await result
                except Exception:
                    logger.exception("the callback %r raised", callback)
