"""Events that are held until they are due.

| header | who holds the event | until |
| --- | --- | --- |
| `Walnats-Delay` | the server, after a hand-back, as with walnats | that moment, on our clock |
| `Walnats-Due` | this process, for less than a second | that moment, on the server's clock |

Anybody may have written them. What is no moment within a hundred years is ignored, so that an event
with it is handled rather than lost.
"""

from __future__ import annotations

import logging
import math
import re

from walnats_anyio._events import MAX_DELAY

logger = logging.getLogger("walnats_anyio.actors")

MOMENT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,20})?")
"""Seconds since the epoch."""

SOON = 0.001
"""Seconds that are not worth handing an event back for."""


def seconds_until(moment: str, now: float) -> float | None:
    """How long an event is to be held; 0 where it is due, None for what is no moment.

    Args:
        moment: the value of the header.
        now: seconds since the epoch.
    """
    if MOMENT.fullmatch(moment) is None:
        return None
    left = float(moment) - now
    if left > MAX_DELAY:
        return None
    return left if left > SOON else 0.0


class DueTimes:
    """Tells which events of one actor are not due yet, and warns once of a header it ignores."""

    __slots__ = ("_actor", "_warned")

    def __init__(self, actor: str) -> None:
        self._actor = actor
        self._warned = False

    def seconds_left(self, moment: str, now: float) -> float:
        """How long an event is to be held; 0 where it is to be handled."""
        left = seconds_until(moment, now)
        if left is None and not self._warned:
            self._warned = True
            logger.warning(
                "actor %r: an event has Walnats-Delay=%r, which is no time in seconds since 1970 "
                "within 100 years, and is handled at once; others like it are not logged",
                self._actor, moment[:100],
            )  # fmt: skip
        return left or 0.0


LONGEST_LEAD = 0.5
"""Seconds that an event is held here at most, whatever its header says."""

FRESH = 2.0
"""Seconds for which an event has been in its stream at most to be held: one that is older, by our
clock, was due long ago. So 100,000 that have waited for their actor are not held, each for a
moment."""

MEASURED_FOR = 60.0
"""Seconds after which the server's clock is compared anew, as clocks drift, and are set."""


class LeadTimes:
    """Tells how long events are to be held which their stream has got a moment before they are due.

    Each delivery says when the stream has stored the event, on the server's clock. The smallest
    difference to our clock is that of the two clocks, and of the fastest delivery. So no event is
    handled before it is due on the server's clock, and one that comes at once when it is.
    """

    __slots__ = ("_behind", "_until")

    def __init__(self) -> None:
        self._behind = math.inf
        """Seconds that the server's clock is behind ours, at most."""
        self._until = -math.inf

    def seconds_left(self, moment: str, stored: float, now: float, wall: float) -> float:
        """How long an event is to be held; 0 where it is to be handled.

        Args:
            moment: the value of its header.
            stored: when its stream has stored it, in seconds since the epoch on the server's clock.
            now: seconds on a clock that nobody sets.
            wall: seconds since the epoch.
        """
        if MOMENT.fullmatch(moment) is None:
            return 0.0
        lead = min(float(moment) - stored, LONGEST_LEAD)
        if lead <= 0 or wall - stored > FRESH:
            return 0.0
        behind = now - stored
        if behind < self._behind or now > self._until:
            self._behind, self._until = behind, now + MEASURED_FOR
        return max(0.0, lead - (behind - self._behind))
