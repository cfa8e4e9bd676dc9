"""What the demo adds up to: pure counting, and how it looks."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table

LOST_SHOWN = 20
"""Lost events named at most."""


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
        handled = self.acknowledged == self.handled == self.events
        return handled and not self.lost and self.left_in_stream == 0

    def report(self) -> dict[str, Any]:
        """All of it, for a program."""
        lost = {"lost": len(self.lost), "lost_events": list(self.lost), "complete": self.complete}
        return {**asdict(self), **lost, "seconds": round(self.seconds, 3)}

    def table(self) -> Table:
        """All of it, for a person."""
        table = Table("what became of the events", box=box.SIMPLE_HEAD)
        table.add_column("", justify="right")
        killed, remaining = self.handled_by
        rows = {
            "emitted and acknowledged": self.acknowledged,
            "handled": self.handled,
            "    by worker 1, until it was killed": killed,
            "    by worker 2": remaining,
            "lost": len(self.lost),
            "in flight at the kill": self.in_flight,
            "    of these handled by worker 2": self.in_flight_handled,
            "handled by both: done at the kill, but NATS had not heard": self.handled_twice,
            "left in the stream": self.left_in_stream,
        }
        for name, count in rows.items():
            good = "bold green" if self.complete else "bold red"
            table.add_row(name, f"{count:,}", style=good if name == "lost" else None)
        table.add_row("duration", f"{self.seconds:.1f} s")
        return table

    def verdict(self) -> str:
        """The result as a sentence."""
        if self.complete:
            return (
                f"Nothing was lost: all {self.events:,} events were handled, though worker 1 was "
                f"killed in the middle of {self.in_flight:,}."
            )
        if self.lost:
            named = ", ".join(map(str, self.lost[:LOST_SHOWN]))
            more = ", ..." if len(self.lost) > LOST_SHOWN else ""
            return f"{len(self.lost):,} events were lost: {named}{more}"
        if self.acknowledged < self.events:
            return f"only {self.acknowledged:,} of {self.events:,} events were emitted"
        return f"{self.left_in_stream:,} events were handled, but are still in the stream"


def add_up(
    acknowledged: int,
    events: int,
    started_by_killed: list[int],
    handled: tuple[list[int], list[int]],
    left_in_stream: int,
    seconds: float,
) -> Outcome:
    """Compare what was emitted, numbers from 1 on, with what was handled."""
    killed, remaining = map(set, handled)
    times = Counter([*handled[0], *handled[1]])
    in_flight = set(started_by_killed) - killed
    return Outcome(
        events=events,
        acknowledged=acknowledged,
        handled=len(times),
        handled_by=(len(killed), len(remaining)),
        lost=tuple(sorted(set(range(1, acknowledged + 1)) - times.keys())),
        in_flight=len(in_flight),
        in_flight_handled=len(in_flight & remaining),
        handled_twice=sum(count > 1 for count in times.values()),
        left_in_stream=left_in_stream,
        seconds=seconds,
    )
