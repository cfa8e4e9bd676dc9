"""SIGINT, SIGTERM and SIGHUP: the first one asks to stop, a second SIGINT or SIGTERM insists.

Theory of operation. A plain signal handler of Python's runs in between two instructions of whatever
the main thread does, and writes the signal's number to a socket, which a task reads. That is the
same on both backends, and the handler is the only one from beginning to end: `add_signal_handler`
of asyncio would leave a moment in which a signal kills the process without a word.

Where something blocks the event loop that task receives nothing. So the handler counts along: it
gives the loop some seconds after the second signal, and after the first one as many as jobs have
for a graceful stop.

Whatever else runs in the main thread may replace the handler. The task looks for that, and puts it
back. A handler for SIGHUP is left alone: a program may have its own use for that one.

A forked child inherits all of that, and a signal to the child would stop this process. So a child
forgets it, before any signal reaches it.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from signal import Signals
from types import FrameType

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskGroup, TaskStatus

from walnats_anyio._actors._handler_guard import LOOK_EVERY, HandlerGuard
from walnats_anyio.cli._endings import ExitCode, code_of_signal
from walnats_anyio.cli._leaving import end_after

INSISTING = (signal.SIGINT, signal.SIGTERM)
"""Signals of which a second one stops at once."""

HANGUP = signal.SIGHUP
"""The terminal is gone. The kernel and the shell both send it, so a second one means nothing."""

LAST_RESORT = 6.0
"""Seconds until the end of a process that runs actors, from the moment that jobs are cancelled.

Cancelling takes a few seconds at most: 2 for the last words to the server, 2 to close.
"""


def stopping_signals() -> tuple[Signals, ...]:
    """The signals that stop a command; under `nohup`, which ignores it, SIGHUP is none of them."""
    ignored = signal.getsignal(HANGUP) == signal.SIG_IGN
    return INSISTING if ignored else (*INSISTING, HANGUP)


class Stop:
    """Whether and how a command was told to stop."""

    def __init__(
        self,
        cancel: Callable[[], None],
        last_resort: float,
        time_limit: float | None,
        then: Callable[[], None] | None,
    ) -> None:
        self._last_resort = last_resort
        self._time_limit = time_limit
        self._then = then
        self._came = 0
        self._timer: threading.Timer | None = None
        self.tasks: TaskGroup
        """The parent of the command's other tasks; they are cancelled when its body ends."""
        self.cancel = cancel
        """Ends the body now."""
        self.graceful = cancel
        """Called at the first signal. May be replaced as the command goes on."""
        self.at_once = cancel
        """Called at the second signal. May be replaced as the command goes on."""
        self.jobs: Callable[[], Iterable[str]] = tuple
        """Names the jobs that run, from any thread. May be replaced as the command goes on."""
        self.first: Signals | None = None
        """The first signal that came."""
        self.second: Signals | None = None
        """The second one."""
        self.asked_at: float | None = None
        """When the first reason to stop came, in the event loop's time."""

    async def watch(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Receive signals until cancelled."""
        with _received(self._in_handler, self._then) as received:
            guard = HandlerGuard(INSISTING)
            task_status.started()
            while True:
                with anyio.move_on_after(LOOK_EVERY):
                    await anyio.wait_readable(received)
                    for number in received.recv(1024):
                        self._receive(Signals(number))
                guard.put_back()

    def _in_handler(self, number: Signals) -> None:
        if self._came == 0 or number in INSISTING:
            self._came += 1
        if self._came == 1:
            self.limit_time()
        if self._came == 2:
            what = f"{number.name}: something does not let go: the process ends as it is"
            end_after(self._last_resort, code_of_signal(number), what, self._left)

    def limit_time(self) -> None:
        """End the process when a graceful stop has taken too long, come what may."""
        if self._time_limit is not None and self._timer is None:
            seconds = self._time_limit + self._last_resort
            what = f"{seconds:g} s after it was to stop something does not let go: the process ends"
            self._timer = end_after(seconds, ExitCode.BROKEN, what, self._left)

    def _left(self) -> Iterable[str]:
        return self.jobs()

    def over(self) -> None:
        """Forget the time limit: the stop has come to its end."""
        if self._timer is not None:
            self._timer.cancel()

    def ask(self) -> None:
        """Stop gracefully, for another reason than a signal. Does nothing the second time."""
        if self.asked_at is None:
            self.asked_at = anyio.current_time()
            self.limit_time()
            self.graceful()

    def _receive(self, received: Signals) -> None:
        if self.first is None:
            self.first = received
            self.ask()
        elif self.second is None and received in INSISTING:
            self.second = received
            self.at_once()


async def stoppable(
    body: Callable[[Stop], Awaitable[None]],
    last_resort: float = LAST_RESORT,
    time_limit: float | None = None,
    then: Callable[[], None] | None = None,
) -> Stop:
    """Run the body of a command, which signals cancel unless it says otherwise.

    The process ends `last_resort` seconds after the second signal, come what may, and as long after
    the `time_limit` in seconds of a graceful stop; None is no limit. `then` sets up who receives
    signals afterwards; without it that is who did before.

    Raises:
        Exception: what the body raised, as it is.
    """
    failure: Exception | None = None
    scope = anyio.CancelScope()
    stop = Stop(scope.cancel, last_resort, time_limit, then)
    with scope:
        async with anyio.create_task_group() as stop.tasks:
            await stop.tasks.start(stop.watch)
            try:
                await body(stop)
            except Exception as error:  # noqa: BLE001 - raised below, around the group of tasks
                failure = error
            scope.cancel()
    stop.over()
    if failure is not None:
        raise failure
    return stop


@contextmanager
def _received(
    in_handler: Callable[[Signals], None], then: Callable[[], None] | None
) -> Iterator[socket.socket]:
    """Signals as bytes of a socket; `in_handler` is called with each at once, in the handler."""
    reader, writer = socket.socketpair()
    with reader, writer, _kept_from_forks():
        reader.setblocking(False)
        writer.setblocking(False)

        def receive(number: int, frame: FrameType | None) -> None:
            in_handler(Signals(number))
            with suppress(BlockingIOError):  # it is full of signals that were not received yet
                writer.send(bytes([number]))

        before = {number: signal.signal(number, receive) for number in stopping_signals()}
        try:
            yield reader
        finally:
            if then is None:
                for number, handler in before.items():
                    signal.signal(number, handler)
            else:
                then()


class _Forks(threading.local):
    """What a thread that forks has to know."""

    mask: set[int] | None = None
    """The signals that were blocked before; None outside of a fork."""


_forks = _Forks()
_receivers = 0


@contextmanager
def _kept_from_forks() -> Iterator[None]:
    """See to it that children forked meanwhile do not inherit how signals are received."""
    global _receivers  # noqa: PLW0603 - what happens at a fork is so for the whole process
    _receivers += 1
    try:
        yield
    finally:
        _receivers -= 1


def _before_fork() -> None:
    if _receivers:
        # A signal that reaches the child before it has forgotten all must wait.
        _forks.mask = signal.pthread_sigmask(signal.SIG_BLOCK, (*INSISTING, HANGUP))


def _after_fork() -> None:
    mask, _forks.mask = _forks.mask, None
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _forget_in_child() -> None:
    global _receivers  # noqa: PLW0603 - the child has none
    if _receivers:
        _receivers = 0
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if signal.getsignal(HANGUP) != signal.SIG_IGN:
            signal.signal(HANGUP, signal.SIG_DFL)
    _after_fork()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork, after_in_child=_forget_in_child
)
