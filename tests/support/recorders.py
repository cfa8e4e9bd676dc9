"""Handlers and middlewares that write down what happens to them."""

from __future__ import annotations

import time
from typing import Any

import anyio

from tests.support.waiting import until
from walnats_anyio.middlewares import Context, ErrorContext, Middleware, OkContext


class Recorder(Middleware):
    """Writes down what its hooks are told, each list in the order of the calls."""

    def __init__(self) -> None:
        self.attempts: list[int] = []
        """The number of each attempt that started."""

        self.times: list[float] = []
        """When each attempt started, on the monotonic clock."""

        self.failed: list[tuple[int, BaseException]] = []
        """Message and exception of each failure."""

        self.failed_attempts: list[int] = []
        """The number of each attempt that failed."""

        self.succeeded: list[int] = []
        """The message of each success."""

    def on_start(self, ctx: Context, /) -> None:
        self.attempts.append(ctx.attempts)
        self.times.append(time.monotonic())

    def on_failure(self, ctx: ErrorContext, /) -> None:
        self.failed.append((ctx.message, ctx.exception))
        self.failed_attempts.append(ctx.attempts)

    def on_success(self, ctx: OkContext, /) -> None:
        self.succeeded.append(ctx.message)

    @property
    def errors(self) -> list[BaseException]:
        """The exception of each failure."""
        return [error for _, error in self.failed]

    @property
    def pauses(self) -> list[float]:
        """Seconds from each attempt to the next."""
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]

    async def come(self, count: int) -> None:
        """Wait until so many jobs have started."""
        await until(lambda: len(self.attempts) >= count)


class Handled:
    """A handler that notes what it is given."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def __call__(self, message: Any) -> None:
        self.messages.append(message)

    async def come(self, count: int) -> None:
        """Wait until so many have come."""
        await until(lambda: len(self.messages) >= count)


class Gate:
    """A handler whose jobs run until they are let go; counts how many run at once."""

    def __init__(self) -> None:
        self.started: list[Any] = []
        self.finished: list[Any] = []
        self.running = 0
        self.most = 0
        self._open = anyio.Event()

    async def __call__(self, message: Any) -> None:
        self.started.append(message)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self._open.wait()
        finally:
            self.running -= 1
        self.finished.append(message)

    def open(self) -> None:
        """Let go of all jobs, also those to come."""
        self._open.set()

    async def come(self, count: int) -> None:
        """Wait until so many have started."""
        await until(lambda: len(self.started) >= count)
