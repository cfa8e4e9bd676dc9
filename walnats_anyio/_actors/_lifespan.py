"""What an application opens before its first event, and closes after its last job."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

if TYPE_CHECKING:
    from walnats_anyio._actors._connection import ConnectedActors

logger = logging.getLogger("walnats_anyio.actors")

Lifespan: TypeAlias = "Callable[[ConnectedActors], AbstractAsyncContextManager[Any]]"
"""A function of the `ConnectedActors` that gives an async context manager."""

LEAVE_WITHIN = 2.0
"""Seconds that leaving it has at least, when the `shutdown_timeout` is over by then."""

REMEDY = (
    "decorate an async generator function with contextlib.asynccontextmanager, so that it gives "
    "an async context manager"
)


def check_lifespan(lifespan: object) -> None:
    """Refuse what is no lifespan.

    Raises:
        TypeError: it is not callable, or what it gives cannot be entered.
    """
    if lifespan is None:
        return
    if not callable(lifespan):
        raise TypeError(
            f"lifespan must be a function of the ConnectedActors, not {lifespan!r}: {REMEDY}"
        )
    undecorated = (
        inspect.isasyncgenfunction,
        inspect.isgeneratorfunction,
        inspect.iscoroutinefunction,
    )
    if any(is_one(lifespan) for is_one in undecorated):
        raise TypeError(f"lifespan={lifespan!r} gives no async context manager: {REMEDY}")


class LifespanRun:
    """Enters and leaves the lifespan of one run of `listen`.

    Both are cut short as jobs are: `shutdown_timeout` seconds after `shutdown`, or when the
    connection is left.
    """

    def __init__(
        self,
        lifespan: Lifespan | None,
        shutdown_timeout: float | None,
        clock: Callable[[], float],
    ) -> None:
        self.cut_short = False
        """Whether entering or leaving it took too long after `shutdown`."""
        self._lifespan = lifespan
        self._shutdown_timeout = shutdown_timeout
        self._clock = clock
        self._stopped_at = math.inf
        self._failed = False
        """Whether the run of `listen` has failed."""
        self._moving = False
        """Whether it is being entered or left."""
        self._scope = anyio.CancelScope()

    def stop(self) -> None:
        """`shutdown` was called."""
        if self._stopped_at == math.inf:
            self._stopped_at = self._clock()
            if self._moving:
                self._set_deadline()

    def cut(self) -> None:
        """The run of `listen` has failed: do not go on with entering or leaving it."""
        self._failed = True
        if self._moving:
            self._scope.cancel()

    async def around(
        self,
        connected: ConnectedActors,
        keep: Callable[[Any], None],
        work: Callable[[], Awaitable[None]],
    ) -> None:
        """Do the work inside of the lifespan.

        Args:
            connected: what the lifespan is called with.
            keep: is given what it yields.
            work: the run of `listen`.

        Raises:
            BaseException: what the lifespan raises, and what the work does, although the lifespan
                may suppress it.
        """
        if self._lifespan is None:
            await work()
            return
        raised: list[BaseException] = []
        with self._scope:
            self._moving = True
            async with _entered(self._lifespan, connected) as state:
                self._pause_deadline()
                keep(state)
                try:
                    await work()
                except BaseException as error:
                    raised.append(error)
                    raise
                finally:
                    self._set_deadline()
        if raised:
            raise raised.pop()  # although the lifespan has suppressed it
        if self._scope.cancelled_caught and not self._failed:
            self.cut_short = True
            logger.error(
                "the lifespan was cancelled, as it took longer than shutdown_timeout=%s s to enter "
                "or to leave it", self._shutdown_timeout,
            )  # fmt: skip

    def _pause_deadline(self) -> None:
        self._moving = False
        self._scope.deadline = math.inf

    def _set_deadline(self) -> None:
        self._moving = True
        if self._shutdown_timeout is None or self._stopped_at == math.inf:
            return
        least = self._clock() + min(LEAVE_WITHIN, self._shutdown_timeout)
        self._scope.deadline = max(self._stopped_at + self._shutdown_timeout, least)


def _entered(lifespan: Lifespan, connected: ConnectedActors) -> AbstractAsyncContextManager[Any]:
    manager = lifespan(connected)
    if not hasattr(type(manager), "__aenter__"):
        raise TypeError(f"lifespan={lifespan!r} gave {manager!r}: {REMEDY}")
    return manager
