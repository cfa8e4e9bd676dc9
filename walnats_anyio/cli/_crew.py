"""Several processes that run the same actors, and one that looks after them."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass
from signal import Signals

import anyio
from anyio.abc import Process

from walnats_anyio._actors import Actors
from walnats_anyio.cli._endings import ExitCode, code_of_signal, worst
from walnats_anyio.cli._plan import JOBS_CANCELLED, Ended, Ending, Plan, WorkerEnding
from walnats_anyio.cli._registering import left_in_nats, register
from walnats_anyio.cli._report import write_report
from walnats_anyio.cli._screen import note
from walnats_anyio.cli._signals import LAST_RESORT, Stop, stoppable
from walnats_anyio.cli._target import in_words

KILL_AFTER = LAST_RESORT + 2.0
"""Seconds from the second signal to SIGKILL, for a worker that did not end by itself."""

GIVE_UP_AFTER = KILL_AFTER + LAST_RESORT
"""Seconds from the second signal to the end of this process, come what may."""


@dataclass(eq=False)
class Member:
    """One of several workers."""

    number: int
    """Which one, from 1."""

    process: Process
    """Its process."""

    ended_as: int | None = None
    """Its return code; None while it runs."""

    def send(self, number: Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.ended_as is None:
            self.process.send_signal(number)

    def ending(self) -> WorkerEnding:
        """How it ended."""
        return WorkerEnding(
            self.number, self.process.pid, -1 if self.ended_as is None else self.ended_as
        )


class Crew:
    """Starts the workers, passes signals on, and waits until all have ended.

    Each worker is in a session of its own, so that Ctrl-C in the terminal reaches it through this
    process, once. It holds the reading end of a pipe as its standard input: when this process is
    gone, however hard, the worker stops.
    """

    def __init__(self, plan: Plan, actors: Actors) -> None:
        self._plan = plan
        self._actors = actors
        self._members: list[Member] = []
        self._first_death: Member | None = None
        self._left: dict[str, int] | None = None
        self._stop: Stop

    async def run(self) -> Ending:
        """Run until told to stop, until the burst is done, or until a worker dies."""
        started_at = anyio.current_time()
        stop = await stoppable(self._work, GIVE_UP_AFTER)
        ended_at = anyio.current_time()
        return Ending(
            how=self._how(stop),
            exit_code=self._exit_code(stop),
            signal=stop.first,
            seconds=ended_at - started_at,
            stopping=0.0 if stop.asked_at is None else ended_at - stop.asked_at,
            left=self._left,
            workers=tuple(member.ending() for member in self._members),
        )

    async def _work(self, stop: Stop) -> None:
        self._stop = stop
        if self._plan.register:
            await register(self._actors, self._plan)
        stop.graceful, stop.at_once = self._pass_on, self._insist
        async with anyio.create_task_group() as tasks:
            for number in range(1, self._plan.workers + 1):
                if stop.asked_at is not None:
                    break
                await tasks.start(self._look_after, number)
            self._all_started()
        stop.graceful = stop.at_once = stop.cancel
        if stop.second is None:
            self._left = await left_in_nats(self._actors, self._plan)

    async def _look_after(self, number: int, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        process = await anyio.open_process(
            self._plan.worker_command(number),
            stdin=subprocess.PIPE,
            stdout=None,
            stderr=None,
            start_new_session=True,
        )
        member = Member(number, process)
        self._members.append(member)
        try:
            if self._stop.asked_at is not None:
                process.terminate()
            task_status.started()
            member.ended_as = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
            with anyio.CancelScope(shield=True):
                await process.aclose()
        self._ended(member)

    def _all_started(self) -> None:
        pids = [member.process.pid for member in self._members]
        note(
            f"running {in_words(self._actors)} on {self._plan.backend}, "
            f"worker processes {', '.join(map(str, pids))}"
        )
        if not self._plan.burst:
            note("Ctrl-C stops gracefully, a second one at once")
        report = {"state": "running", "workers": pids}
        write_report(self._plan.json, report)

    def _pass_on(self) -> None:
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
        for member in self._members:
            member.send(number)

    def _ended(self, member: Member) -> None:
        """Decide what the end of one worker means for the others.

        Unasked, it ends all: half a crew that looks like a whole one is worse. (Whoever starts a
        new worker in place of the old one does so here.)
        """
        code = member.ended_as
        who = f"worker {member.number} ({member.process.pid})"
        if self._stop.asked_at is not None:
            return
        if code == ExitCode.DONE and self._plan.burst:
            note(f"{who}: done")
            return
        note(f"{who} {_end_in_words(code)}, unasked: stopping the others")
        self._first_death = member
        self._stop.ask()

    def _how(self, stop: Stop) -> Ended:
        if self._first_death is not None:
            return Ended.WORKER_DIED
        if stop.second is not None:
            return Ended.AT_ONCE
        if any(member.ended_as == JOBS_CANCELLED for member in self._members):
            return Ended.TIMEOUT
        return Ended.BURST if stop.asked_at is None else Ended.GRACEFUL

    def _exit_code(self, stop: Stop) -> int:
        if stop.second is not None:
            return code_of_signal(stop.second)
        codes = [member.ending().exit_code for member in self._members]
        if stop.asked_at is not None:
            # SIGTERM ends a worker that was told to stop before it had begun.
            fine = (-signal.SIGTERM, JOBS_CANCELLED)
            codes = [ExitCode.DONE if code in fine else code for code in codes]
        if self._first_death is not None and worst(codes) == ExitCode.DONE:
            return ExitCode.BROKEN
        return worst(codes)


def _end_in_words(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was killed by {Signals(-code).name}"
    return f"ended with exit code {code}"
