"""Several processes that run the same actors, and one that looks after them."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from signal import Signals

import anyio

from walnats_anyio._actors import Actors
from walnats_anyio._link import open_link
from walnats_anyio.cli._endings import ExitCode, Problem, code_of_signal, worst
from walnats_anyio.cli._member import Member
from walnats_anyio.cli._plan import JOBS_CANCELLED, Ended, Ending, Plan, WorkerEnding
from walnats_anyio.cli._registering import left_in_nats, register
from walnats_anyio.cli._report import write_report
from walnats_anyio.cli._restarts import Restart, Restarts
from walnats_anyio.cli._screen import note
from walnats_anyio.cli._signals import LAST_RESORT, Stop, stoppable
from walnats_anyio.cli._tally import Tally
from walnats_anyio.cli._target import in_words

KILL_AFTER = LAST_RESORT + 2.0
"""Seconds from the second signal to SIGKILL, for a worker that did not end by itself."""

GIVE_UP_AFTER = KILL_AFTER + LAST_RESORT
"""Seconds from the second signal to the end of this process, come what may."""

RESTARTS_KEPT = 100
"""How many of the latest restarts are in the report."""


class Crew:
    """Starts the workers, replaces those that end unasked, passes signals on, and waits for all.

    Each worker is in a session of its own, so that Ctrl-C in the terminal reaches it through this
    process, once. A line of sockets connects them: this process notices when a worker falls silent,
    and the worker when this process is gone, however hard.
    """

    def __init__(self, plan: Plan, actors: Actors) -> None:
        self._plan = plan
        self._actors = actors
        self._running: dict[int, Member] = {}
        self._policy = Restarts(plan.workers, plan.max_restarts)
        self._endings: dict[int, WorkerEnding] = {}
        self._codes_at_stop: list[int] = []
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
        stop = await stoppable(self._work, GIVE_UP_AFTER)
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
            async with open_link(plan.server, options={"name": plan.connection_name}):
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
                member = await Member.start(number, self._plan)
            except OSError as error:
                started()
                delay = self._not_started(number, error)
            else:
                self._running[number] = member
                if self._stopping.is_set():
                    member.send(signal.SIGTERM)
                started()
                await member.run(self._policy.ready)
                delay = self._ended(member)
            started = self._tell_pids
            if delay is None:
                return
            with anyio.move_on_after(delay):
                await self._stopping.wait()
                return

    def _all_started(self) -> None:
        pids = ", ".join(str(member.pid) for _, member in sorted(self._running.items()))
        note(
            f"running {in_words(self._actors)} on {self._plan.backend}, "
            f"worker processes {pids or 'none'}"
        )
        if not self._plan.burst:
            note("Ctrl-C stops gracefully, a second one at once")
        self._all_told = True
        self._tell_pids()

    def _tell_pids(self) -> None:
        if not self._all_told:
            return
        report = {
            "state": "running",
            "workers": [member.pid for _, member in sorted(self._running.items())],
            "restarted": self._restarted,
            "restarts": [vars(restart) for restart in self._restarts],
        }
        try:
            write_report(self._plan.json, report)
        except Problem as problem:
            note(f"error: {problem}")  # no reason to stop working

    def _pass_on(self) -> None:
        self._stopping.set()
        if self._stop.first is not None:
            name = self._stop.first.name
            note(f"{name}: the workers take no more events and finish running jobs")
        self._send_all(signal.SIGTERM)

    def _insist(self) -> None:
        self._send_all(signal.SIGTERM)
        self._stop.tasks.start_soon(self._kill_later)

    async def _kill_later(self) -> None:
        await anyio.sleep(KILL_AFTER)
        self._send_all(signal.SIGKILL)

    def _send_all(self, number: Signals) -> None:
        for member in self._running.values():
            member.send(number)

    def _ended(self, member: Member) -> float | None:
        """Decide what the end of a worker means: the seconds until its replacement, if any."""
        del self._running[member.number]
        self._endings[member.number] = member.ending()
        if member.actors is not None:
            self._tally.add(member.actors)
        elif member.ready_at is not None:
            self._tally.uncounted += 1
        code = member.ending().exit_code
        if self._stop.asked_at is not None:
            self._codes_at_stop.append(code)
            return None
        if code == ExitCode.DONE and self._plan.burst:
            note(f"{member}: done")
            return None
        ready_for = None
        if member.ready_at is not None:
            ready_for = anyio.current_time() - member.ready_at
        reason = member.end_in_words()
        restart = Restart(member.number, member.pid, code, member.killed_by, reason, _now())
        return self._replace(str(member), restart, ready_for)

    def _not_started(self, number: int, error: OSError) -> float | None:
        reason = f"could not be started: {error}"
        restart = Restart(number, None, None, None, reason, _now())
        return self._replace(f"worker {number}", restart, None)

    def _replace(self, who: str, restart: Restart, ready_for: float | None) -> float | None:
        others = any(member.ready_at is not None for member in self._running.values())
        decided = self._policy.ended(restart, ready_for, others=others)
        if isinstance(decided, str):
            note(f"{who} {restart.reason}: {decided}, giving up")
            known = restart.exit_code in (ExitCode.USAGE, ExitCode.NO_CONNECTION)
            self._gave_up_with = restart.exit_code if known else ExitCode.BROKEN
            self._stop.ask()
            return None
        what = "trying again" if restart.pid is None else "replacing it"
        note(f"{who} {restart.reason}: {what} in {decided:.1f} s")
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
        if JOBS_CANCELLED in self._codes_at_stop:
            return Ended.TIMEOUT
        return Ended.BURST if stop.asked_at is None else Ended.GRACEFUL

    def _exit_code(self, stop: Stop) -> int:
        if stop.second is not None:
            return code_of_signal(stop.second)
        if self._gave_up_with is not None:
            return self._gave_up_with
        # SIGTERM ends a worker that was told to stop before it had begun.
        fine = (-signal.SIGTERM, JOBS_CANCELLED)
        return worst([ExitCode.DONE if c in fine else c for c in self._codes_at_stop])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
