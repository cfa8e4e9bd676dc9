"""Job slots: who may run. Every acquisition is immediate, so no cancellation can lose a token.

Theory of operation. A *slot* is a task that runs jobs of one actor, one after another. It holds a
token of the actor's limiter and one of the limiter that all actors of a `listen` share, from when
it is called until it finds nothing to run. An actor with events waiting calls a slot; when no
shared token is free the actor becomes a *contender*, and the next token goes to the contender with
the best claim: the time since when it waits, plus the handicap of its priority.

As long as nobody contends, a slot keeps its tokens from job to job.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import anyio


class Candidate(Protocol):
    """An actor that wants slots."""

    handicap: float
    """Seconds that its claim is put back."""

    waiting_since: float
    """When it became a contender, on the clock of `time.monotonic`."""

    limiter: anyio.CapacityLimiter
    """The actor's own slots."""

    def call_slot(self) -> object:
        """A slot that is to run; tokens are acquired on behalf of what this gives."""
        ...


class Slots:
    """The job slots that the actors of one `listen` share."""

    def __init__(self, max_jobs: int) -> None:
        self.limiter = anyio.CapacityLimiter(max_jobs)
        """Jobs running at once, over all actors."""
        self.total = max_jobs
        self.held = 0
        """Events that all actors together hold, waiting or running."""
        self.extra = 0
        """Events that the actors have asked for, the first one of each not counted."""
        self.contenders: dict[int, Candidate] = {}
        """Actors with events waiting for which no shared token was free."""
        self._starved: dict[int, Callable[[], None]] = {}

    @property
    def room(self) -> int:
        """How many more events can be held, so that each has a slot at once."""
        return self.total - self.held

    def hold(self) -> None:
        """An event came to one of the actors."""
        self.held += 1

    def let_go(self) -> None:
        """One of the actors is done with an event."""
        self.held -= 1
        if self._starved and self.held < self.total:
            # All of them, as nobody knows which one has events at the server.
            starved, self._starved = self._starved, {}
            for ask in starved.values():
                ask()

    def ask_later(self, candidate: Candidate, ask: Callable[[], None]) -> None:
        """Call `ask` when there is room again."""
        self._starved[id(candidate)] = ask

    def call(self, candidate: Candidate) -> bool:
        """Give the candidate a slot if one is free; otherwise it contends for the next."""
        own = candidate.limiter
        if own.available_tokens < 1:
            return False  # its own slots come back to its waiting events by themselves
        if self.limiter.available_tokens < 1:
            if id(candidate) not in self.contenders:
                candidate.waiting_since = time.monotonic()
                self.contenders[id(candidate)] = candidate
            return False
        self.contenders.pop(id(candidate), None)
        slot = candidate.call_slot()
        own.acquire_on_behalf_of_nowait(slot)
        self.limiter.acquire_on_behalf_of_nowait(slot)
        return True

    def release(self, candidate: Candidate, slot: object) -> None:
        """A slot found nothing more to run, or gives way."""
        candidate.limiter.release_on_behalf_of(slot)
        self.limiter.release_on_behalf_of(slot)
        self._next()

    def must_yield(self, candidate: Candidate) -> bool:
        """Whether a contender has a better claim to the token than another job of this actor."""
        if not self.contenders:
            return False
        mine = time.monotonic() + candidate.handicap
        return any(_claim(other) < mine for other in self.contenders.values())

    def withdraw(self, candidate: Candidate) -> None:
        """The candidate wants no slot any more."""
        self.contenders.pop(id(candidate), None)
        self._starved.pop(id(candidate), None)

    def _next(self) -> None:
        while self.contenders:
            best = min(self.contenders.values(), key=_claim)
            # Out first: one whose own slots are all busy must not block the others.
            del self.contenders[id(best)]
            if self.call(best):
                return


class Share:
    """How much one actor may ask for, where several share the slots.

    An actor that waits for its first event asks for that one only, or the actors would take all
    that each of them can run, for slots that they share. One with events coming asks for what the
    others leave. So all of them together take at most one event each more than there are slots.
    """

    def __init__(self, slots: Slots, *, alone: bool, eager: bool) -> None:
        self.busy = eager
        """Whether events are coming; always with `eager`."""
        self._slots = slots
        self._alone = alone
        self._eager = eager
        self._extra = 0

    def most(self) -> int | None:
        """The most to ask for altogether; None for no limit."""
        if self._alone:
            return None
        room = self._slots.room
        if room <= 0:
            return 0
        return max(1, room - self._slots.extra + self._extra) if self.busy else 1

    def asked(self, count: int) -> None:
        """So much is asked for now."""
        extra = max(0, count - 1)
        self._slots.extra += extra - self._extra
        self._extra = extra

    def rest(self) -> None:
        """No event came for a whole request."""
        self.busy = self._eager


def _claim(candidate: Candidate) -> float:
    return candidate.waiting_since + candidate.handicap
