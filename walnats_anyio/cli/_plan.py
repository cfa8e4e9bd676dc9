"""The options of `run`, spelled once: for typer, and as JSON for worker processes."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from walnats_anyio._link import Link
from walnats_anyio.cli._choices import Backend, BackendOption, DebugOption, JsonOption
from walnats_anyio.cli._connection import Connection
from walnats_anyio.cli._endings import ExitCode, Problem
from walnats_anyio.cli._health import Health
from walnats_anyio.cli._logs import Logs
from walnats_anyio.cli._recycling import Recycling
from walnats_anyio.cli._reloading import SHUTDOWN_TIMEOUT, Reloading

SHORTEST_HANG_TIMEOUT = 1.0
"""Seconds without a heartbeat that may count as a hang."""

OF_LISTEN = (
    "burst", "max_polls", "poll_delay", "batch", "max_jobs", "max_processes", "max_threads",
    "shutdown_timeout",
)  # fmt: skip
"""The options that are arguments of `ConnectedActors.listen`."""


def _check_hang_timeout(seconds: float) -> float:
    if 0 < seconds < SHORTEST_HANG_TIMEOUT:
        raise typer.BadParameter(
            f"{seconds:g} is too short to tell a hang from a busy machine: give at least "
            f"{SHORTEST_HANG_TIMEOUT:g} seconds, or 0 for never."
        )
    return seconds


@dataclass(frozen=True)
class Plan:
    """The options of `run`."""

    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:NAME",
            help="Where the actors are: subscribe:ACTORS is ACTORS in subscribe.py of the current "
            "directory. An Actors, an Actor, or a function that returns one of them.",
        ),
    ]
    connection: Connection = field(default=Connection())
    backend: BackendOption = Backend.ASYNCIO
    actors: Annotated[
        list[str] | None,
        typer.Option(
            "--actor",
            metavar="NAME",
            help="Run this actor only; may be given several times.",
            show_default="all of them",
        ),
    ] = None
    workers: Annotated[
        int, typer.Option(min=1, metavar="N", help="Processes; each one runs all actors.")
    ] = 1
    max_jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Jobs at once in one process, over all actors.")
    ] = 16
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Events that one request asks for at most.",
            show_default="as many as there are free places for jobs",
        ),
    ] = None
    max_polls: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Actors that ask for events at the same time.",
            show_default="all",
        ),
    ] = None
    poll_delay: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How long a request waits at the server.",
            show_default="2 with --burst, else 30",
        ),
    ] = None
    burst: Annotated[
        bool, typer.Option("--burst", help="Handle the events that are there, then end.")
    ] = False
    shutdown_timeout: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How long running jobs have when told to stop; then they are cancelled.",
            show_default="as long as they take; 5 with --reload",
        ),
    ] = None
    register: Annotated[
        bool,
        typer.Option(help="First make the streams and consumers on the server what is declared."),
    ] = True
    max_threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Threads for ExecuteIn.THREAD in one process.",
            show_default="cores + 4",
        ),
    ] = None
    max_processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Processes for ExecuteIn.PROCESS in one process.",
            show_default="cores",
        ),
    ] = None
    max_restarts: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="With a supervisor: replacements of one that may end in a row before any "
            "worker is ready; then the supervisor gives up.",
        ),
    ] = 10
    hang_timeout: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            callback=_check_hang_timeout,
            help="With a supervisor: a worker without a heartbeat from its event loop for so long "
            "is killed and replaced; 0 switches that off.",
        ),
    ] = 60.0
    recycling: Recycling = field(default=Recycling())
    reloading: Reloading = field(default=Reloading())
    health: Health = field(default=Health())
    logs: Logs = field(default=Logs())
    json: JsonOption = None
    debug: DebugOption = False
    worker: Annotated[int | None, typer.Option(hidden=True)] = None
    directory: str = field(default_factory=os.getcwd, metadata={"option": False})
    """Where the command was started: the actors' module may go elsewhere while it is imported."""
    standby: bool = field(default=False, metadata={"option": False})
    """Whether a worker process loads the program and then waits until its turn has come."""
    log_lock: int | None = field(default=None, metadata={"option": False})
    """The descriptor of a file that the processes lock while they write to the log."""

    def checked(self) -> Plan:
        """The plan with what follows from its options.

        Raises:
            Problem: options do not fit together, or what one of them needs is not installed.
        """
        self.recycling.check()
        self.reloading.check(burst=self.burst)
        self.health.check()
        if self.reloading.reload and self.shutdown_timeout is None:
            return replace(self, shutdown_timeout=SHUTDOWN_TIMEOUT)
        return self

    @property
    def needs_supervisor(self) -> bool:
        """Whether worker processes are to be started, and looked after."""
        return (
            self.workers > 1
            or self.reloading.reload
            or self.recycling.wanted
            or self.health.health_port is not None
        )

    @property
    def watched(self) -> bool:
        """Whether worker processes are to tell what they do while they do it."""
        jobs = self.recycling.max_jobs_per_worker
        return jobs is not None or self.health.health_port is not None

    @property
    def module_directory(self) -> Path:
        """Where the actors' module is looked for first."""
        return self.reloading.app_dir or Path(self.directory)

    @property
    def watched_directories(self) -> list[Path]:
        """Where files are watched for changes."""
        return self.reloading.reload_dirs or [self.module_directory]

    @property
    def prefix(self) -> str:
        """What one of several processes puts before what it says."""
        return "" if self.worker is None else f"worker {self.worker} ({os.getpid()}): "

    @property
    def heartbeats_missed_after(self) -> float | None:
        """Seconds without a heartbeat after which a worker process is killed; None for never."""
        return self.hang_timeout or None

    def connection_arguments(self) -> tuple[list[str] | None, dict[str, Any]]:
        """What `connect` takes: `server` and `options`."""
        return self.connection.arguments(self._connection_name)

    def open_link(self) -> AbstractAsyncContextManager[Link]:
        """Connect for what no event and no actor does."""
        return self.connection.open_link(self._connection_name)

    @property
    def _connection_name(self) -> str:
        number = "" if self.worker is None else f" worker {self.worker}"
        return f"walnats-anyio run {self.target}{number}"

    def listen_options(self) -> dict[str, Any]:
        """The arguments of `ConnectedActors.listen`."""
        return {name: getattr(self, name) for name in OF_LISTEN}

    def for_worker(self, number: int, *, standby: bool, register: bool) -> bytes:
        """The plan of one worker process, as a line of JSON."""
        plan = replace(self, worker=number, standby=standby, register=register, json=None)
        return msgspec.json.encode(plan, enc_hook=str) + b"\n"

    @classmethod
    def of_worker(cls, line: bytes) -> Plan:
        """The plan that a supervisor wrote.

        Raises:
            Problem: it is none.
        """
        try:
            return msgspec.json.decode(line, type=cls, dec_hook=lambda kind, value: kind(value))
        except msgspec.MsgspecError as error:
            raise Problem(
                "--worker is how a supervisor starts its worker processes, which read from "
                "standard input what to do",
                hint="leave --worker out; --workers N starts N of them",
                code=ExitCode.USAGE,
            ) from error
