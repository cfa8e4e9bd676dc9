"""Event loops whose time jumps to the next thing that is due, as soon as nothing else is to do."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio
from trio.testing import MockClock

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Does not wait: it moves the time of its loop on."""

    loop: _JumpingLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout if timeout is None else 0)
        if timeout and not ready:
            self.loop.now += timeout
        return ready


class _JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop of asyncio with a mock clock."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def run_with_mock_clock(backend: str, call: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run it on an event loop of its own, whose time jumps."""
    if backend == "trio":
        return trio.run(call, *args, clock=MockClock(autojump_threshold=0))

    async def main() -> T:
        return await call(*args)

    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        return runner.run(main())
