"""How `run` ended."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from signal import Signals
from typing import Any

from walnats_anyio.cli._restarts import Restart
from walnats_anyio.cli._tally import Tally

SHOWN_FROM = 0.05
"""Seconds of stopping that are worth a word."""


class Ended(enum.StrEnum):
    """Why `run` ended."""

    BURST = "burst done"
    """The events that were there are handled."""

    GRACEFUL = "stopped gracefully"
    """It was told to stop, and running jobs finished."""

    TIMEOUT = "stopped after the shutdown timeout"
    """It was told to stop, and jobs that took too long were cancelled."""

    AT_ONCE = "stopped at once"
    """It was told to stop twice, and running jobs were cancelled."""

    GAVE_UP = "gave up"
    """Starting the worker processes again and again is hopeless."""

    BROKEN = "stopped, but not all of it gracefully"
    """It was told to stop, and one of several processes did not end as it should."""

    UNASKED = "stopped, though nobody asked it to"
    """Listening ended by itself: whoever keeps this command running must start it again."""


@dataclass(frozen=True)
class WorkerEnding:
    """How one of several processes ended."""

    number: int
    """Which one, from 1."""

    pid: int
    """Its process id."""

    exit_code: int
    """Its exit code; below 0 when a signal killed it, as in `subprocess`."""


@dataclass(frozen=True)
class Ending:
    """How `run` ended."""

    how: Ended
    """Why."""

    exit_code: int
    """What the shell is told."""

    signal: Signals | None
    """The signal that it was first told to stop by."""

    seconds: float
    """How long it ran."""

    stopping: float
    """How long stopping took; 0 when it was not told to."""

    left: dict[str, int] | None
    """Events that are left in NATS, by actor; None where it could not be found out."""

    tally: Tally
    """What was done."""

    workers: tuple[WorkerEnding, ...] = ()
    """The processes, when there were several; of each worker the last one."""

    restarts: tuple[Restart, ...] = ()
    """The latest of the processes that another one took the place of."""

    restarted: int = 0
    """How many there were of them."""

    recycled: int = 0
    """Processes that another one took the place of, as they had done or needed enough."""

    reloaded: int = 0
    """How often the program was loaded anew."""

    def report(self) -> dict[str, Any]:
        """All of it, for a program."""
        return {
            "state": "ended",
            "how": self.how.value,
            "exit_code": self.exit_code,
            "signal": None if self.signal is None else self.signal.name,
            "seconds": round(self.seconds, 3),
            "stopping": round(self.stopping, 3),
            "left": self.left,
            "summary": self.tally.report(),
            "workers": [vars(worker) for worker in self.workers],
            "restarted": self.restarted,
            "restarts": [vars(restart) for restart in self.restarts],
            "recycled": self.recycled,
            "reloaded": self.reloaded,
        }

    def in_words(self) -> str:
        """All of it, for a person, in one line."""
        text = f"{self.how.value} after {self.seconds:.1f} s"
        if self.stopping >= SHOWN_FROM:
            text += f", {self.stopping:.1f} s of it stopping"
        if done := self.tally.in_words():
            text += f"; {done}"
        for count, what in ((self.restarted, "replaced"), (self.recycled, "recycled")):
            if count:
                text += f"; {count} worker{'s' * (count != 1)} {what}"
        if self.how in (Ended.AT_ONCE, Ended.TIMEOUT):
            text += "; the events of jobs that were cancelled are back in NATS"
        if self.left is not None:
            waiting = ", ".join(f"{name} {count}" for name, count in self.left.items() if count)
            text += f"; left in NATS: {waiting or 'nothing'}"
        return text
