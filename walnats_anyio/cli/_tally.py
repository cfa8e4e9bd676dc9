"""What the processes of `run` did: their summaries, added up."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from walnats_anyio._actors import ActorSummary, Summary

COUNTS = ("handled", "failed", "buried", "handed_back")


@dataclass
class Tally:
    """Counts of one process or of several."""

    uncounted: int = 0
    """Processes that listened and did not live to tell."""

    _actors: dict[tuple[str, str], ActorSummary] = field(
        default_factory=dict[tuple[str, str], ActorSummary]
    )

    def add(self, actors: tuple[ActorSummary, ...]) -> None:
        """Add what one process did."""
        for new in actors:
            key = (new.actor, new.event)
            old = self._actors.get(key, ActorSummary(*key, 0, 0, 0, 0))
            sums = (getattr(old, count) + getattr(new, count) for count in COUNTS)
            self._actors[key] = ActorSummary(*key, *sums)

    def report(self) -> dict[str, Any]:
        """All of it, for a program."""
        actors = tuple(self._actors.values())
        total = Summary(0.0, actors)
        return {
            **{count: getattr(total, count) for count in COUNTS},
            "uncounted": self.uncounted,
            "actors": [asdict(actor) for actor in actors],
        }

    def in_words(self) -> str:
        """The sums, for a person; empty when nothing is known."""
        if not self._actors:
            return ""
        total = Summary(0.0, tuple(self._actors.values()))
        text = ", ".join(f"{getattr(total, count):,} {count.replace('_', ' ')}" for count in COUNTS)
        if self.uncounted:
            processes = "process" if self.uncounted == 1 else "processes"
            text += f", not counting {self.uncounted} {processes} that did not live to tell"
        return text


def told(summary: Summary) -> dict[str, Any]:
    """A summary as a worker tells it to its parent."""
    return {"summary": [asdict(actor) for actor in summary.actors]}


def heard(news: dict[str, Any]) -> tuple[ActorSummary, ...] | None:
    """The summary in what a worker told; None when it told something else."""
    actors = news.get("summary")
    return None if actors is None else tuple(ActorSummary(**actor) for actor in actors)
