"""A deadline in the time that servers live in, whatever clock the event loop has.

A test's mock clock jumps as soon as nothing runs in the program, while the server has had no time
at all. So the deadlines of anyio would end what goes well. Only a server in this process lives on
the clock of the event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


class Patience:
    """How long something outside this program may take."""

    def __init__(self, seconds: float, *, at_most: float, now: Callable[[], float]) -> None:
        """Wait `seconds` from now, but not past the time `at_most` of the clock `now`."""
        self._now = now
        self._at_most = at_most
        self._give_up_at = 0.0
        self.renew(seconds)

    def renew(self, seconds: float) -> None:
        """Wait so many seconds from now on instead."""
        self._give_up_at = min(self._now() + seconds, self._at_most)

    async def wait_for(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call it, and cancel it when the time is up.

        A cancellation from outside may come when the result is there already: it is lost then, so
        the caller must know by other means what there is to be closed.

        Raises:
            TimeoutError: the time is up.
        """
        results: list[T] = []
        error: BaseException | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._cancel_late, tasks.cancel_scope)
            # The task group would wrap it in a group.
            try:
                results.append(await call())
            except (Exception, KeyboardInterrupt, SystemExit) as exc:  # noqa: BLE001 - raised below
                error = exc
            tasks.cancel_scope.cancel()
        if error is not None:
            raise error
        if not results:
            raise TimeoutError
        return results[0]

    async def _cancel_late(self, scope: anyio.CancelScope) -> None:
        while (left := self._give_up_at - self._now()) > 0:  # noqa: ASYNC110 - a clock that jumps
            await anyio.sleep(left)
        scope.cancel()
