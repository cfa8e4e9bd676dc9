"""What a run of `listen` did."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Ended(enum.Enum):
    """Why a run of `listen` ended."""

    BURST = "burst"
    """There was nothing more to do, and `burst` was asked for."""

    SHUTDOWN = "shutdown"
    """`shutdown` was called, and every running job came to its end."""

    SHUTDOWN_TIMEOUT = "shutdown timeout"
    """`shutdown` was called, and jobs that did not end in time were cancelled."""

    CANCELLED = "cancelled"
    """It was cancelled, or it failed; then there is no summary but in the log."""


@dataclass(slots=True)
class Counts:
    """Counted for one actor while it listens."""

    handled: int = 0
    failed: int = 0
    dead_lettered: int = 0
    handed_back: int = 0
    redelivered: int = 0
    retried: int = 0
    cancelled: int = 0
    postponed: int = 0


@dataclass(frozen=True)
class ActorSummary:
    """What one actor did in a run of `listen`."""

    actor: str
    """The name of the actor."""

    event: str
    """The name of its event."""

    handled: int
    """Jobs whose handler returned."""

    failed: int
    """Jobs that failed, and whose events come again."""

    dead_lettered: int
    """Events given up: to the dead letters, or for good where the actor wants none."""

    handed_back: int
    """Events given back to the server: not started, snoozed, or cut short at the end."""

    cancelled: int = 0
    """Events that somebody cancelled, and requests whose callers did not wait any more."""

    postponed: int = 0
    """Events, among those that failed or were snoozed, of which the server keeps a copy until then.

    They take no place in `max_ack_pending` while they wait.
    """


@dataclass(frozen=True)
class Summary:
    """What a run of `listen` did, over all of its actors."""

    seconds: float
    """How long it listened."""

    actors: tuple[ActorSummary, ...]
    """What each actor did, in the order of the registry."""

    ended: Ended = Ended.SHUTDOWN
    """Why it ended."""

    @property
    def handled(self) -> int:
        """Jobs whose handler returned."""
        return sum(actor.handled for actor in self.actors)

    @property
    def failed(self) -> int:
        """Jobs that failed, and whose events come again."""
        return sum(actor.failed for actor in self.actors)

    @property
    def dead_lettered(self) -> int:
        """Events given up: to the dead letters, or for good where the actor wants none."""
        return sum(actor.dead_lettered for actor in self.actors)

    @property
    def handed_back(self) -> int:
        """Events given back to the server: not started, snoozed, or cut short at the end."""
        return sum(actor.handed_back for actor in self.actors)

    @property
    def cancelled(self) -> int:
        """Events that somebody cancelled, and requests whose callers did not wait any more."""
        return sum(actor.cancelled for actor in self.actors)

    @property
    def postponed(self) -> int:
        """Events that failed or were snoozed, and of which the server keeps a copy until then."""
        return sum(actor.postponed for actor in self.actors)

    def __str__(self) -> str:
        cancelled = f"{self.cancelled:,} cancelled, " if self.cancelled else ""
        return (
            f"{self.handled:,} handled, {self.failed:,} failed, {cancelled}"
            f"{self.dead_lettered:,} dead-lettered, {self.handed_back:,} handed back "
            f"in {self.seconds:.1f} s ({self.ended.value})"
        )
