"""What happens in the demo, in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import Signals

import anyio
from anyio.abc import Process

from walnats_anyio._link import Link, api, open_link
from walnats_anyio.cli._choices import Backend
from walnats_anyio.cli._demo._ledger import Did, Ledger
from walnats_anyio.cli._demo._outcome import Outcome, add_up
from walnats_anyio.cli._demo._progress import Progress, WorkerProgress
from walnats_anyio.cli._demo._shop import ACK_WAIT, JOBS, LEDGER, ORDER_PLACED, WORK
from walnats_anyio.cli._demo._view import View
from walnats_anyio.cli._endings import Problem
from walnats_anyio.testing import NatsServer

EMIT_FOR = 3.0
"""Seconds over which the publisher spreads its events."""

WORK_FOR = 5.0
"""Seconds that all the work takes two workers."""

LONGEST_JOB = 0.5
"""Seconds that one job takes at most, when there are few events."""

KILL_AT = 1 / 3
"""The share of the events that is handled when a worker is killed."""

LOOK_EVERY = 0.1
"""Seconds between two looks at the ledgers."""

PATIENCE = 30.0
"""Seconds without any progress after which the demo gives up."""


@dataclass(frozen=True)
class Worker:
    """A process that handles events."""

    name: str
    """What it is called on the screen."""

    process: Process
    """The process."""

    ledger: Ledger
    """What it notes."""

    report: Path
    """What `walnats-anyio run` says of itself there."""

    @property
    def state(self) -> str:
        """What it is doing."""
        code = self.process.returncode
        if code is None:
            return "running" if self.ready else "starting"
        return "killed" if code == -Signals.SIGKILL else "stopped"

    @property
    def ready(self) -> bool:
        """Whether it is receiving events."""
        try:
            return bool(json.loads(self.report.read_text())["state"] == "running")
        except FileNotFoundError:
            return False


class Scenario:
    """A server, a publisher and two workers; one worker is killed; everything is counted.

    All of it is in one directory, and no process outlives `run`, however it ends.
    """

    def __init__(self, events: int, backend: Backend, directory: Path, view: View) -> None:
        self._events = events
        self._backend = backend
        self._directory = directory
        self._view = view
        self._workers: list[Worker] = []
        self._publisher: Process | None = None
        self._emitted = Ledger(directory / "publisher.ledger")
        self._begun = anyio.current_time()
        self._progress_at = self._begun
        self._signs = 0

    async def run(self) -> Outcome:
        """Play it from the start to the end.

        Raises:
            Problem: a process did not do what it should.
            NatsServerError: the server did not start.
        """
        async with (
            NatsServer() as server,
            open_link(server.url, options={"name": "walnats-anyio demo"}) as link,
            AsyncExitStack() as processes,
        ):
            self._view.say(f"nats-server is running at {server.url}")
            for number in (1, 2):
                self._workers.append(await self._start_worker(number, server.url, processes))
            await self._until_ready()
            self._publisher = await self._start_publisher(server.url, processes)
            await self._until_in_the_middle()
            await self._kill(self._workers[0])
            left = await self._until_all_handled(link)
            seconds = anyio.current_time() - self._begun
            await self._stop(self._workers[1])
        killed, remaining = (worker.ledger for worker in self._workers)
        self._look()
        return add_up(self._events, self._emitted, killed, remaining, left, seconds)

    # the acts

    async def _start_worker(self, number: int, server: str, processes: AsyncExitStack) -> Worker:
        name = f"worker-{number}"
        report = self._directory / f"{name}.json"
        work = min(LONGEST_JOB, WORK_FOR * 2 * JOBS / self._events)
        command = [
            *("walnats_anyio", "run", "walnats_anyio.cli._demo._shop:actors"),
            *(f"--server={server}", f"--backend={self._backend}", f"--max-jobs={JOBS}"),
            *(f"--worker={number}", f"--json={report}"),
        ]
        process = await processes.enter_async_context(
            self._started(name, command, {WORK: str(work)})
        )
        ledger = Ledger(self._directory / f"{name}.ledger")
        return Worker(f"worker {number}", process, ledger, report)

    async def _until_ready(self) -> None:
        while not all(worker.ready for worker in self._workers):
            self._look()
            self._check()
            await anyio.sleep(LOOK_EVERY)
        both = " and ".join(f"{worker.name} ({worker.process.pid})" for worker in self._workers)
        self._view.say(f"{both} are waiting for events, on {self._backend}, {JOBS} jobs each")

    async def _start_publisher(self, server: str, processes: AsyncExitStack) -> Process:
        command = ["walnats_anyio.cli._demo._publisher", self._backend, server]
        process = await processes.enter_async_context(
            self._started("publisher", [*command, str(self._events), str(EMIT_FOR)], {})
        )
        self._view.say(f"publisher ({process.pid}) emits {self._events:,} events")
        return process

    async def _until_in_the_middle(self) -> None:
        victim = self._workers[0].ledger
        while (handled := self._look().handled) < self._events:
            if handled >= self._events * KILL_AT and victim.in_flight():
                return
            if self._stalled():
                return
            self._check()
            await anyio.sleep(LOOK_EVERY)

    async def _kill(self, worker: Worker) -> None:
        worker.process.kill()
        await worker.process.wait()
        worker.ledger.read()
        self._view.say(
            f"SIGKILL to {worker.name} in the middle of {len(worker.ledger.in_flight())} events; "
            f"worker 2 gets them after {ACK_WAIT:g} s (ack_wait)"
        )

    async def _until_all_handled(self, link: Link) -> int:
        """Wait until the server has nothing left; gives what it has left when that never comes."""
        while True:
            left = await _messages(link)
            if left == 0 and self._publisher_done():
                return left
            self._look()
            if self._stalled():
                self._view.say(f"no progress for {PATIENCE:g} s: giving up")
                return left
            self._check()
            await anyio.sleep(LOOK_EVERY)

    async def _stop(self, worker: Worker) -> None:
        worker.process.terminate()
        with anyio.move_on_after(PATIENCE):
            await worker.process.wait()
        if worker.process.returncode != 0:
            raise self._failure(worker.name, worker.process)
        self._view.say(f"SIGTERM to {worker.name}: it stopped gracefully")

    # looking on

    def _look(self) -> Progress:
        """Read the ledgers and show how far it is."""
        self._emitted.read()
        for worker in self._workers:
            worker.ledger.read()
        handled = [worker.ledger.times(Did.HANDLED) for worker in self._workers]
        progress = Progress(
            seconds=anyio.current_time() - self._begun,
            events=self._events,
            acknowledged=len(self._emitted.times(Did.ACKNOWLEDGED)),
            handled=len(set[int]().union(*handled)),
            workers=tuple(
                WorkerProgress(worker.name, worker.state, len(done), len(worker.ledger.in_flight()))
                for worker, done in zip(self._workers, handled, strict=True)
            ),
        )
        signs = progress.acknowledged + sum(done.total() for done in handled)
        if signs != self._signs:
            self._signs, self._progress_at = signs, anyio.current_time()
        self._view.show(progress)
        return progress

    def _stalled(self) -> bool:
        return anyio.current_time() - self._progress_at > PATIENCE

    def _publisher_done(self) -> bool:
        return self._publisher is not None and self._publisher.returncode == 0

    def _check(self) -> None:
        """See whether everybody does what they should."""
        if self._publisher is not None and self._publisher.returncode:
            raise self._failure("publisher", self._publisher)
        for worker in self._workers:
            if worker.state == "stopped":
                raise self._failure(worker.name, worker.process)
        if self._stalled() and self._publisher is None:
            raise Problem(f"the workers were not ready within {PATIENCE:g} s")

    def _failure(self, name: str, process: Process) -> Problem:
        log = (self._directory / f"{name.replace(' ', '-')}.log").read_text(errors="replace")
        return Problem(f"{name} ended with exit code {process.returncode}. Its output:\n{log}")

    @asynccontextmanager
    async def _started(
        self, name: str, command: list[str], environment: dict[str, str]
    ) -> AsyncIterator[Process]:
        """A process of this demo, which does not outlive the context."""
        own = {LEDGER: str(self._directory / f"{name}.ledger"), "PYTHONUNBUFFERED": "1"}
        with (self._directory / f"{name}.log").open("wb") as log:
            process = await anyio.open_process(
                [sys.executable, "-m", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **own, **environment},
                # Ctrl-C is for the demo, which ends all the others.
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            with anyio.CancelScope(shield=True):
                await process.aclose()


async def _messages(link: Link) -> int:
    info = await api(link, f"STREAM.INFO.{ORDER_PLACED.stream_name}")
    return int(info["state"]["messages"])
