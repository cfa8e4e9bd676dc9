"""Who may run a job next. Every acquisition is immediate, so no cancellation can lose a token.

Theory of operation. A worker is a task that runs jobs of one actor, one after another. It holds a
token of the actor's limiter and one of the limiter that all actors of a `listen` share, from when
it is called until it finds nothing to run. An actor with deliveries waiting calls a worker; when no
shared token is free the actor becomes a *waiter*, and the next token goes to the waiter with the
best claim: the time since when it waits, plus the offset of its priority.

As long as nobody waits, a worker keeps its tokens from job to job.

A delivery that may be what killed its process runs alone: then no token is given until it is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import anyio


class Waiter(Protocol):
    """An actor that wants workers."""

    priority_offset: float
    """Seconds that its claim is put back."""

    waiting_since: float
    """When it began to wait, on the clock of `time.monotonic`."""

    limiter: anyio.CapacityLimiter
    """The actor's own jobs."""

    def call_worker(self) -> object:
        """A worker that is to run; tokens are acquired on behalf of what this gives."""
        ...

    def clear(self) -> None:
        """Hand back what waits, as something is to run alone; but not what is to do so as well."""
        ...

    def resume(self) -> None:
        """Take events again."""
        ...


class Scheduler:
    """Gives the tokens that the actors of one `listen` share."""

    def __init__(self, max_jobs: int, changed: Callable[[], None]) -> None:
        self.limiter = anyio.CapacityLimiter(max_jobs)
        """Jobs running at once, over all actors."""
        self.waiters: dict[int, Waiter] = {}
        """Actors with deliveries waiting for which no shared token was free."""
        self.members: list[Waiter] = []
        """All actors of this `listen`."""
        self.alone: object | None = None
        """The worker whose job is to run alone."""
        self.turns = 0
        """How many jobs began to run alone, or to wait for that."""
        self._changed = changed
        self._quiet = anyio.Event()

    @property
    def idle(self) -> bool:
        """Whether no job runs."""
        return not self.limiter.borrowed_tokens

    def call(self, waiter: Waiter) -> bool:
        """Give the actor a worker if a token is free; otherwise it waits for the next."""
        own = waiter.limiter
        if own.available_tokens < 1 or self.alone is not None:
            return False  # its own tokens come back to its waiting deliveries by themselves
        if self.limiter.available_tokens < 1:
            self.line_up(waiter)
            return False
        self.waiters.pop(id(waiter), None)
        worker = waiter.call_worker()
        own.acquire_on_behalf_of_nowait(worker)
        self.limiter.acquire_on_behalf_of_nowait(worker)
        return True

    def line_up(self, waiter: Waiter) -> None:
        """Have the actor wait for a shared token."""
        if id(waiter) not in self.waiters:
            waiter.waiting_since = time.monotonic()
            self.waiters[id(waiter)] = waiter

    def release(self, waiter: Waiter, worker: object) -> None:
        """A worker found nothing more to run, or gives way."""
        waiter.limiter.release_on_behalf_of(worker)
        self.limiter.release_on_behalf_of(worker)
        self.end_alone(worker)
        if self.alone is not None:
            if self.limiter.borrowed_tokens == 1:
                self._quiet.set()
            return
        self._next()
        if not self.limiter.borrowed_tokens:
            self._changed()

    def must_yield(self, waiter: Waiter) -> bool:
        """Whether another has a better claim to the token than one more job of this actor."""
        if self.alone is not None:
            return True
        if not self.waiters:
            return False
        mine = time.monotonic() + waiter.priority_offset
        return any(_claim(other) < mine for other in self.waiters.values())

    def withdraw(self, waiter: Waiter) -> None:
        """The actor wants no worker any more."""
        self.waiters.pop(id(waiter), None)

    async def begin_alone(self, worker: object, within: float) -> bool:
        """Wait until no other job runs; from then on none starts until `end_alone`.

        Returns:
            False when another job runs on after `within` seconds, or is to run alone itself.
        """
        if self.alone is not None:
            return False
        self.alone = worker
        self.turns += 1
        self.waiters.clear()
        for member in self.members:
            member.clear()
        quiet = False
        try:
            with anyio.move_on_after(within):
                while self.limiter.borrowed_tokens > 1:
                    self._quiet = anyio.Event()
                    await self._quiet.wait()
                quiet = True
        finally:
            if not quiet:
                self.end_alone(worker)
        return quiet

    def end_alone(self, worker: object) -> None:
        """The job that ran alone is over."""
        if self.alone is worker:
            self.alone = None
            for member in self.members:
                member.resume()

    def _next(self) -> None:
        while self.waiters:
            best = min(self.waiters.values(), key=_claim)
            # Out first: one whose own tokens are all in use must not block the others.
            del self.waiters[id(best)]
            if self.call(best):
                return


def _claim(waiter: Waiter) -> float:
    return waiter.waiting_since + waiter.priority_offset
