"""When an actor is to be paused, as most of its jobs fail."""

from __future__ import annotations

from dataclasses import dataclass

from walnats_anyio._events._arguments import check_count, check_seconds, check_share


@dataclass(frozen=True)
class Ratio:
    """Pauses an actor in all processes when most of its jobs fail; a circuit breaker.

        Actor("send-mail", USER_CREATED, send, pause_on_failures=Ratio(0.5, jobs=20, pause=60))

    Each process counts its own jobs: those that raised or timed out have failed. `Reject` and
    `Snooze` count as neither, as the handler has decided that itself. After a pause it counts anew.

    Raises:
        TypeError: an argument is no number.
        ValueError: an argument is out of its range.
    """

    failed: float = 0.5
    """The part of the jobs that must have failed: above 0, at most 1."""

    jobs: int = 20
    """Jobs that must have ended at least: of few, chance decides."""

    within: float = 60.0
    """Seconds in which they must have ended."""

    pause: float = 60.0
    """Seconds for which the actor is paused."""

    def __post_init__(self) -> None:
        check_share("Ratio: failed", self.failed)
        check_count("Ratio: jobs", self.jobs)
        check_seconds("Ratio: within", self.within, 0.1)
        check_seconds("Ratio: pause", self.pause, 0.1)
