"""What `run` was told, and how it ended."""

from __future__ import annotations

import enum
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any

from walnats_anyio.cli._choices import Backend
from walnats_anyio.cli._restarts import Restart
from walnats_anyio.cli._tally import Tally

SHOWN_FROM = 0.05
"""Seconds of stopping that are worth a word."""

JOBS_CANCELLED = 75
"""The exit code by which one of several workers tells its parent of `Ended.TIMEOUT`."""


@dataclass(frozen=True)
class Plan:
    """The options of `run`."""

    target: str
    """`module:NAME` of the actors."""

    servers: tuple[str, ...]
    """URLs of NATS servers; empty for the default ones."""

    backend: Backend
    """The event loop."""

    workers: int
    """How many processes run the actors."""

    max_jobs: int
    """Jobs at once in one process."""

    batch: int | None
    """Events that one request asks for at most."""

    max_polls: int | None
    """Actors that ask for events at the same time."""

    poll_delay: float | None
    """Seconds that a request waits at the server."""

    burst: bool
    """Whether to end when there are no more events."""

    shutdown_timeout: float | None
    """Seconds that running jobs have after the first signal."""

    register: bool
    """Whether to register streams and consumers first."""

    max_threads: int | None
    """Threads at once in one process."""

    max_processes: int | None
    """Processes of handlers at once in one process."""

    hang_timeout: float | None
    """Seconds without a sign of life after which one of several workers is killed."""

    max_restarts: int
    """Replacements of a worker that may end in a row before any worker is ready."""

    json: Path | None
    """The file for the report."""

    debug: bool
    """Whether to show tracebacks."""

    worker: int | None
    """The number of this process among several, from 1; None for a process of its own."""

    @property
    def server(self) -> list[str] | None:
        """The servers as `connect` takes them."""
        return list(self.servers) or None

    @property
    def prefix(self) -> str:
        """What one of several processes puts before what it says."""
        return "" if self.worker is None else f"worker {self.worker} ({os.getpid()}): "

    @property
    def connection_name(self) -> str:
        """What the connection is called in NATS's monitoring."""
        number = "" if self.worker is None else f" worker {self.worker}"
        return f"walnats-anyio run {self.target}{number}"

    def listen_options(self) -> dict[str, Any]:
        """The arguments of `ConnectedActors.listen`."""
        return {
            "burst": self.burst,
            "max_polls": self.max_polls,
            "poll_delay": self.poll_delay,
            "batch": self.batch,
            "max_jobs": self.max_jobs,
            "max_processes": self.max_processes,
            "max_threads": self.max_threads,
            "shutdown_timeout": self.shutdown_timeout,
        }

    def worker_command(self, number: int) -> list[str]:
        """The command line of one of several workers: this one, with the worker's number."""
        valued = {
            "--backend": self.backend.value,
            "--max-jobs": self.max_jobs,
            "--batch": self.batch,
            "--max-polls": self.max_polls,
            "--poll-delay": self.poll_delay,
            "--shutdown-timeout": self.shutdown_timeout,
            "--max-threads": self.max_threads,
            "--max-processes": self.max_processes,
            "--hang-timeout": self.hang_timeout or 0,
            "--worker": number,
        }
        # Registered once, by the parent: were it refused, it would be so once for each worker.
        words = ["run", self.target, "--no-register"]
        words += [f"--server={url}" for url in self.servers]
        words += [f"{option}={value}" for option, value in valued.items() if value is not None]
        words += ["--burst"] * self.burst + ["--debug"] * self.debug
        return [sys.executable, "-m", "walnats_anyio", *words]


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
    """Starting the workers again and again is hopeless."""

    BROKEN = "stopped, but not all of it gracefully"
    """It was told to stop, and one of several processes did not end as it should."""


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
        }

    def in_words(self) -> str:
        """All of it, for a person, in one line."""
        text = f"{self.how.value} after {self.seconds:.1f} s"
        if self.stopping >= SHOWN_FROM:
            text += f", {self.stopping:.1f} s of it stopping"
        if done := self.tally.in_words():
            text += f"; {done}"
        if self.restarted:
            text += f"; {self.restarted} worker{'s' * (self.restarted != 1)} replaced"
        if self.how in (Ended.AT_ONCE, Ended.TIMEOUT):
            text += "; the events of jobs that were cancelled are back in NATS"
        if self.left is not None:
            waiting = ", ".join(f"{name} {count}" for name, count in self.left.items() if count)
            text += f"; left in NATS: {waiting or 'nothing'}"
        return text
