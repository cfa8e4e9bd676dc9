"""Waiting, written once for threads and for event loops.

Theory of operation: everything here that takes time is a generator of *looks*. It looks whether the
awaited condition holds, and while it does not, it yields how many seconds to sleep before the next
look; what it returns is the result. Looking never blocks. `wait_blocking` and `wait_async` differ
only in how they sleep. When a wait is given up (cancelled, interrupted) the generator is closed, so
that its own `except` and `finally` clauses clean up, whoever was waiting.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from contextlib import ExitStack, closing
from typing import TypeAlias, TypeVar

import anyio
import anyio.lowlevel

T = TypeVar("T")
Looks: TypeAlias = Generator[float, None, T]

LOOK_EVERY = 0.002
"""Seconds between two looks. A server starts in about 15 ms: a longer pause would be felt."""


def wait_blocking(looks: Looks[T]) -> T:
    """Sleep the calling thread from look to look, and return what the wait returns."""
    with closing(looks):
        while True:
            try:
                pause = next(looks)
            except StopIteration as finished:
                result: T = finished.value
                return result
            time.sleep(pause)


async def wait_async(looks: Looks[T]) -> T:
    """Sleep the calling task from look to look, and return what the wait returns."""
    slept = False
    with closing(looks):
        while True:
            try:
                pause = next(looks)
            except StopIteration as finished:
                result: T = finished.value
                if not slept:
                    # A checkpoint all the same; not before the first look: a clean-up must begin.
                    await anyio.lowlevel.checkpoint()
                return result
            await anyio.sleep(pause)
            slept = True


def wait_for_all(waits: Iterable[Looks[None]]) -> Looks[None]:
    """Look after all of them by turns until each is over. The first to fail ends the others."""
    with ExitStack() as unfinished:
        pending = [unfinished.enter_context(closing(wait)) for wait in waits]
        while True:
            pending = [wait for wait in pending if next(wait, None) is not None]
            if not pending:
                return
            yield LOOK_EVERY


class Deadline:
    """A point in real time. Not anyio's clock: a server takes its time under a mocked clock too."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._at
