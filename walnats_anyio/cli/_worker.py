"""One process that runs actors until it is told to stop."""

from __future__ import annotations

import os
from collections.abc import Callable

import anyio

from walnats_anyio._actors import Actors, ConnectedActors
from walnats_anyio.cli._endings import ExitCode, code_of_signal
from walnats_anyio.cli._lifeline import Lifeline
from walnats_anyio.cli._plan import JOBS_CANCELLED, Ended, Ending, Plan
from walnats_anyio.cli._registering import left_in_nats, register
from walnats_anyio.cli._report import write_report
from walnats_anyio.cli._screen import note
from walnats_anyio.cli._signals import Stop, stoppable
from walnats_anyio.cli._tally import Tally, told
from walnats_anyio.cli._target import in_words


class Worker:
    """Runs actors in this process.

    `run` connects, registers, listens, and says what it does. As one of several workers it also
    gives the parent process signs of life, and stops when that is no more.
    """

    def __init__(self, plan: Plan, actors: Actors, lifeline: Lifeline | None) -> None:
        self._plan = plan
        self._actors = actors
        self._listened_until: float | None = None
        self._left: dict[str, int] | None = None
        self._tally = Tally()
        self._lifeline = lifeline

    async def run(self) -> Ending:
        """Run until told to stop or until the burst is done."""
        started_at = anyio.current_time()
        stop = await stoppable(self._work)
        ended_at = self._listened_until or anyio.current_time()
        stopping = 0.0 if stop.asked_at is None else max(0.0, ended_at - stop.asked_at)
        how = self._how(stop, stopping)
        return Ending(
            how=how,
            exit_code=self._exit_code(stop, how),
            signal=stop.first,
            seconds=ended_at - started_at,
            stopping=stopping,
            left=self._left,
            tally=self._tally,
        )

    async def _work(self, stop: Stop) -> None:
        plan = self._plan
        if self._lifeline is not None:
            stop.tasks.start_soon(self._lifeline.beat)
            stop.tasks.start_soon(self._stop_with_parent, self._lifeline, stop)
        if plan.register:
            await register(self._actors, plan)
        async with self._actors.connect(plan.server, name=plan.connection_name) as connected:
            stop.graceful = lambda: self._stop(stop, connected.shutdown)
            await self._listen(connected)
            stop.graceful = stop.at_once
        if plan.worker is None:
            self._left = await left_in_nats(self._actors, plan)

    async def _listen(self, connected: ConnectedActors) -> None:
        ready = _Ready(self._ready)
        self._tally.uncounted = 1  # until it is known what was done
        summary = await connected.listen(**self._plan.listen_options(), task_status=ready)
        self._listened_until = anyio.current_time()
        self._tally.add(summary.actors)
        self._tally.uncounted = 0
        if self._lifeline is not None:
            self._lifeline.tell(told(summary))

    def _ready(self) -> None:
        plan = self._plan
        if plan.worker is None:
            note(f"running {in_words(self._actors)} on {plan.backend}, process {os.getpid()}")
            if not plan.burst:
                note("ready; Ctrl-C stops gracefully, a second one at once")
        else:
            note(f"{plan.prefix}ready")
        if self._lifeline is not None:
            self._lifeline.tell({"ready": True})
        write_report(plan.json, {"state": "running", "pid": os.getpid()})

    def _stop(self, stop: Stop, shutdown: Callable[[], None]) -> None:
        reason = stop.first.name if stop.first else "the parent process is gone"
        note(f"{self._plan.prefix}{reason}: taking no more events, finishing running jobs")
        shutdown()

    def _how(self, stop: Stop, stopping: float) -> Ended:
        if stop.second is not None:
            return Ended.AT_ONCE
        if stop.asked_at is None:
            return Ended.BURST
        timeout = self._plan.shutdown_timeout
        if timeout is not None and stopping >= timeout:
            return Ended.TIMEOUT
        return Ended.GRACEFUL

    def _exit_code(self, stop: Stop, how: Ended) -> int:
        if stop.second is not None:
            return code_of_signal(stop.second)
        told = how is Ended.TIMEOUT and self._plan.worker is not None
        return JOBS_CANCELLED if told else ExitCode.DONE

    async def _stop_with_parent(self, lifeline: Lifeline, stop: Stop) -> None:
        await lifeline.until_parent_is_gone()
        stop.ask()


class _Ready:
    """A task status that calls a function."""

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready = ready

    def started(self, value: None = None) -> None:
        """Every actor is receiving."""
        self._ready()
