"""Who waits for a turn, and in what order. Pure: no clock and no tasks here.

Theory of operation. The oldest event goes first, by when its stream stored it, whichever process it
comes to and however often. A job waits *here*, in its slot, or its event is *away*: it was snoozed,
and is to come back when its turn is near. The place of an event that is away is kept until a moment
after it was due; then others may have its turn, as another process has the event, or nobody.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from operator import attrgetter

import anyio

Rank = tuple[float, int, int]
"""When the event was stored, its number in the stream, and a number that no other place has."""

_rank = attrgetter("rank")


@dataclass(eq=False, slots=True)
class Place:
    """A place in the line."""

    rank: Rank
    """The lower one goes first."""

    key: Hashable = None
    """What identifies the event; None: it cannot go away and come back."""

    due: float = 0.0
    """When the event is to come back, while it is away."""

    woken: anyio.Event = field(default_factory=anyio.Event)
    """Set when there may be a turn for the job."""


class Places:
    """Some places, in the order of their ranks."""

    def __init__(self) -> None:
        self._sorted: list[Place] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def __contains__(self, place: Place) -> bool:
        at = self.before(place)
        return at < len(self._sorted) and self._sorted[at] is place

    @property
    def first(self) -> Place | None:
        """The one whose turn is next."""
        return self._sorted[0] if self._sorted else None

    def before(self, place: Place) -> int:
        """How many come before a place, which need not be among them."""
        return bisect_left(self._sorted, place.rank, key=_rank)

    def add(self, place: Place) -> None:
        """Add a place."""
        insort(self._sorted, place, key=_rank)

    def discard(self, place: Place) -> None:
        """Remove a place, if it is there."""
        at = self.before(place)
        if at < len(self._sorted) and self._sorted[at] is place:
            del self._sorted[at]


class Line:
    """All who wait for the turns of one limit.

    Args:
        grace: seconds after it was due in which the place of an event is still kept.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self.all = Places()
        """Every place."""
        self.here = Places()
        """Those of jobs that wait in their slots."""
        self.late = Places()
        """Those of events that are away and should be back."""
        self._away: dict[Hashable, Place] = {}
        self._due: list[tuple[float, int, Place]] = []
        self._dropped_at: list[tuple[float, int, Place]] = []
        self._serial = 0

    @property
    def away(self) -> int:
        """How many events were snoozed and are not back."""
        return len(self._away)

    @property
    def next_drop(self) -> float:
        """When the next place is dropped of an event that is late; infinity if none is."""
        self._forget(self._dropped_at)
        return self._dropped_at[0][0] if self._dropped_at else float("inf")

    def arrive(self, stored: float, number: int = 0, key: Hashable = None) -> Place:
        """A job waits here.

        Args:
            stored: when its event was stored.
            number: of the event in its stream, as several are stored in a microsecond.
            key: what identifies the event.
        """
        back = self._away.pop(key, None) if key is not None else None
        if back is not None:
            self._remove(back)
        self._serial += 1
        place = Place((stored, number, self._serial), key)
        self.all.add(place)
        self.here.add(place)
        return place

    def leave(self, place: Place) -> None:
        """A job has got its turn, or has given up; nothing if it is away."""
        if place in self.here:
            self._remove(place)

    def send_away(self, place: Place, due: float) -> None:
        """The event of a job is snoozed until it is due."""
        assert place.key is not None
        self.here.discard(place)
        earlier = self._away.pop(place.key, None)
        if earlier is not None:  # the event was delivered twice
            self._remove(earlier)
        place.due = due
        self._away[place.key] = place
        heappush(self._due, (due, place.rank[2], place))

    def advance(self, now: float) -> None:
        """Time has passed: notice who is late, and drop who is too late."""
        while self._due and self._due[0][0] <= now:
            due, serial, place = heappop(self._due)
            if self._is_away(place):
                self.late.add(place)
                heappush(self._dropped_at, (due + self._grace, serial, place))
        while self._dropped_at and self._dropped_at[0][0] <= now:
            *_, place = heappop(self._dropped_at)
            if self._is_away(place):
                del self._away[place.key]
                self._remove(place)

    def _is_away(self, place: Place) -> bool:
        return self._away.get(place.key) is place

    def _forget(self, heap: list[tuple[float, int, Place]]) -> None:
        while heap and not self._is_away(heap[0][2]):
            heappop(heap)

    def _remove(self, place: Place) -> None:
        for places in (self.all, self.here, self.late):
            places.discard(place)
