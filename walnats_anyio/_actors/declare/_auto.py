"""How an actor says that the number of its jobs is to be found while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from walnats_anyio._events._arguments import check_count


@dataclass(frozen=True)
class Auto:
    """`max_jobs` that follows what the handler can do, within bounds.

    `Actor(max_jobs="auto")` is short for `Actor(max_jobs=Auto())`. See the guide *Jobs that tune
    themselves* for how it is found, and where it is of no use.

    Raises:
        TypeError: a bound is not an int.
        ValueError: a bound is below 1, or they are not in order.
    """

    least: int = 1
    """Jobs that may run at once in any case."""

    most: int = 1000
    """Jobs that may run at once at most; `max_jobs` of `listen` bounds it as well."""

    start: int = 8
    """Jobs that may run at once until something is known."""

    def __post_init__(self) -> None:
        for name in ("least", "most", "start"):
            check_count(f"Auto: {name}", getattr(self, name))
        if not self.least <= self.start <= self.most:
            raise ValueError(
                f"Auto: least={self.least}, start={self.start} and most={self.most} must be in "
                "this order: none may be below the one before"
            )


MaxJobs = int | Literal["auto"] | Auto
"""What `Actor.max_jobs` takes."""


def auto_of(max_jobs: MaxJobs) -> Auto | None:
    """Give the bounds within which a number of jobs is to be found; None where it is fixed."""
    if max_jobs == "auto":
        return Auto()
    return max_jobs if isinstance(max_jobs, Auto) else None


def check_max_jobs(what: str, value: object) -> None:
    """Refuse what is no number of jobs.

    Raises:
        TypeError, ValueError: it is none.
    """
    if value == "auto" or isinstance(value, Auto):
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an int, 'auto' or Auto(...), not {value!r}")
    check_count(what, value)
