"""The ledger of a fault: what was emitted, what was acknowledged, and every run of the handler."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from walnats_anyio.middlewares import Middleware
from walnats_anyio.types import Context, OkContext


@dataclass(frozen=True)
class Run:
    """One run of the handler."""

    number: int
    """The message: every emit has a number of its own."""

    seq: int
    """Where the stream has it. Two of one number: it was stored twice."""

    started: float
    """On the clock that all processes of the machine share."""


class Notes(Middleware):
    """Writes down every job that starts and that succeeds, in a file that outlives the process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_start(self, ctx: Context, /) -> None:
        self._note(f"start {ctx.message} {ctx.seq_number} {time.monotonic()}")

    def on_success(self, ctx: OkContext, /) -> None:
        self._note(f"done {ctx.message}")

    def _note(self, line: str) -> None:
        # Opened each time, so that it is nobody's to close; one write is never torn apart.
        with self._path.open("a") as file:
            file.write(f"{line}\n")


@dataclass
class Noted:
    """What a file of notes says."""

    path: Path

    runs: list[Run] = field(default_factory=list)

    done: set[int] = field(default_factory=set)

    _read: int = 0

    def read_on(self) -> Self:
        """Read what was added; a line that is not whole yet is left for later."""
        if not self.path.exists():
            return self
        with self.path.open() as file:
            file.seek(self._read)
            lines = file.read().splitlines(keepends=True)
        for line in lines:
            if not line.endswith("\n"):
                break
            match line.split():
                case ["start", number, seq, started]:
                    self.runs.append(Run(int(number), int(seq), float(started)))
                case ["done", number]:
                    self.done.add(int(number))
                case _:  # two lines in one, as a writer was killed within a line
                    pass
            self._read += len(line)
        return self


@dataclass(frozen=True)
class Result:
    """What a fault came to."""

    fault: str
    backend: str
    events: int
    acknowledged: int
    handled: int
    """Messages whose handler ran, each counted once."""

    run_again: int
    """Runs of an event that had been run already: it was held, or its ack was lost."""

    run_again_allowed: int

    stored_twice: int
    """Messages without `uid` that their stream has twice, as the acknowledgement was lost."""

    stored_twice_allowed: int

    unique_twice: int
    """The same with `uid`: there must be none."""

    recovery: float
    """Seconds from the end of the fault to the first job of an event emitted after it."""

    recovery_allowed: float

    seconds: float
    """How long all of it took."""

    @property
    def problems(self) -> list[str]:
        """What is not as it must be."""
        found = {
            "not acknowledged": self.acknowledged < self.events,
            "events lost": self.handled < self.acknowledged,
            "too many run again": self.run_again > self.run_again_allowed,
            "too many stored twice": self.stored_twice > self.stored_twice_allowed,
            "stored twice despite uid": self.unique_twice > 0,
            "recovered too late": self.recovery > self.recovery_allowed,
        }
        return [problem for problem, there in found.items() if there]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "problems": self.problems}


def stored_twice(runs: Iterable[Run]) -> set[int]:
    """Messages that a stream has more than once."""
    places: dict[int, set[int]] = defaultdict(set)
    for run in runs:
        places[run.number].add(run.seq)
    return {number for number, seqs in places.items() if len(seqs) > 1}


def run_again(runs: list[Run]) -> int:
    """Runs of what had been run before: the same message from the same place in its stream."""
    return len(runs) - len({(run.number, run.seq) for run in runs})


def recovery(runs: Iterable[Run], over: float, since: int) -> float:
    """Seconds from the end of the fault to the first job of what was emitted after it."""
    return min((run.started - over for run in runs if run.number >= since), default=math.inf)
