"""When an event is to reach actors, and how long it may: what `delay`, `at` and `ttl` say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

MAX_SECONDS = 100 * 365.25 * 24 * 3600
"""The longest delay and time to live, 100 years: a larger number is a mistake."""

MIN_TTL = 1
"""The shortest time to live, in seconds, that the server takes (ADR-43)."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When an event is due, and how long it lives then."""

    due: float | None = None
    """Seconds since the epoch, as this machine tells the time. None: at once."""

    counted: bool = False
    """Whether it was counted from now, and no moment was named: then the server's clock counts."""

    ttl: int | None = None
    """Whole seconds after which it is gone, from when it is due. None: it stays."""


AT_ONCE = Timing()


def timing_of(delay: float | None, at: datetime | None, ttl: float | None, now: float) -> Timing:
    """Check what an emit says of its time.

    Args:
        delay: seconds from now until it is due.
        at: the moment when it is due.
        ttl: seconds after which it is gone, from when it is due.
        now: seconds since the epoch.

    Raises:
        TypeError: one of them is of a wrong type.
        ValueError: one is out of range, `at` has no time zone, or both `delay` and `at` are given.
    """
    if delay is not None and at is not None:
        raise ValueError(f"delay={delay!r} and at={at!r} both say when it is due: give one of them")
    due: float | None = None
    if delay is not None:
        due = now + _delay(delay)
    elif at is not None:
        due = _moment(at, now)
    if due is not None and due <= now:
        due = None
    seconds = None if ttl is None else _whole_seconds(ttl)
    return Timing(due, due is not None and delay is not None, seconds)


def _delay(delay: object) -> float:
    seconds = _number("delay", delay)
    if not -math.inf < seconds <= MAX_SECONDS:
        raise ValueError(
            f"delay must be a number of seconds of at most {MAX_SECONDS:.0f} (100 years), not "
            f"{delay!r}"
        )
    return seconds


def _moment(at: object, now: float) -> float:
    if not isinstance(at, datetime):
        raise TypeError(f"at must be a datetime with a time zone, not {type(at).__name__}: {at!r}")
    if at.utcoffset() is None:
        raise ValueError(
            f"at={at!r} has no time zone: give one, as in datetime(2030, 1, 2, tzinfo=UTC), or "
            "at.astimezone() for the local time of this machine"
        )
    due = at.timestamp()
    if due - now > MAX_SECONDS:
        raise ValueError(f"at must be within 100 years, not {at!r}")
    return due


def _whole_seconds(ttl: object) -> int:
    seconds = _number("ttl", ttl)
    if not MIN_TTL <= seconds <= MAX_SECONDS:
        raise ValueError(
            f"ttl must be {MIN_TTL} to {MAX_SECONDS:.0f} seconds, as the server counts whole "
            f"seconds, not {ttl!r}"
        )
    return math.ceil(seconds)


def _number(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(
            f"{what} must be a number of seconds, not {type(value).__name__}: {value!r}"
        )
    return value
