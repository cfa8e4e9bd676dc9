"""One way in and one way out, for `async with` on either event loop and for a plain `with`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import anyio

from walnats_anyio.testing._looks import Looks, wait_async, wait_blocking


class ServerContext(ABC):
    """A context manager whose entering and leaving are looks, waited for as the program likes."""

    @abstractmethod
    def _entering(self) -> Looks[None]:
        """Make everything ready; when that fails or is given up, leave nothing behind."""

    @abstractmethod
    def _leaving(self) -> Looks[None]:
        """Give everything back, in bounded time."""

    async def __aenter__(self) -> Self:
        await wait_async(self._entering())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await wait_async(self._leaving())

    def __enter__(self) -> Self:
        wait_blocking(self._entering())
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        wait_blocking(self._leaving())
