"""`walnats-anyio run`: run actors, in one process or in several."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import NoReturn

import anyio
import typer

from walnats_anyio._actors import Actors, ExecuteIn
from walnats_anyio.cli._choices import check_backend
from walnats_anyio.cli._ended import Ended, Ending
from walnats_anyio.cli._endings import ExitCode, explained
from walnats_anyio.cli._heartbeat import HeartbeatPipe
from walnats_anyio.cli._leaving import SHORTEST, UNLIMITED, leave_within
from walnats_anyio.cli._listening import Listening
from walnats_anyio.cli._log_lines import make_lock
from walnats_anyio.cli._logs import logger
from walnats_anyio.cli._plan import Plan
from walnats_anyio.cli._report import write_report
from walnats_anyio.cli._screen import print_whole_lines
from walnats_anyio.cli._supervisor import Supervisor
from walnats_anyio.cli._target import chosen, load_actors


def run(plan: Plan) -> None:
    """Run actors until told to stop.

    Ctrl-C (SIGINT), SIGTERM or SIGHUP stops gracefully: no more events are taken, running jobs
    finish. A second SIGINT or SIGTERM stops at once: running jobs are cancelled. Either way events
    that are not finished go back to NATS and are delivered again.

    With several workers, one that crashes or hangs is replaced.

    Exit codes: 0 stopped gracefully, or the burst is done; 1 something broke; 2 the command, the
    module or a declaration is wrong; 3 no connection to NATS; 130 or 143 stopped at once by a
    second SIGINT or SIGTERM.
    """
    with explained(plan.debug):
        if plan.worker is not None:
            run_worker()
        _run(plan, None)


def run_worker() -> NoReturn:
    """Run what the supervisor writes into the heartbeat pipe, and end this process.

    Raises:
        SystemExit: always, with the exit code.
    """
    try:
        with explained(debug=False):
            pipe = HeartbeatPipe()
            plan = Plan.of_worker(pipe.read_plan())
        with explained(plan.debug):
            _run(plan, pipe)
    except typer.Exit as end:
        sys.exit(end.exit_code)


def _run(plan: Plan, pipe: HeartbeatPipe | None) -> NoReturn:
    check_backend(plan.backend)
    if pipe is None:
        plan = replace(plan.checked(), log_lock=make_lock())
    else:
        print_whole_lines()
    write_report(plan.json, {"state": "starting", "pid": os.getpid()}, last=False)
    try:
        plan.logs.set_up_before_actors(plan.log_lock)
        actors = chosen(load_actors(plan.target, plan.module_directory), plan.actors)
        plan.logs.set_up_after_actors(several=pipe is not None, lock=plan.log_lock)
        plan.connection_arguments()  # what is wrong with them is said before anything is done
    except Exception as error:
        write_report(plan.json, {"state": "failed", "error": str(error)})
        raise
    exit_code = anyio.run(
        partial(_to_the_end, plan, _runner(plan, actors, pipe)), backend=plan.backend.value
    )
    raise typer.Exit(exit_code)


def _runner(
    plan: Plan, actors: Actors, pipe: HeartbeatPipe | None
) -> Callable[[], Awaitable[Ending]]:
    # Ctrl-C in a terminal reaches every process that was started in it, and would end handlers that
    # run in processes: those are kept one process further away, in a session of their own.
    sheltered = any(actor.execute_in is ExecuteIn.PROCESS for actor in actors)
    if pipe is None and (plan.needs_supervisor or sheltered):
        return Supervisor(plan, actors).run
    return Listening(plan, actors, pipe).run


async def _to_the_end(plan: Plan, runner: Callable[[], Awaitable[Ending]]) -> int:
    """Run, say how it ended, and see to it that the process does end.

    All of that inside the event loop: asyncio waits for threads before `anyio.run` returns.
    """
    exit_code, seconds = int(ExitCode.BROKEN), SHORTEST
    try:
        with explained(plan.debug):
            exit_code, seconds = _tell(plan, await _reported(plan, runner))
    except typer.Exit as end:
        exit_code = end.exit_code
    leave_within(seconds, exit_code, plan.prefix)
    return exit_code


async def _reported(plan: Plan, runner: Callable[[], Awaitable[Ending]]) -> Ending:
    try:
        return await runner()
    except Exception as error:
        write_report(plan.json, {"state": "failed", "error": str(error)})
        raise


def _tell(plan: Plan, ending: Ending) -> tuple[int, float]:
    """Say how it ended; gives the exit code, and the seconds that what is left running may have."""
    logger.info("%s%s", plan.prefix, ending.in_words())
    write_report(plan.json, ending.report())
    if ending.how not in (Ended.GRACEFUL, Ended.BURST):
        return ending.exit_code, SHORTEST
    if plan.shutdown_timeout is None:
        return ending.exit_code, UNLIMITED
    return ending.exit_code, max(SHORTEST, plan.shutdown_timeout - ending.stopping)
