"""The supervisor: starts worker processes that run the same actors, and looks after them."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from signal import Signals

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
from walnats_anyio.cli._restarts import Restart, Restarts
from walnats_anyio.cli._signals import LAST_RESORT, Stop, stoppable
from walnats_anyio.cli._tally import Tally
from walnats_anyio.cli._target import in_words
from walnats_anyio.cli._worker_process import WorkerProcess

KILL_AFTER = LAST_RESORT + 2.0
"""Seconds from the moment that jobs are cancelled to SIGKILL, for a worker that does not end."""


GIVE_UP_AFTER = KILL_AFTER + LAST_RESORT
"""Seconds from the second signal to the end of this process, come what may."""

RESTARTS_KEPT = 100
"""How many of the latest restarts are in the report."""


class Supervisor:
    """Starts the workers, replaces those that end unasked, passes signals on, and waits for all.

    Each worker is in a session of its own, so that Ctrl-C in the terminal reaches it through this
    process, once. The heartbeat pipe connects them: this process notices when a worker falls
    silent, and the worker when this process is gone, however hard.
    """

    def __init__(self, plan: Plan, actors: Actors) -> None:
        self._plan = plan
        self._actors = actors
        self._running: dict[int, WorkerProcess] = {}
        self._policy = Restarts(plan.workers, plan.max_restarts)
        self._endings: dict[int, WorkerEnding] = {}
        self._codes_at_stop: list[int] = []
        self._jobs_cancelled = False
        self._restarts: deque[Restart] = deque(maxlen=RESTARTS_KEPT)
        self._restarted = 0
        self._tally = Tally()
        self._all_told = False
        self._gave_up_with: int | None = None
        self._left: dict[str, int] | None = None
        self._stop: Stop
        self._stopping: anyio.Event

    async def run(self) -> Ending:
        """Run until told to stop, until the burst is done, or until going on is hopeless."""
        started_at = anyio.current_time()
        then = partial(end_at_next_signal, self._plan.prefix)
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
            restarts=tuple(self._restarts),
            restarted=self._restarted,
        )

    async def _work(self, stop: Stop) -> None:
        self._stop, self._stopping = stop, anyio.Event()
        plan = self._plan
        if plan.register:
            await register(self._actors, plan)
        else:
            # No server is to be said once, not by every worker.
            server, options = plan.connection_arguments()
            async with open_link(server, options=options):
                pass
        stop.graceful, stop.at_once = self._pass_on, self._insist
        async with anyio.create_task_group() as tasks:
            for number in range(1, plan.workers + 1):
                if stop.asked_at is not None:
                    break
                await tasks.start(self._look_after, number)
            self._all_started()
        stop.graceful = stop.at_once = stop.cancel
        if stop.second is None:
            self._left = await left_in_nats(self._actors, plan)

    async def _look_after(self, number: int, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Keep one worker running, in one process after the other."""
        started: Callable[[], None] = task_status.started
        while True:
            try:
                worker = await WorkerProcess.start(number, self._plan)
            except OSError as error:
                started()
                delay = self._not_started(number, error)
            else:
                self._running[number] = worker
                if self._stopping.is_set():
                    worker.send(signal.SIGTERM)
                started()
                await worker.run(self._policy.ready)
                delay = self._ended(worker)
            started = self._tell_pids
            if delay is None:
                return
            with anyio.move_on_after(delay):
                await self._stopping.wait()
                return

    def _all_started(self) -> None:
        pids = ", ".join(str(worker.pid) for _, worker in sorted(self._running.items()))
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
        report = {
            "state": "running",
            "workers": [worker.pid for _, worker in sorted(self._running.items())],
            "restarted": self._restarted,
            "restarts": [vars(restart) for restart in self._restarts],
        }
        try:
            write_report(self._plan.json, report, last=False)
        except Problem as problem:
            logger.error("%s", problem)

    def _pass_on(self) -> None:
        self._stopping.set()
        if self._stop.first is not None:
            logger.info(
                "%s: the workers take no more events and finish running jobs", self._stop.first.name
            )
        self._send_all(signal.SIGTERM)
        if self._plan.shutdown_timeout is not None:
            self._stop.tasks.start_soon(self._kill_later, self._plan.shutdown_timeout)

    def _insist(self) -> None:
        self._send_all(signal.SIGTERM)
        self._stop.tasks.start_soon(self._kill_later, 0.0)

    async def _kill_later(self, seconds: float) -> None:
        await anyio.sleep(seconds + KILL_AFTER)
        self._send_all(signal.SIGKILL)

    def _send_all(self, number: Signals) -> None:
        for worker in self._running.values():
            worker.send(number)

    def _ended(self, worker: WorkerProcess) -> float | None:
        """Decide what the end of a worker means: the seconds until its replacement, if any."""
        del self._running[worker.number]
        self._endings[worker.number] = worker.ending()
        if worker.actors is not None:
            self._tally.add(worker.actors)
        elif worker.ready_at is not None:
            self._tally.uncounted += 1
        code = worker.ending().exit_code
        if self._stop.asked_at is not None:
            self._codes_at_stop.append(code)
            self._jobs_cancelled |= worker.jobs_cancelled
            return None
        if code == ExitCode.DONE and self._plan.burst:
            logger.info("%s: done", worker)
            return None
        ready_for = None
        if worker.ready_at is not None:
            ready_for = anyio.current_time() - worker.ready_at
        reason = worker.end_in_words()
        restart = Restart(worker.number, worker.pid, code, worker.killed_by, reason, _now())
        return self._replace(str(worker), restart, ready_for)

    def _not_started(self, number: int, error: OSError) -> float | None:
        reason = f"could not be started: {error}"
        restart = Restart(number, None, None, None, reason, _now())
        return self._replace(f"worker {number}", restart, None)

    def _replace(self, who: str, restart: Restart, ready_for: float | None) -> float | None:
        others = any(worker.ready_at is not None for worker in self._running.values())
        decided = self._policy.ended(restart, ready_for, others=others)
        if isinstance(decided, str):
            logger.error("%s %s: %s, giving up", who, restart.reason, decided)
            known = restart.exit_code in (ExitCode.USAGE, ExitCode.NO_CONNECTION)
            self._gave_up_with = restart.exit_code if known else ExitCode.BROKEN
            self._stop.ask()
            return None
        what = "trying again" if restart.pid is None else "replacing it"
        logger.warning("%s %s: %s in %.1f s", who, restart.reason, what, decided)
        self._restarts.append(restart)
        self._restarted += 1
        return decided

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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
