"""A spot where one task waits to be woken, and what else differs between the backends.

`ParkingSpot` does for one task, again and again, what `anyio.Event` does for many tasks once (trio
calls its own such thing `ParkingLot`). An event made, waited for and set is a quarter of the
instructions of a job that sleeps, on asyncio and on trio; this is a third less (counted with
cachegrind).
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, TypeVar

from anyio.abc import TaskGroup
from anyio.lowlevel import current_token

Task = Callable[..., Coroutine[Any, Any, None]]
T = TypeVar("T")

MAX_HOLD = 5.0
"""Real seconds without any news from outside after which a clock that is held jumps all the same.

A thread that hangs for ever is to run into its timeout.
"""


class ParkingSpot(Protocol):
    """Where one task waits."""

    async def wait(self) -> None:
        """Wait until `wake` is called."""
        ...

    async def wait_on(self) -> None:
        """Wait until `wake` is called, in place of a step whose own wait is over already.

        No scope cancels it, as a wait that is over cannot be cancelled any more: what was waited
        for would be lost.
        """
        ...

    def wake(self) -> None:
        """Wake the task that waits; nothing if none does."""
        ...


class Readable(Protocol):
    """Tells one task when a socket can be read."""

    async def wait(self) -> None:
        """Wait until there is something to read."""
        ...

    async def watch(self, step: Callable[[], bool]) -> None:
        """Call `step` whenever there is something to read, until it raises.

        It tells whether there is probably more. Between two steps others run.
        """
        ...

    def close(self) -> None:
        """Forget the socket, before it is closed."""
        ...


class Scope(Protocol):
    """A cancel scope: what those of anyio and of trio have in common."""

    @property
    def deadline(self) -> float:
        """When it is cancelled, on the clock of the event loop."""
        ...

    @deadline.setter
    def deadline(self, value: float, /) -> None: ...

    @property
    def cancel_called(self) -> bool:
        """Whether it was cancelled, or its deadline is over."""
        ...

    @property
    def cancelled_caught(self) -> bool:
        """Whether it has ended what ran in it."""
        ...

    def cancel(self) -> None:
        """Cancel what runs in it."""
        ...

    def __enter__(self) -> object: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool: ...


class Backend(Protocol):
    """What differs between asyncio and trio; `_asyncio.py` and `_trio.py` each have one."""

    @property
    def new_spot(self) -> Callable[[], ParkingSpot]:
        """Makes a parking spot."""
        ...

    @property
    def readable(self) -> Callable[[socket.socket], Readable]:
        """Makes what tells when a socket can be read."""
        ...

    @property
    def new_scope(self) -> Callable[[float], Scope]:
        """Makes a cancel scope with a deadline."""
        ...

    def protect(self, task: Task) -> Task:
        """A task that Ctrl-C does not interrupt in the middle; it goes to the main task instead."""
        ...

    def start(self, tasks: TaskGroup, task: Task, *args: Any, name: str) -> None:
        """Start a task that is protected, without being interrupted in the middle of that.

        Or its coroutine could be made and never be awaited, which Python complains about.
        """
        ...

    def uninterrupted(self, task: Task) -> Task:
        """A part of the body's task that Ctrl-C interrupts only where it waits."""
        ...

    def cancelled_from_outside(self) -> bool:
        """Whether a cancellation that was just caught came from outside the code that raised it."""
        ...

    def atomic(self, function: Callable[..., T]) -> Callable[..., T]:
        """A plain function that Ctrl-C does not interrupt in the middle."""
        ...

    def interrupted_in(self, function: Callable[..., T]) -> Callable[..., T]:
        """A plain function that Ctrl-C interrupts, also when an uninterrupted task calls it."""
        ...

    @property
    def interruptible(self) -> Callable[..., Any] | None:
        """Calls code of the user's, inside of an uninterrupted task, so that Ctrl-C interrupts it.

        None where there is no such difference.
        """
        ...

    @property
    def cancels(self) -> Callable[[], int] | None:
        """Tells how many native cancellations of the task that asks now are asked for.

        None where there are none. To find out each time which task runs costs 5 % of a job that
        waits.
        """
        ...

    @property
    def checkpoint_if_cancelled(self) -> Callable[[], Awaitable[None]]:
        """Raise the cancellation of this task, if there is one."""
        ...

    def forget_cancellation(self) -> None:
        """Forget the native cancellations of this task."""
        ...

    @property
    def cancelled_lately(self) -> bool:
        """Whether somebody has just cancelled tasks that `protect` has made, natively.

        No handler knows those, so that was somebody who cancels whatever there is.
        """
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of the event loop that runs now; can be read in its callbacks as well.

        `anyio.current_time` is for tasks: on asyncio it does not know the loop of a callback, such
        as that of `loop.add_signal_handler`.
        """
        ...

    @property
    def call_from_thread(self) -> Callable[[Callable[[], None]], object]:
        """Has the event loop that runs now call a plain function soon.

        It may be called in any thread, and never blocks.
        """
        ...

    @property
    def move_clock(self) -> Callable[[float], object] | None:
        """Moves the mock clock of the event loop on; None where it has none."""
        ...

    def hold_clock(self) -> AbstractContextManager[None]:
        """Have a mock clock stand still, as something outside takes real time."""
        ...


def is_trio() -> bool:
    """Whether the event loop that runs now is trio's."""
    token: Any = current_token()
    native = getattr(token, "native_token", token)
    return type(native).__module__.split(".")[0] == "trio"


def current_backend() -> Backend:
    """The backend of the event loop that runs now."""
    if is_trio():
        from walnats_anyio._link import _trio

        return _trio.TrioBackend()
    from walnats_anyio._link import _asyncio

    return _asyncio.AsyncioBackend()


def cancelled_from_outside() -> bool:
    """What `Backend.cancelled_from_outside` documents."""
    return current_backend().cancelled_from_outside()
