"""Events that are held until they are due: their header `Walnats-Delay`, as walnats sends it.

Anybody may have written it. What is no moment within a hundred years is ignored, so that an event
with it is handled rather than lost.
"""

from __future__ import annotations

import logging
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
