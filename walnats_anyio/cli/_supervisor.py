"""The supervisor: starts worker processes that run the same actors, and looks after them."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from signal import Signals
from typing import TYPE_CHECKING, Any

import anyio

from walnats_anyio._actors import Actors
from walnats_anyio._link import open_link
from walnats_anyio.cli._ended import Ended, Ending, WorkerEnding
from walnats_anyio.cli._endings import ExitCode, Problem, code_of_signal, worst
from walnats_anyio.cli._leaving import end_at_next_signal
from walnats_anyio.cli._logs import logger
from walnats_anyio.cli._plan import Plan
from walnats_anyio.cli._registering import left_in_nats, register
from walnats_anyio.cli._report import write_report
from walnats_anyio.cli._signals import LAST_RESORT, Stop, stoppable
from walnats_anyio.cli._tally import Tally
from walnats_anyio.cli._target import in_words
from walnats_anyio.cli._worker_process import WorkerProcess
from walnats_anyio.cli._workers import KILL_AFTER, Workers

if TYPE_CHECKING:
    from walnats_anyio.cli._health._serving import HealthPort

GIVE_UP_AFTER = KILL_AFTER + LAST_RESORT
"""Seconds from the second signal to the end of this process, come what may."""


class Supervisor:
    """Registers, has the workers run, passes signals on, and says how it ended.

    Each worker is in a session of its own, so that Ctrl-C in the terminal reaches it through this
    process, once. The heartbeat pipe connects them: this process notices when a worker falls
    silent, and the worker when this process is gone, however hard.
    """

    def __init__(self, plan: Plan, actors: Actors) -> None:
        self._plan = plan
        self._actors = actors
        self._endings: dict[int, WorkerEnding] = {}
        self._codes_at_stop: list[int] = []
        self._jobs_cancelled = False
        self._tally = Tally()
        self._all_told = False
        self._gave_up_with: int | None = None
        self._left: dict[str, int] | None = None
        self._health: HealthPort | None = None
        self._workers: Workers
        self._stop: Stop

    async def run(self) -> Ending:
        """Run until told to stop, until the burst is done, or until going on is hopeless."""
        started_at = anyio.current_time()
        then = partial(end_at_next_signal, self._plan.prefix)
        self._workers = Workers(
            self._plan, ended=self._ended, changed=self._tell_pids, give_up=self._give_up
        )
        stop = await stoppable(self._work, GIVE_UP_AFTER, then=then)
        ended_at = anyio.current_time()
        exit_code = self._exit_code(stop)
        return Ending(
            how=self._how(stop, exit_code),
            exit_code=exit_code,
            signal=stop.first,
            seconds=ended_at - started_at,
            stopping=0.0 if stop.asked_at is None else ended_at - stop.asked_at,
            left=self._left,
            tally=self._tally,
            workers=tuple(self._endings[number] for number in sorted(self._endings)),
            restarts=tuple(self._workers.restarts),
            restarted=self._workers.restarted,
            recycled=self._workers.recycled,
            reloaded=self._workers.reloaded,
        )

    async def _work(self, stop: Stop) -> None:
        self._stop = stop
        async with self._health_port():
            await self._register()
            stop.graceful, stop.at_once = self._pass_on, self._insist
            await self._workers.run(self._all_started)
            stop.graceful = stop.at_once = stop.cancel
        if stop.second is None:
            self._left = await left_in_nats(self._actors, self._plan)

    @asynccontextmanager
    async def _health_port(self) -> AsyncIterator[None]:
        if self._plan.health.health_port is None:
            yield
            return
        from walnats_anyio.cli._health._serving import open_health_port  # needs an extra

        async with open_health_port(self._plan, self._actors, self._workers) as self._health:
            self._stop.tasks.start_soon(self._health.serve)
            yield

    async def _register(self) -> None:
        if self._plan.register:
            await register(self._actors, self._plan)
        else:
            # No server is to be said once, not by every worker.
            server, options = self._plan.connection_arguments()
            async with open_link(server, options=options):
                pass

    def _all_started(self) -> None:
        running = sorted(self._workers.running.items())
        pids = ", ".join(str(worker.pid) for _, worker in running)
        logger.info(
            "running %s on %s, worker processes %s",
            in_words(self._actors),
            self._plan.backend,
            pids or "none",
        )
        if not self._plan.burst:
            logger.info("Ctrl-C stops gracefully, a second one at once")
        self._all_told = True
        self._tell_pids()

    def _tell_pids(self) -> None:
        if not self._all_told:
            return
        workers = [worker.pid for _, worker in sorted(self._workers.running.items())]
        report: dict[str, Any] = {"state": "running", "workers": workers}
        report |= self._workers.report()
        if self._health is not None:
            report["health_port"] = self._health.port
        try:
            write_report(self._plan.json, report, last=False)
        except Problem as problem:
            logger.error("%s", problem)

    def _pass_on(self) -> None:
        if self._stop.first is not None:
            logger.info(
                "%s: the workers take no more events and finish running jobs", self._stop.first.name
            )
        self._workers.stop()
        if self._plan.shutdown_timeout is not None:
            self._stop.tasks.start_soon(self._kill_later, self._plan.shutdown_timeout)

    def _insist(self) -> None:
        self._send_all(signal.SIGTERM)
        self._stop.tasks.start_soon(self._kill_later, 0.0)

    async def _kill_later(self, seconds: float) -> None:
        await anyio.sleep(seconds + KILL_AFTER)
        self._send_all(signal.SIGKILL)

    def _send_all(self, number: Signals) -> None:
        for worker in self._workers.all:
            worker.send(number)

    def _give_up(self, exit_code: int | None) -> None:
        known = exit_code in (ExitCode.USAGE, ExitCode.NO_CONNECTION)
        self._gave_up_with = exit_code if known else ExitCode.BROKEN
        self._stop.ask()

    def _ended(self, worker: WorkerProcess) -> None:
        """Note how a worker ended, and what it has done."""
        if self._health is not None:
            self._health.ended(worker)
        if not worker.retired:
            self._endings[worker.number] = worker.ending()
        if worker.actors is not None:
            self._tally.add(worker.actors)
        elif worker.ready_at is not None:
            self._tally.uncounted += 1
        if self._stop.asked_at is not None:
            self._codes_at_stop.append(worker.ending().exit_code)
            self._jobs_cancelled |= worker.jobs_cancelled

    def _how(self, stop: Stop, exit_code: int) -> Ended:
        if self._gave_up_with is not None:
            return Ended.GAVE_UP
        if stop.second is not None:
            return Ended.AT_ONCE
        if exit_code != ExitCode.DONE:
            return Ended.BROKEN
        if self._jobs_cancelled:
            return Ended.TIMEOUT
        return Ended.BURST if stop.asked_at is None else Ended.GRACEFUL

    def _exit_code(self, stop: Stop) -> int:
        if stop.second is not None:
            return code_of_signal(stop.second)
        if self._gave_up_with is not None:
            return self._gave_up_with
        # SIGTERM ends a worker that was told to stop before it had begun.
        return worst([ExitCode.DONE if c == -signal.SIGTERM else c for c in self._codes_at_stop])
