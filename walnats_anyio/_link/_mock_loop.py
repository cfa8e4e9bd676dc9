"""An event loop of asyncio for tests, whose clock jumps to the next timer when nothing can run.

Theory of operation. asyncio asks its selector for what happens outside, and says how long to wait:
not at all while a callback is ready, until the next timer, or for ever without a timer. The
selector here waits for `autojump_threshold` real seconds in place of the second. If nothing came by
then, nothing can come: it moves the clock by the time it was to wait, so that the timer is due.

What runs outside takes real time, so the clock must stand still meanwhile. The loop knows of the
threads that it started, and of those of anyio; whoever waits for anything else holds the clock.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar

from walnats_anyio._link._mock_clock import check_threshold
from walnats_anyio._link._parking import MAX_HOLD

T = TypeVar("T")


class MockClockLoop(asyncio.SelectorEventLoop):
    """An event loop of asyncio with a clock that jumps, in the way of `trio.testing.MockClock`.

        with asyncio.Runner(loop_factory=MockClockLoop) as runner:
            runner.run(main())

    Its clock, which is that of `anyio.current_time`, `anyio.sleep` and all timeouts, starts at 0
    and stands still while something runs. When all tasks wait and nothing comes from outside, it
    jumps to the next timer: an hour of sleep takes microseconds.

    It stands still as well while a thread runs that was started with `anyio.to_thread.run_sync`,
    `asyncio.to_thread` or `run_in_executor`, while a job of an actor runs in a thread or a process,
    and inside of `hold_clock()`: for at most 5 real seconds in which the loop hears nothing.

    Args:
        autojump_threshold: real seconds in which nothing must come from outside, such as from a
            socket, before the clock jumps. 0 (the default) is right where all happens in this
            process, as with `MemoryServer`; with a real server on this machine 0.02 is about right.
            `math.inf`: it never jumps by itself.

    Raises:
        ValueError: the threshold is negative.
    """

    def __new__(cls, autojump_threshold: float = 0.0) -> MockClockLoop:
        """Refuse what makes no sense, before there is a loop to be closed."""
        check_threshold(autojump_threshold)
        return super().__new__(cls)

    def __init__(self, autojump_threshold: float = 0.0) -> None:
        self.autojump_threshold = autojump_threshold
        """Real seconds without news from outside after which the clock jumps."""
        self._now = 0.0
        self._holds = 0
        super().__init__(_JumpingSelector(self._threshold, self.jump))
        self._set(0.0)

    def __repr__(self) -> str:
        state = "running" if self.is_running() else "closed" if self.is_closed() else "not running"
        return f"<MockClockLoop at {self._now:g} s, {state}>"

    def time(self) -> float:
        """The time of its clock, in seconds."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Move the clock on. Timers that are due then fire when the loop comes to it.

        Raises:
            ValueError: time cannot go backwards.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"the clock can be moved by at least 0 seconds, not {seconds!r}")
        self._set(self._now + seconds)

    @contextmanager
    def hold_clock(self) -> Iterator[None]:
        """Have the clock stand still; see `walnats_anyio.testing.hold_clock`."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    def run_in_executor(  # type: ignore[override]  # typeshed has a TypeVarTuple, which is the same
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Call a function in a thread; the clock stands still until it has returned."""
        future = super().run_in_executor(executor, func, *args)
        self._holds += 1
        future.add_done_callback(self._returned)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the threads of the default executor, in real time."""
        with self.hold_clock():
            await super().shutdown_default_executor()

    def _set(self, now: float) -> None:
        self._now = now
        # asyncio takes a timer for due at a time below this much from now. By default it is a
        # nanosecond, which after some weeks is nothing to a float: no timer would be due any more.
        self._clock_resolution = math.ulp(now)

    def _returned(self, _: object) -> None:
        self._holds -= 1

    def _threshold(self) -> float:
        if self._holds or _anyio_threads_run(self):
            return max(self.autojump_threshold, MAX_HOLD)
        return self.autojump_threshold


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for what comes from outside, or has the clock jump."""

    def __init__(self, threshold: Callable[[], float], jump: Callable[[float], None]) -> None:
        super().__init__()
        self._threshold = threshold
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait until something comes, or let that much time pass on the clock."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        threshold = self._threshold()
        events = super().select(None if threshold == math.inf else threshold)
        if not events and threshold < math.inf:
            self._jump(timeout)
        return events


def _anyio_threads_run(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a thread of `anyio.to_thread` works for this loop.

    anyio does not say so in public. Where its threads change, they hold the clock no more, which a
    test notices.
    """
    return any(
        getattr(thread, "loop", None) is loop
        and thread not in getattr(thread, "idle_workers", (thread,))
        for thread in threading.enumerate()
    )
