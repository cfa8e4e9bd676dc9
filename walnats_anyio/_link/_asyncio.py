"""What is asyncio's own: what the link does in its way, and an event loop for tests."""

from __future__ import annotations

import asyncio
import math
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import Any, TypeVar

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import current_token

from walnats_anyio._link._mock_clock import check_threshold
from walnats_anyio._link._parking import MAX_HOLD, Task

T = TypeVar("T")

WATCH_EVERY = 1.0
"""Seconds between two looks whether the task still runs for which a cancelled task goes on."""

LATELY = 1.0
"""Seconds; see `Backend.cancelled_lately`."""


class AsyncioSpot:
    """A parking spot on asyncio."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        self._future = asyncio.get_running_loop().create_future()
        try:
            await self._future
        finally:
            self._future = None

    async def wait_on(self) -> None:
        # anyio cancels no task whose future is done, and this one takes the place of such a future.
        with anyio.CancelScope(shield=True):
            await self.wait()

    def wake(self) -> None:
        if self._future is not None and not self._future.done():
            try:
                self._future.set_result(None)
            except asyncio.InvalidStateError:
                return  # Ctrl-C has cancelled the task, and so what it awaits, between the two


class AsyncioReadable:
    """Tells when a socket can be read.

    It stays registered with the event loop, where anyio would register it for each wait: that is a
    tenth of a round trip.
    """

    __slots__ = ("_failure", "_fileno", "_loop", "_spot", "_step")

    def __init__(self, sock: socket.socket) -> None:
        self._fileno = sock.fileno()
        self._loop = asyncio.get_running_loop()
        self._spot = AsyncioSpot()
        self._step: Callable[[], bool] | None = None
        self._failure: BaseException | None = None
        _in_anyio(self._loop.add_reader, self._fileno, self._on_readable)

    async def wait(self) -> None:
        await self._spot.wait()

    async def watch(self, step: Callable[[], bool]) -> None:
        # The event loop calls it: to wake this task for it is a turn of the loop more, a seventh of
        # a round trip.
        self._step = step
        try:
            await self._spot.wait()
            if self._failure is not None:
                raise self._failure
        finally:
            self._step = self._failure = None

    def _on_readable(self) -> None:
        if self._step is not None:
            try:
                self._step()
            except BaseException as error:  # noqa: BLE001 - `watch` raises it
                self._step, self._failure = None, error
            else:
                return
        self._spot.wake()

    def close(self) -> None:
        self._loop.remove_reader(self._fileno)


def _in_anyio(register: Callable[..., object], *args: Any) -> None:
    """Register a callback in which anyio knows its backend, as it does in a task.

    Where sniffio is installed, anyio asks it, and in a callback it can only tell from its variable,
    which nobody has set if the program was started by `asyncio.run`.
    """
    context = copy_context()
    try:
        from sniffio import current_async_library_cvar
    except ImportError:
        pass
    else:
        context.run(current_async_library_cvar.set, "asyncio")
    context.run(register, *args)


class AsyncioBackend:
    """See `Backend`."""

    new_spot = AsyncioSpot
    readable = AsyncioReadable

    def __init__(self) -> None:
        # Through `anyio.lowlevel` it is found out at each call which event loop runs, which takes
        # a twentieth of an emit. So it is for a scope, and a job that waits.
        backend = current_token().backend_class
        self.checkpoint_if_cancelled = backend.checkpoint_if_cancelled
        self._new_scope = backend.create_cancel_scope
        self._cancelled_at = -math.inf

    def new_scope(self, deadline: float) -> anyio.CancelScope:
        return self._new_scope(deadline=deadline)

    def protect(self, task: Task) -> Task:
        return partial(self._persistent, task, asyncio.current_task())

    def start(self, tasks: TaskGroup, task: Task, *args: Any, name: str) -> None:
        tasks.start_soon(self.protect(task), *args, name=name)

    def uninterrupted(self, task: Task) -> Task:
        return task  # Ctrl-C cancels the main task here, so it interrupts nothing else

    def atomic(self, function: Callable[..., T]) -> Callable[..., T]:
        return function

    def interrupted_in(self, function: Callable[..., T]) -> Callable[..., T]:
        return function

    @property
    def interruptible(self) -> None:
        return None

    @property
    def cancels(self) -> Callable[[], int] | None:
        current = asyncio.current_task()
        return None if current is None else current.cancelling

    def forget_cancellation(self) -> None:
        _forget_cancellation()

    @property
    def cancelled_lately(self) -> bool:
        return monotonic() - self._cancelled_at < LATELY

    async def _persistent(self, task: Task, host: asyncio.Task[Any] | None, *args: Any) -> None:
        """Run a task again that was cancelled from outside of any scope.

        `asyncio.run` cancels every task when its main one has ended, ours as well. What the body of
        the connection has to say then must still be sent, so ours go on until the body leaves. A
        second Ctrl-C may come in the middle of its leaving, at any instruction, and then nobody
        ends them: so they end when `host` has, the task that has started them.
        """
        watch = _Watch(host)
        try:
            while True:
                try:
                    return await task(*args)
                except asyncio.CancelledError:
                    if anyio.current_effective_deadline() == -math.inf or watch.is_over:
                        raise
                    watch.begin()
                    self._cancelled_at = monotonic()
                    _forget_cancellation()
        finally:
            watch.end()

    @property
    def clock(self) -> Callable[[], float]:
        return asyncio.get_running_loop().time

    @property
    def call_from_thread(self) -> Callable[[Callable[[], None]], object]:
        return asyncio.get_running_loop().call_soon_threadsafe

    @property
    def move_clock(self) -> Callable[[float], object] | None:
        loop = asyncio.get_running_loop()
        return loop.jump if isinstance(loop, MockClockLoop) else None

    def hold_clock(self) -> AbstractContextManager[None]:
        loop = asyncio.get_running_loop()
        return loop.hold_clock() if isinstance(loop, MockClockLoop) else nullcontext()

    def cancelled_from_outside(self) -> bool:
        # A coroutine can also raise `CancelledError` by itself, such as by awaiting a future that
        # somebody cancelled, or cancel its own task. Then that is forgotten.
        if anyio.current_effective_deadline() == -math.inf:
            return True
        _forget_cancellation()
        return False


class _Watch:
    """Cancels the current task when another one is over."""

    def __init__(self, host: asyncio.Task[Any] | None) -> None:
        self._host = host
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        return self._host is not None and self._host.done()

    def begin(self) -> None:
        if self._timer is None:
            self._look()

    def _look(self) -> None:
        if self.is_over and self._task is not None:
            self._task.cancel()
        else:
            self._timer = asyncio.get_running_loop().call_later(WATCH_EVERY, self._look)

    def end(self) -> None:
        self._host = self._task = None
        if self._timer is not None:
            self._timer.cancel()


def _forget_cancellation() -> None:
    current = asyncio.current_task()
    while current is not None and current.cancelling():
        current.uncancel()


# A clock that jumps. Theory of operation: asyncio asks its selector for what happens outside, and
# says how long to wait: not at all while a callback is ready, until the next timer, or for ever
# without a timer. The selector here waits for `autojump_threshold` real seconds in place of the
# second. If nothing came by then, nothing can come: it moves the clock by the time it was to wait,
# so that the timer is due.
#
# What runs outside takes real time, so the clock must stand still meanwhile. The loop knows of the
# threads that it started, and of those of anyio; whoever waits for anything else holds the clock.


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
