"""What is trio's own."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakKeyDictionary

import trio.lowlevel
from anyio.abc import TaskGroup

from walnats_anyio._link._parking import MAX_HOLD, Task

if TYPE_CHECKING:
    from trio.testing import MockClock

T = TypeVar("T")


class TrioSpot:
    """A parking spot on trio."""

    __slots__ = ("_task",)

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None

    async def wait(self) -> None:
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    async def wait_on(self) -> None:
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(_go_on)

    def wake(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _abort(self, _: Any) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


def _go_on(_: Any) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED  # whoever waits is woken in another way


class TrioReadable:
    """Tells when a socket can be read."""

    __slots__ = ("_socket",)

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    async def wait(self) -> None:
        await trio.lowlevel.wait_readable(self._socket)

    async def watch(self, step: Callable[[], bool]) -> None:
        while True:
            if step():
                # A server that sends faster than it is read must not keep others from running.
                await trio.lowlevel.checkpoint()
            else:
                await self.wait()

    def close(self) -> None:
        trio.lowlevel.notify_closing(self._socket)


class TrioBackend:
    """See `Backend`."""

    new_spot = TrioSpot
    readable = TrioReadable
    # anyio's own costs three times as much.
    checkpoint_if_cancelled = staticmethod(trio.lowlevel.checkpoint_if_cancelled)

    @staticmethod
    def new_scope(deadline: float) -> trio.CancelScope:
        # anyio wraps it, which costs a third more.
        return trio.CancelScope(deadline=deadline)

    def protect(self, task: Task) -> Task:
        # trio raises KeyboardInterrupt between any two steps of code that is not protected.
        return partial(_protected, task)

    @staticmethod
    @trio.lowlevel.enable_ki_protection
    def start(tasks: TaskGroup, task: Task, *args: Any, name: str) -> None:
        tasks.start_soon(partial(_protected, task), *args, name=name)

    uninterrupted = protect

    def atomic(self, function: Callable[..., T]) -> Callable[..., T]:
        # Marks its code; a function around it would be a call more for each emit.
        return trio.lowlevel.enable_ki_protection(function)

    def interrupted_in(self, function: Callable[..., T]) -> Callable[..., T]:
        return trio.lowlevel.disable_ki_protection(function)

    @property
    def interruptible(self) -> Callable[..., Any]:
        return _interruptible

    @property
    def cancels(self) -> None:
        return None

    def forget_cancellation(self) -> None:
        pass

    @property
    def cancelled_lately(self) -> bool:
        return False

    @property
    def clock(self) -> Callable[[], float]:
        return trio.current_time

    @property
    def call_from_thread(self) -> Callable[[Callable[[], None]], object]:
        return trio.lowlevel.current_trio_token().run_sync_soon

    @property
    def move_clock(self) -> Callable[[float], object] | None:
        clock = _mock_clock()
        return None if clock is None else clock.jump

    def hold_clock(self) -> AbstractContextManager[None]:
        clock = _mock_clock()
        return nullcontext() if clock is None else _held(clock)

    def cancelled_from_outside(self) -> bool:
        return True  # trio's cancellation always comes from a scope


@trio.lowlevel.disable_ki_protection
def _interruptible(run: Callable[..., Any], *args: Any) -> Any:
    return run(*args)


@trio.lowlevel.enable_ki_protection
async def _protected(task: Task, *args: Any, **keywords: Any) -> None:
    await task(*args, **keywords)


@dataclass
class _Hold:
    """What is known of a clock that somebody holds."""

    threshold: float
    """The `autojump_threshold` that it has when nobody does."""

    holders: int = 0


_holds: WeakKeyDictionary[MockClock, _Hold] = WeakKeyDictionary()


def new_mock_clock(autojump_threshold: float) -> MockClock:
    """Make a clock that jumps."""
    from trio.testing import MockClock

    return MockClock(autojump_threshold=autojump_threshold)


def _mock_clock() -> MockClock | None:
    """The mock clock of this run, if it has one."""
    # Whoever has made one has imported it.
    testing = sys.modules.get("trio.testing")
    clock = trio.lowlevel.current_clock()
    if testing is None or not isinstance(clock, testing.MockClock):
        return None
    return cast("MockClock", clock)


@contextmanager
def _held(clock: MockClock) -> Iterator[None]:
    hold = _holds.setdefault(clock, _Hold(clock.autojump_threshold))
    hold.holders += 1
    clock.autojump_threshold = max(hold.threshold, MAX_HOLD)
    try:
        yield
    finally:
        hold.holders -= 1
        if not hold.holders:
            del _holds[clock]
            clock.autojump_threshold = hold.threshold
