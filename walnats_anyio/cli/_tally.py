"""What the processes of `run` did: their summaries, added up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from walnats_anyio._actors import ActorStatistics, ActorSummary, ListenStatistics, Summary

COUNTS = tuple(each.name for each in fields(ActorSummary) if each.type in (int, "int"))
"""The counts of a summary, in the order in which they are told."""

IN_WORDS = {"dead_lettered": "dead-lettered", "handed_back": "handed back"}

RARE = {"cancelled", "postponed"}
"""Counts that people are not told while they are 0: they are among the others."""


@dataclass
class Tally:
    """Counts of one process or of several."""

    uncounted: int = 0
    """Processes that listened and did not live to tell."""

    _actors: dict[tuple[str, str], Counter[str]] = field(
        default_factory=dict[tuple[str, str], Counter[str]]
    )

    def add(self, actors: list[dict[str, Any]]) -> None:
        """Add what one process did, as `told` gives it."""
        for counts in actors:
            sums = self._actors.setdefault((counts["actor"], counts["event"]), Counter())
            sums.update({name: counts[name] for name in COUNTS})

    def total(self, count: str) -> int:
        """One count, over all actors."""
        return sum(counts[count] for counts in self._actors.values())

    def report(self) -> dict[str, Any]:
        """All of it, for a program."""
        return {
            **{count: self.total(count) for count in COUNTS},
            "uncounted": self.uncounted,
            "actors": [
                {"actor": actor, "event": event, **{count: counts[count] for count in COUNTS}}
                for (actor, event), counts in self._actors.items()
            ],
        }

    def in_words(self) -> str:
        """The sums, for a person; empty when nothing is known."""
        if not self._actors:
            return ""
        totals = {count: self.total(count) for count in COUNTS}
        text = ", ".join(
            f"{total:,} {IN_WORDS.get(count, count)}"
            for count, total in totals.items()
            if total or count not in RARE
        )
        if self.uncounted:
            processes = "process" if self.uncounted == 1 else "processes"
            text += f", not counting {self.uncounted} {processes} that did not live to tell"
        return text


FIGURES = tuple(each.name for each in fields(ActorStatistics) if each.type in (int, "int"))
"""What is counted of an actor while it runs."""

DONE = ("handled", "failed", "dead_lettered")
"""Counts of jobs that came to an end."""


def statistics_told(statistics: ListenStatistics) -> dict[str, Any]:
    """What a process is doing, as a worker process tells it to its supervisor."""
    return {
        "connected": statistics.connection.connected,
        "reconnects": statistics.connection.reconnects,
        "slots": statistics.slots,
        "running": statistics.running,
        "loop_lag": round(statistics.loop_lag, 3),
        "jobs": sum(getattr(each, count) for each in statistics.actors for count in DONE),
        "actors": [
            {
                "actor": each.actor,
                "event": each.event,
                **{name: getattr(each, name) for name in FIGURES},
            }
            for each in statistics.actors
        ],
    }


def told(summary: Summary) -> list[dict[str, Any]]:
    """What each actor did, as a worker process tells it to its supervisor."""
    return [
        {
            "actor": actor.actor,
            "event": actor.event,
            **{name: getattr(actor, name) for name in COUNTS},
        }
        for actor in summary.actors
    ]
