"""When a job may start: the line of those who wait, and where turns come from.

Theory of operation. Every decision is made in one step, without a checkpoint: a turn is taken at
the moment in which the job starts, so a job that is cancelled while it waits has none to give back.
It leaves the line, and wakes whoever is next. No task runs here; each job that waits has a timer of
its own, until the moment at which its turn should come, and is woken when that comes sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import inf
from typing import NoReturn, Protocol

import anyio

from walnats_anyio._actors.declare import Snooze
from walnats_anyio._actors.declare._choices import MIN_SNOOZE
from walnats_anyio.decorators._line import Line, Place

LEAST_SNOOZE = 0.1
"""Seconds at least until an event comes back whose turn should be there and is not."""

GRACE = 0.1
"""How much of a period a turn is kept for an event that should be back, as it idles meanwhile."""

MAX_GRACE = 1.0
"""Seconds for which it is kept at most."""

MAX_SNOOZE = 300.0
"""Seconds at most until an event comes back, so that a higher limit takes effect soon."""


class Source(Protocol):
    """Where turns come from. Never blocks; times are on the clock of the event loop."""

    reserves: bool
    """Whether turns are kept for events that are away."""

    def free(self, now: float) -> int:
        """How many jobs may start now."""
        ...

    def take(self, now: float) -> None:
        """A job starts."""
        ...

    def when(self, before: int, now: float) -> float:
        """When a job with so many before it may start; not later than now: soon, it is not known.

        Args:
            before: jobs that go first.
            now: the time.
        """
        ...

    def ask(self, count: int, now: float) -> None:
        """So many jobs wait here. Where turns have to be fetched, they are."""
        ...


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Claim:
    """What a job is to its limit."""

    stored: float
    """When its event was stored, in seconds since the epoch."""

    number: int = 0
    """The number of its event in the stream."""

    key: Hashable = None
    """What identifies the event. None: it cannot be snoozed, as there is no job of an actor."""

    patience: float = inf
    """Seconds that it may wait in its slot."""

    is_over: Callable[[], bool] = _never
    """Whether the job has ended meanwhile. On trio a thread that is given up waits on."""


class Turns:
    """Gives the turns of one limit, in one event loop.

    Args:
        source: where they come from.
        period: seconds of the limit.
    """

    def __init__(self, source: Source, period: float) -> None:
        self.line = Line(min(MAX_GRACE, GRACE * period))
        """Who waits."""
        self._source = source

    def take_at_once(self) -> bool:
        """Start a job if nobody waits and there is a turn; the fast path."""
        if self.line.all:
            return False
        now = anyio.current_time()
        if not self._source.free(now):
            return False
        self._source.take(now)
        return True

    def take_or_snooze(self, claim: Claim) -> None:
        """Start a job now, or never.

        Raises:
            Snooze: it is not its turn.
        """
        place = self.line.arrive(claim.stored, claim.number, claim.key)
        try:
            if not self._start(place):
                self._snooze(place)
        finally:
            self._leave(place)

    async def take(self, claim: Claim) -> None:
        """Start a job; waits for its turn, in the order of the events' age.

        Raises:
            Snooze: its turn comes later than its patience lasts.
            RuntimeError: the job ended while it waited.
        """
        place = self.line.arrive(claim.stored, claim.number, claim.key)
        give_up_at = anyio.current_time() + claim.patience
        try:
            while not self._start(place):
                now = anyio.current_time()
                at = self._when(place, now)
                if max(now, at) >= give_up_at:
                    self._snooze(place)
                if at <= now:  # a turn may be free as soon as an event that is late is too late
                    at = min(self.line.next_drop, now + LEAST_SNOOZE)
                place.woken = anyio.Event()
                with anyio.move_on_after(min(at, give_up_at) - now):
                    await place.woken.wait()
                if claim.is_over():
                    raise RuntimeError("the job ended before its turn came")
        finally:
            self._leave(place)

    def wake_first(self) -> None:
        """There may be a turn: let the first who waits here look."""
        first = self.line.here.first
        if first is not None:
            first.woken.set()

    def _start(self, place: Place) -> bool:
        """Start the job if it is its turn."""
        now = anyio.current_time()
        line, source = self.line, self._source
        line.advance(now)
        before = line.all if source.reserves else line.here
        if source.free(now) > before.before(place):
            source.take(now)
            line.leave(place)
            return True
        source.ask(len(line.here), now)
        return False

    def _when(self, place: Place, now: float) -> float:
        """When its turn may come, at the earliest; not later than now: soon, it is not known."""
        line = self.line
        if self._source.reserves:
            # Those who are late may not come back at all, and then their turns are free.
            before = line.all.before(place) - line.late.before(place)
        else:
            before = line.here.before(place)
        return self._source.when(before, now)

    def _snooze(self, place: Place) -> NoReturn:
        """Give the slot of a job to others until its turn is near.

        Raises:
            Snooze: always.
        """
        now = anyio.current_time()
        at = self._source.when(self.line.all.before(place), now)
        delay = at - now if at > now else LEAST_SNOOZE
        delay = min(max(delay, MIN_SNOOZE), MAX_SNOOZE)
        if place.key is not None:
            self.line.send_away(place, now + delay)
        raise Snooze(delay)

    def _leave(self, place: Place) -> None:
        self.line.leave(place)
        self.wake_first()
