"""Where plain functions run: in threads and in processes, each with a limiter of its own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_process
import anyio.to_thread
from anyio.lowlevel import current_token

from walnats_anyio._actors.declare._choices import ExecuteIn


class Executors:
    """The threads and processes of one `listen`."""

    def __init__(self, max_threads: int | None, max_processes: int | None) -> None:
        cores = os.cpu_count() or 1
        self.threads = anyio.CapacityLimiter(max_threads or min(32, cores + 4))
        """Threads at once; one that was abandoned counts until it returns."""
        self.processes = anyio.CapacityLimiter(max_processes or cores)
        """Processes at once."""

    async def run(self, place: ExecuteIn, handler: Callable[[Any], Any], message: Any) -> None:
        """Run a handler elsewhere and wait for its end; its result is dropped there.

        Cancelling it kills the process. A thread is abandoned: it runs on.

        Raises:
            TypeError: the handler gave an awaitable, which nobody could await.
            Exception: what the handler raises.
        """
        if place is ExecuteIn.PROCESS:
            await anyio.to_process.run_sync(
                call_in_process, handler, message, cancellable=True, limiter=self.processes
            )
        else:
            await self._in_thread(handler, message)

    async def _in_thread(self, handler: Callable[[Any], Any], message: Any) -> None:
        # The token is kept here until the thread returns. anyio would give it back as soon as the
        # thread is abandoned, and handlers that hang would pile up threads without limit.
        ticket = object()
        await self.threads.acquire_on_behalf_of(ticket)
        thread = _ThreadCall(handler, message)
        release = partial(self.threads.release_on_behalf_of, ticket)
        thread.abandoned_end = partial(_release_from_thread, release, current_token())
        try:
            await anyio.to_thread.run_sync(
                thread.run, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
            )
        finally:
            if not thread.abandon():
                release()


def call(handler: Callable[[Any], Any], message: Any) -> None:
    """Call a handler in a thread or process, and drop its result.

    Raises:
        TypeError: the result is an awaitable.
    """
    result: object = handler(message)
    if isinstance(result, Awaitable):
        if isinstance(result, Coroutine):
            result.close()
        raise TypeError("the handler gave an awaitable, which only ExecuteIn.MAIN can await")


def call_in_process(handler: Callable[[Any], Any], message: Any) -> None:
    """Call a handler in a worker process, sheltered from the Ctrl-C of a terminal.

    That reaches all processes of the terminal, but it is the program's to say what it means for
    the jobs; a job that is cancelled has its process killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    call(handler, message)


class _ThreadCall:
    """One call in a thread: either side may be the last one to let go of it."""

    def __init__(self, handler: Callable[[Any], Any], message: Any) -> None:
        self.abandoned_end: Callable[[], None]
        self._handler = handler
        self._message = message
        self._lock = threading.Lock()
        self._running = False
        self._abandoned = False

    def run(self) -> None:
        with self._lock:
            if self._abandoned:
                return  # cancelled before the thread came to it: the handler is not to run
            self._running = True
        try:
            call(self._handler, self._message)
        finally:
            with self._lock:
                self._running = False
                abandoned = self._abandoned
            if abandoned:
                self.abandoned_end()

    def abandon(self) -> bool:
        """Give the call up. True: its handler still runs, and `abandoned_end` will be called."""
        with self._lock:
            self._abandoned = True
            return self._running


def _release_from_thread(release: Callable[[], None], token: Any) -> None:
    try:
        anyio.from_thread.run_sync(release, token=token)
    except (RuntimeError, anyio.ClosedResourceError):
        return  # the event loop ended before the thread did, and the limiter with it
