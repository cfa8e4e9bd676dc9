"""One way in and one way out, for `async with` on either event loop and for a plain `with`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import anyio

from walnats_anyio.testing._errors import NatsServerError
from walnats_anyio.testing._waiting import Check, in_thread, uninterrupted


class ServerContext(ABC):
    """A context manager whose entering and leaving block, in a thread where there is a loop."""

    _inside = False

    @abstractmethod
    def _enter(self, check: Check) -> None:
        """Make everything ready."""

    @abstractmethod
    def _leave(self, check: Check) -> None:
        """End gracefully, in bounded time."""

    @abstractmethod
    def _close(self) -> None:
        """End at once, and give back all that is held. Does nothing when nothing is held."""

    async def __aenter__(self) -> Self:
        self._begin()
        try:
            await in_thread(self._enter)
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with anyio.CancelScope(shield=True):
                await in_thread(self._leave)
        finally:
            self._end()

    def __enter__(self) -> Self:
        self._begin()
        try:
            self._enter(uninterrupted)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._leave(uninterrupted)
        finally:
            self._end()

    def _begin(self) -> None:
        if self._inside:
            raise NatsServerError("the context is entered already: leave it first")
        self._inside = True

    def _end(self) -> None:
        self._inside = False
        self._close()
