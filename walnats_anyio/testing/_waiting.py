"""Blocking waits that can be interrupted, and how an event loop waits for them.

Theory of operation: the servers are run by plain blocking code. Whatever in it takes time takes a
`Check`, calls it every few milliseconds, and cleans up when it raises. A program without an event
loop passes `uninterrupted`. On an event loop the same code runs in a thread, through `in_thread`,
and the check raises once the task that waits is cancelled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import anyio
from anyio import from_thread, to_thread

T = TypeVar("T")

Check: TypeAlias = Callable[[], None]
"""Raises when nobody waits for the result any more."""

LOOK_EVERY = 0.002
"""Seconds between two looks. A server starts in about 15 ms: a longer pause would be felt."""


class _AbandonedError(BaseException):
    """The task that waited is gone. No handler but clean-up code may see it."""


def uninterrupted() -> None:
    """The check of a program without an event loop: KeyboardInterrupt comes by itself."""


def wait_until(
    condition: Callable[[], T], timeout: float, check: Check, every: float = LOOK_EVERY
) -> T:
    """Look until the condition gives something true; gives what the last look gave.

    That is something false when `timeout` seconds have passed. They are seconds of real time, not
    of the event loop's clock: a server takes its time under a mocked clock, too.
    """
    deadline = time.monotonic() + timeout
    while True:
        check()
        found = condition()
        if found or time.monotonic() >= deadline:
            return found
        time.sleep(every)


async def in_thread(work: Callable[[Check], T]) -> T:
    """Run blocking work in a thread, and return or raise what it does.

    The work has ended, and cleaned up, when this returns or raises, whatever happens meanwhile. A
    cancellation makes its next check raise.
    """
    abandoned = threading.Event()
    at_work = threading.Lock()

    def check() -> None:
        from_thread.check_cancelled()
        if abandoned.is_set():
            raise _AbandonedError

    def run() -> T:
        with at_work:
            check()
            return work(check)

    try:
        # A limiter of its own: a test server must not wait for the threads of what is tested.
        return await to_thread.run_sync(run, limiter=anyio.CapacityLimiter(1))
    except BaseException:
        # A native cancel of asyncio does not wait for the thread, which must not go on alone.
        # Blocking the event loop for the milliseconds until its next check is the lesser evil.
        abandoned.set()
        with at_work:
            pass
        raise
