"""Faults of workers, which are processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from tests.faults._ledger import Result
from tests.faults._scene import (
    JOBS,
    LONG,
    ServerScene,
    actor_of,
    emit,
    open_scene,
    result_of,
    settle,
)
from tests.faults._worker import EVENT, ready_file
from tests.support.waiting import until
from walnats_anyio import Actors, Events
from walnats_anyio.types import ConnectedEvents

ROOT = Path(__file__).parent.parent.parent

WORKERS = 2


@dataclass(frozen=True)
class WorkerFault:
    """One way to end workers under load; each is replaced by a new one."""

    name: str

    how: signal.Signals

    within: float
    """Seconds from the last new worker's start to the first job."""

    again: int
    """How often all that a worker holds may be run again."""

    ack_wait: float

    rounds: int

    done_within: float
    """Seconds in which all must be done, less than `ack_wait` where nothing may wait for that."""


WORKER_FAULTS = [
    WorkerFault("worker killed", signal.SIGKILL, 10, again=1, ack_wait=4, rounds=1, done_within=60),
    WorkerFault(
        "workers restarted in turn", signal.SIGTERM, 10, again=0, ack_wait=120, rounds=3,
        done_within=60,
    ),
]  # fmt: skip


@dataclass
class Crew:
    """The workers of a scene."""

    arguments: list[str]

    notes: Path

    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    async def start(self) -> None:
        """Start a worker, and wait until it listens."""
        worker = self._launch()
        self.workers.append(worker)
        await until(ready_file(self.notes, worker.pid).exists, LONG)

    def _launch(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.faults._worker", *self.arguments]
        return subprocess.Popen(command, cwd=ROOT)

    async def replace_oldest(self, how: signal.Signals) -> None:
        """End the oldest worker, and start another when it is gone."""
        oldest = self.workers.pop(0)
        oldest.send_signal(how)
        await until(lambda: oldest.poll() is not None)
        assert how == signal.SIGKILL or oldest.returncode == 0, oldest.returncode
        await self.start()


@asynccontextmanager
async def open_crew(scene: ServerScene, fault: WorkerFault, backend: str) -> AsyncIterator[Crew]:
    arguments = [scene.server.url, str(scene.path), str(fault.ack_wait), backend]

    crew = Crew(arguments, scene.path)
    try:
        for _ in range(WORKERS):
            await crew.start()
        yield crew
    finally:
        for worker in crew.workers:
            worker.kill()
            worker.wait()


async def run_worker_fault(fault: WorkerFault, backend: str, count: int) -> Result:
    """Send so many events through workers that end, and hand in the ledger."""
    begun = time.monotonic()
    with TemporaryDirectory() as directory:
        async with open_scene(Path(directory, "notes")) as scene:
            actor = actor_of(EVENT, scene.path, fault.ack_wait)
            async with (
                Events(EVENT).connect(scene.server.url) as events,
                Actors(actor).connect(scene.server.url) as actors,
            ):
                await events.register()
                await actors.register()
                async with open_crew(scene, fault, backend) as crew:
                    over = await _through(fault, scene, events, crew, count)
                    with anyio.fail_after(fault.done_within):
                        await settle(scene, actors, actor, count)
            return result_of(
                fault.name,
                backend,
                count,
                scene,
                over,
                begun=begun,
                within=fault.within,
                again=fault.again * JOBS,
                doubles=False,
            )


async def _through(
    fault: WorkerFault, scene: ServerScene, events: ConnectedEvents, crew: Crew, count: int
) -> float:
    """Emit a part, end a worker while the next one is emitted, and so on."""
    before, during = range(count * 3 // 10), range(count * 3 // 10, count * 7 // 10)
    await emit(scene, events, EVENT, before)
    await until(lambda: len(scene.noted.done) > 0, LONG)
    size = len(during) // fault.rounds
    async with anyio.create_task_group() as tasks:
        for start in range(during.start, during.start + size * fault.rounds, size):
            # The jobs of this part run while the worker ends.
            tasks.start_soon(emit, scene, events, EVENT, range(start, start + size), 0.5)
            await until(lambda start=start: start in scene.noted.done, LONG)  # type: ignore[misc]
            await crew.replace_oldest(fault.how)
    over = time.monotonic()
    await emit(scene, events, EVENT, range(during.start + size * fault.rounds, count))
    await events.flush()
    return over
