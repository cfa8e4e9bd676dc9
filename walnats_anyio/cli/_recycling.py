"""When a worker process is recycled: it stops gracefully, and another one takes its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from walnats_anyio.cli._endings import ExitCode, Problem
from walnats_anyio.cli._sizes import can_measure_memory, parse_size, size_in_words

SPARED_FOR = 60.0
"""Seconds for which a process is not recycled for its memory, if it needed that much at the start.

Another one would not do better.
"""


@dataclass(frozen=True)
class Recycling:
    """The options about recycling."""

    max_jobs_per_worker: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="After N jobs a worker process is replaced by a new one, gracefully.",
            show_default="never",
        ),
    ] = None
    max_memory: Annotated[
        int | None,
        typer.Option(
            parser=parse_size,
            metavar="SIZE",
            help="With more resident memory than this, such as 512MiB, a worker process is "
            "replaced by a new one, gracefully.",
            show_default="no limit",
        ),
    ] = None

    @property
    def wanted(self) -> bool:
        """Whether there is a limit at all."""
        return self.max_jobs_per_worker is not None or self.max_memory is not None

    def check(self) -> None:
        """See whether this system can do what was asked for.

        Raises:
            Problem: it cannot.
        """
        if self.max_memory is not None and not can_measure_memory():
            raise Problem(
                "--max-memory needs /proc, where Linux tells how much memory a process has",
                hint="limit the number of jobs: --max-jobs-per-worker",
                code=ExitCode.USAGE,
            )

    def reason(self, use: Use) -> str | None:
        """Why a process is to be recycled; None: it is not."""
        if self.max_jobs_per_worker is not None and use.jobs >= self.max_jobs_per_worker:
            return f"has done {use.jobs:,} jobs"
        if self.too_large(use.memory) and (
            not self.too_large(use.memory_at_start) or use.ready_for >= SPARED_FOR
        ):
            return f"has {size_in_words(use.memory)} of memory"
        return None

    def too_large(self, memory: int) -> bool:
        """Whether this is more memory than a process may have."""
        return self.max_memory is not None and memory > self.max_memory


@dataclass(frozen=True)
class Use:
    """What a worker process has done, and what it needs."""

    jobs: int
    """Jobs that came to an end in it, however they ended."""

    memory: int
    """Its resident memory in bytes, with that of the processes that it started."""

    memory_at_start: int
    """The same, when it was ready."""

    ready_for: float
    """Seconds since it was ready."""
