"""Handlers in threads: each has a place until it returns, also when its job was given up."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.lowlevel import current_token

from walnats_anyio._actors.run import _forks
from walnats_anyio._actors.run._calling import call
from walnats_anyio._actors.run._failure import Failure
from walnats_anyio._letters import frames_of

logger = logging.getLogger("walnats_anyio.actors")


class Threads:
    """The worker threads of one `listen`."""

    def __init__(self, most: int) -> None:
        self.limiter = anyio.CapacityLimiter(most)
        """Threads at once; one that was abandoned counts until it returns."""
        self._most = most
        self._abandoned: Counter[str] = Counter()
        """Threads that run on although their jobs were given up, by the name of the actor."""

    @property
    def hung(self) -> bool:
        """Whether all threads are abandoned ones, so that nothing can start."""
        return self._abandoned.total() >= self._most

    async def run(
        self,
        handler: Callable[[Any], Any],
        message: Any,
        *,
        actor: str,
        started: Callable[[], None],
    ) -> None:
        """Run a handler in a thread; see `Executors.run`."""
        # The token is kept here until the thread returns. anyio would give it back as soon as the
        # thread is abandoned, and handlers that hang would pile up threads without limit.
        ticket = object()
        await self.limiter.acquire_on_behalf_of(ticket)
        returned = partial(self._returned, ticket, actor)
        thread = ThreadCall(handler, message, partial(_in_loop, returned, current_token()))
        try:
            started()
            await anyio.to_thread.run_sync(
                thread.run, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
            )
        finally:
            if thread.abandon():
                self._abandon(actor)
            else:
                self.limiter.release_on_behalf_of(ticket)
        thread.raise_error()

    def _abandon(self, actor: str) -> None:
        self._abandoned[actor] += 1
        if self.hung:
            logger.error(
                "all %d threads are held by handlers that went on after their job_timeout (%s): "
                "actors with ExecuteIn.THREAD take no more events until one of them returns",
                self._most,
                ", ".join(f"actor {name!r}: {count}" for name, count in self._abandoned.items()),
            )

    def _returned(self, ticket: object, actor: str) -> None:
        """An abandoned thread has come to its end."""
        if self.hung:
            logger.warning("a thread that was given up has returned: events are taken again")
        self._abandoned[actor] -= 1
        self._abandoned += Counter()  # drops what is zero
        self.limiter.release_on_behalf_of(ticket)


class ThreadCall:
    """One call in a thread: either side may be the last one to let go of it.

    Args:
        handler: what to call.
        message: what to call it with.
        abandoned_end: called in the thread when the handler returns after `abandon` gave True.
    """

    def __init__(
        self, handler: Callable[[Any], Any], message: Any, abandoned_end: Callable[[], None]
    ) -> None:
        self._handler = handler
        self._message = message
        self._abandoned_end = abandoned_end
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._running = False
        self._abandoned = False
        self._forked = _forks.mark()

    def run(self) -> None:
        """Call the handler and keep what it raises. Does nothing once it is abandoned."""
        with self._lock:
            if self._abandoned:
                return  # cancelled before the thread came to it: the handler is not to run
            self._running = True
        try:
            call(self._handler, self._message)
        except BaseException as error:  # noqa: BLE001 - raised again, in the task that waits
            if self._forked:
                _forks.end_child()
            self._error = error
        if self._forked:
            _forks.end_child()
        with self._lock:
            self._running = False
            abandoned = self._abandoned
        if abandoned:
            self._error = None  # the job has ended otherwise
            self._abandoned_end()

    def abandon(self) -> bool:
        """Give the call up. True: its handler still runs, and `abandoned_end` will be called."""
        with self._lock:
            self._abandoned = True
            return self._running

    def raise_error(self) -> None:
        """Raise what the handler raised, if it did.

        Raises:
            Exception: what it raised.
            HandlerError: it raised what is no `Exception`. As itself, a `SystemExit` would end the
                program, and a cancellation would look like one of the job.
        """
        error, self._error = self._error, None
        if error is None:
            return
        try:
            if isinstance(error, Exception):
                raise error
            raise Failure.of(error, frames_of(error)).as_error()
        finally:
            del error  # or its traceback, which leads here, would keep itself alive


def _in_loop(function: Callable[[], None], token: Any) -> None:
    """Call a function in the event loop, from a thread, unless the loop has ended."""
    try:
        anyio.from_thread.run_sync(function, token=token)
    except (RuntimeError, anyio.ClosedResourceError):
        return  # the event loop ended before the thread did, and the limiter with it
