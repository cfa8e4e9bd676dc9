"""One process that runs actors until it is told to stop."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio

from walnats_anyio._actors import Actors, ConnectedActors
from walnats_anyio._actors import Ended as ListenEnded
from walnats_anyio.cli._ended import Ended, Ending
from walnats_anyio.cli._endings import ExitCode, code_of_signal
from walnats_anyio.cli._heartbeat import HeartbeatPipe
from walnats_anyio.cli._leaving import end_at_next_signal
from walnats_anyio.cli._logs import logger
from walnats_anyio.cli._plan import Plan
from walnats_anyio.cli._registering import left_in_nats, register
from walnats_anyio.cli._report import write_report
from walnats_anyio.cli._signals import Stop, stoppable
from walnats_anyio.cli._tally import Tally, statistics_told, told
from walnats_anyio.cli._target import in_words

TELL_EVERY = 1.0
"""Seconds between two looks at what a worker process does, where somebody wants to know."""


class Listening:
    """Runs actors in this process.

    `run` connects, registers, listens, and says what it does. In a worker process it also sends
    heartbeats to the supervisor, and stops when that is no more.
    """

    def __init__(self, plan: Plan, actors: Actors, pipe: HeartbeatPipe | None) -> None:
        self._plan = plan
        self._actors = actors
        self._pipe = pipe
        self._listened_until: float | None = None
        self._left: dict[str, int] | None = None
        self._tally = Tally()
        self._jobs_cancelled = False

    async def run(self) -> Ending:
        """Run until told to stop or until the burst is done."""
        started_at = anyio.current_time()
        stop = await stoppable(
            self._work,
            time_limit=self._plan.shutdown_timeout,
            then=partial(end_at_next_signal, self._plan.prefix),
        )
        ended_at = self._listened_until or anyio.current_time()
        how = self._how(stop)
        return Ending(
            how=how,
            exit_code=self._exit_code(stop, how),
            signal=stop.first,
            seconds=ended_at - started_at,
            stopping=self._stopping(stop),
            left=self._left,
            tally=self._tally,
        )

    async def _work(self, stop: Stop) -> None:
        plan = self._plan
        if self._pipe is not None:
            stop.tasks.start_soon(self._pipe.beat, plan.heartbeats_missed_after)
            stop.tasks.start_soon(self._stop_with_supervisor, self._pipe, stop)
            self._pipe.tell({"loaded": True})
            if plan.standby:
                await self._pipe.told_to_go.wait()
        if plan.register:
            await register(self._actors, plan)
        server, options = plan.connection_arguments()
        async with self._actors.connect(server, **options) as connected:
            stop.graceful = lambda: self._stop(stop, connected.shutdown)
            await self._listen(connected, stop)
            stop.graceful = stop.at_once
        if plan.worker is None:
            self._left = await left_in_nats(self._actors, plan)

    async def _listen(self, connected: ConnectedActors, stop: Stop) -> None:
        if self._pipe is not None and self._plan.watched:
            stop.tasks.start_soon(self._tell_statistics, self._pipe, connected)
        stop.jobs = lambda: _jobs_of(connected)
        ready = _Ready(self._ready)
        self._tally.uncounted = 1  # until it is known what was done
        summary = await connected.listen(**self._plan.listen_options(), task_status=ready)
        self._listened_until = anyio.current_time()
        self._jobs_cancelled = summary.ended is ListenEnded.SHUTDOWN_TIMEOUT
        self._tally.add(told(summary))
        self._tally.uncounted = 0
        if self._pipe is not None:
            cancelled = self._how(stop) is Ended.TIMEOUT
            self._pipe.tell({"summary": told(summary), "jobs_cancelled": cancelled})

    def _ready(self) -> None:
        plan = self._plan
        if self._pipe is None:
            actors = in_words(self._actors)
            logger.info("running %s on %s, process %s", actors, plan.backend, os.getpid())
            if not plan.burst:
                logger.info("ready; Ctrl-C stops gracefully, a second one at once")
        else:
            logger.info("%sready", plan.prefix)
            self._pipe.tell({"ready": True})
        write_report(plan.json, {"state": "running", "pid": os.getpid()}, last=False)

    def _stop(self, stop: Stop, shutdown: Callable[[], None]) -> None:
        reason = stop.first.name if stop.first else "the supervisor is gone"
        logger.info(
            "%s%s: taking no more events, finishing running jobs", self._plan.prefix, reason
        )
        shutdown()

    def _stopping(self, stop: Stop) -> float:
        """How long stopping took, until `listen` had returned."""
        if stop.asked_at is None:
            return 0.0
        return max(0.0, (self._listened_until or anyio.current_time()) - stop.asked_at)

    def _how(self, stop: Stop) -> Ended:
        if stop.second is not None:
            return Ended.AT_ONCE
        if stop.asked_at is None:
            return Ended.BURST if self._plan.burst else Ended.UNASKED
        return Ended.TIMEOUT if self._jobs_cancelled else Ended.GRACEFUL

    def _exit_code(self, stop: Stop, how: Ended) -> int:
        if stop.second is not None:
            return code_of_signal(stop.second)
        return ExitCode.BROKEN if how is Ended.UNASKED else ExitCode.DONE

    async def _tell_statistics(self, pipe: HeartbeatPipe, connected: ConnectedActors) -> None:
        told: dict[str, Any] = {}
        while True:
            now = statistics_told(connected.statistics())
            # A supervisor that does not read them gets them later, rather than many of them.
            if now != told and not pipe.behind:
                pipe.tell({"statistics": now})
                told = now
            await anyio.sleep(TELL_EVERY)

    async def _stop_with_supervisor(self, pipe: HeartbeatPipe, stop: Stop) -> None:
        await pipe.until_supervisor_is_gone()
        stop.ask()


def _jobs_of(connected: ConnectedActors) -> list[str]:
    """The jobs that run, in words."""
    return [
        f"{each.running} running job{'s' if each.running > 1 else ''} of actor {each.actor!r}"
        for each in connected.statistics().actors
        if each.running
    ]


class _Ready:
    """A task status that calls a function."""

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready = ready

    def started(self, value: None = None) -> None:
        """Every actor is receiving."""
        self._ready()
