"""What the ledgers add up to: pure counting."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from walnats_anyio.cli._demo._ledger import Did, Ledger


@dataclass(frozen=True)
class Outcome:
    """What became of the events."""

    events: int
    """How many were to be emitted."""

    acknowledged: int
    """Emitted, and acknowledged by their stream."""

    handled: int
    """Different events that a handler returned from."""

    handled_by: tuple[int, ...]
    """How many of them each worker handled, in the order of the workers."""

    lost: tuple[int, ...]
    """Events that were acknowledged and never handled."""

    in_flight: int
    """Events that the killed worker was in the middle of."""

    in_flight_handled: int
    """How many of these the other worker handled."""

    handled_twice: int
    """Events that more than one handler returned from: done, but NATS had not heard of it."""

    left_in_stream: int
    """Events that NATS still keeps for the actor; it forgets those that are handled."""

    seconds: float
    """How long it took, from the first process to the last event."""

    @property
    def complete(self) -> bool:
        """Whether every event was emitted and handled, by the ledgers and by the server."""
        return (
            not self.lost
            and self.acknowledged == self.handled == self.events
            and self.left_in_stream == 0
        )

    def report(self) -> dict[str, Any]:
        """All of it, for a program."""
        counted = asdict(self)
        counted["lost"] = len(self.lost)
        counted["lost_events"] = list(self.lost)
        counted["seconds"] = round(self.seconds, 3)
        return counted | {"complete": self.complete}


def add_up(
    events: int,
    publisher: Ledger,
    killed: Ledger,
    remaining: Ledger,
    left_in_stream: int,
    seconds: float,
) -> Outcome:
    """Compare what was emitted with what was handled."""
    acknowledged = publisher.times(Did.ACKNOWLEDGED)
    by_killed, by_remaining = killed.times(Did.HANDLED), remaining.times(Did.HANDLED)
    times = by_killed + by_remaining
    in_flight = killed.in_flight()
    return Outcome(
        events=events,
        acknowledged=len(acknowledged),
        handled=len(times),
        handled_by=(len(by_killed), len(by_remaining)),
        lost=tuple(sorted(acknowledged.keys() - times.keys())),
        in_flight=len(in_flight),
        in_flight_handled=len(in_flight & by_remaining.keys()),
        handled_twice=sum(count > 1 for count in times.values()),
        left_in_stream=left_in_stream,
        seconds=seconds,
    )
