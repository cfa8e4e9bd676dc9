"""How far the demo is at one moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerProgress:
    """How far one worker is."""

    name: str
    """Which one."""

    state: str
    """What it is doing, in a word or two."""

    handled: int
    """Events that its handler returned from."""

    in_flight: int
    """Events that its handler is in the middle of, or was when it was killed."""

    @property
    def in_words(self) -> str:
        """What it is doing."""
        if self.state == "running":
            return f"{self.in_flight} in flight"
        if self.state == "killed":
            return f"killed with {self.in_flight} in flight"
        return self.state


@dataclass(frozen=True)
class Progress:
    """How far the demo is."""

    seconds: float
    """Since it started."""

    events: int
    """How many there will be."""

    acknowledged: int
    """How many are emitted and acknowledged."""

    handled: int
    """How many different ones are handled."""

    workers: tuple[WorkerProgress, ...]
    """The workers."""
