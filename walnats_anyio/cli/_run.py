"""`walnats-anyio run`: run actors, in one process or in several."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, NoReturn

import anyio
import typer

from walnats_anyio._actors import ExecuteIn
from walnats_anyio.cli._choices import (
    Backend,
    BackendOption,
    DebugOption,
    JsonOption,
    check_backend,
)
from walnats_anyio.cli._crew import Crew
from walnats_anyio.cli._endings import explained
from walnats_anyio.cli._lifeline import Lifeline
from walnats_anyio.cli._plan import Ended, Ending, Plan
from walnats_anyio.cli._report import write_report
from walnats_anyio.cli._screen import note
from walnats_anyio.cli._target import load_actors
from walnats_anyio.cli._worker import Worker

SHORTEST_HANG_TIMEOUT = 1.0
"""Seconds without a sign of life that may count as a hang."""

LET_THREADS_END = 1.0
"""Seconds that threads with handlers have after a stop that did not wait for them."""


def _check_hang_timeout(seconds: float) -> float:
    if 0 < seconds < SHORTEST_HANG_TIMEOUT:
        raise typer.BadParameter(
            f"{seconds:g} is too short to tell a hang from a busy machine: give at least "
            f"{SHORTEST_HANG_TIMEOUT:g} seconds, or 0 for never."
        )
    return seconds


def run(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:NAME",
            help="Where the actors are: subscribe:ACTORS is ACTORS in subscribe.py of the current "
            "directory. An Actors, an Actor, or a function that returns one of them.",
        ),
    ],
    server: Annotated[
        list[str] | None,
        typer.Option(
            "--server",
            metavar="URL",
            help="A NATS server; repeat it for those of a cluster.",
            show_default="$NATS_SERVER, else nats://localhost:4222",
        ),
    ] = None,
    backend: BackendOption = Backend.ASYNCIO,
    workers: Annotated[int, typer.Option(min=1, help="Processes; each one runs all actors.")] = 1,
    max_jobs: Annotated[
        int, typer.Option(min=1, help="Jobs at once in one process, over all actors.")
    ] = 16,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Events that one request asks for at most.",
            show_default="the free job slots",
        ),
    ] = None,
    max_polls: Annotated[
        int | None,
        typer.Option(
            min=1, help="Actors that ask for events at the same time.", show_default="all"
        ),
    ] = None,
    poll_delay: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How long a request waits at the server.",
            show_default="2 with --burst, else 30",
        ),
    ] = None,
    burst: Annotated[
        bool, typer.Option("--burst", help="Handle the events that are there, then end.")
    ] = False,
    shutdown_timeout: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How long running jobs have when told to stop; then they are cancelled.",
            show_default="as long as they take",
        ),
    ] = None,
    register: Annotated[
        bool,
        typer.Option(help="First make the streams and consumers on the server what is declared."),
    ] = True,
    max_threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Threads for ExecuteIn.THREAD in one process.", show_default="cores + 4"
        ),
    ] = None,
    max_processes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes for ExecuteIn.PROCESS in one process.", show_default="cores"
        ),
    ] = None,
    max_restarts: Annotated[
        int,
        typer.Option(
            min=0,
            help="With several workers: replacements of one that may end in a row before any "
            "worker is ready; then it gives up.",
        ),
    ] = 10,
    hang_timeout: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            callback=_check_hang_timeout,
            help="With several workers: one without a sign of life from its event loop for so "
            "long is killed and replaced; 0 switches that off.",
        ),
    ] = 60.0,
    json: JsonOption = None,
    debug: DebugOption = False,
    worker: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run actors until told to stop.

    Ctrl-C (SIGINT) or SIGTERM stops gracefully: no more events are taken, running jobs finish. A
    second one stops at once: running jobs are cancelled. Either way events that are not finished go
    back to NATS and are delivered again.

    With several workers, one that crashes or hangs is replaced.

    Exit codes: 0 stopped gracefully, or the burst is done; 1 something broke; 2 the command, the
    module or a declaration is wrong; 3 no connection to NATS; 130 or 143 stopped at once by a
    second SIGINT or SIGTERM.
    """
    plan = Plan(
        target=target,
        servers=tuple(server or ()),
        backend=backend,
        workers=workers,
        max_jobs=max_jobs,
        batch=batch,
        max_polls=max_polls,
        poll_delay=poll_delay,
        burst=burst,
        shutdown_timeout=shutdown_timeout,
        register=register,
        max_threads=max_threads,
        max_processes=max_processes,
        hang_timeout=hang_timeout or None,
        max_restarts=max_restarts,
        json=json,
        debug=debug,
        worker=worker,
    )
    with explained(debug):
        check_backend(backend)
        write_report(json, {"state": "starting", "pid": os.getpid()})
        try:
            ending = anyio.run(_runner(plan), backend=backend.value)
        except Exception as error:
            write_report(json, {"state": "failed", "error": str(error)})
            raise
        note(plan.prefix + ending.in_words())
        write_report(json, ending.report())
        _leave(ending)


def _runner(plan: Plan) -> Callable[[], Awaitable[Ending]]:
    lifeline = None if plan.worker is None else Lifeline(plan.hang_timeout)
    actors = load_actors(plan.target)
    _set_up_logging(plan)
    # Ctrl-C in a terminal reaches every process that was started in it, and would end handlers that
    # run in processes: those are kept one process further away, in a session of their own.
    sheltered = any(actor.execute_in is ExecuteIn.PROCESS for actor in actors)
    if lifeline is None and (plan.workers > 1 or sheltered):
        return Crew(plan, actors).run
    return Worker(plan, actors, lifeline).run


def _set_up_logging(plan: Plan) -> None:
    """Show the log, unless the actors' module has made arrangements of its own."""
    if logging.getLogger().hasHandlers():
        return
    who = "" if plan.worker is None else f"worker {plan.worker} "
    logging.basicConfig(format=f"%(asctime)s {who}%(levelname)s %(name)s: %(message)s")
    logging.getLogger("walnats_anyio").setLevel(logging.INFO)


def _leave(ending: Ending) -> NoReturn:
    """End this process, even if a handler was left behind in a thread that does not return."""
    if ending.how in (Ended.AT_ONCE, Ended.TIMEOUT):
        deadline = time.monotonic() + LET_THREADS_END
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and not thread.daemon:
                thread.join(max(0.0, deadline - time.monotonic()))
                if thread.is_alive():
                    note("a handler is still running in a thread: leaving it behind")
                    sys.stdout.flush()
                    os._exit(ending.exit_code)
    raise typer.Exit(ending.exit_code)
