"""Running levels in worker processes."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import anyio
import msgspec

from walnats_anyio.tune._orders import Answer, Assignment, Order
from walnats_anyio.tune._process import ProcessDiedError, WorkerProcess, started
from walnats_anyio.tune._run import Sketch, Window

T = TypeVar("T")

TO_LOAD = 120.0
"""Seconds in which a worker process must have imported the actor's module."""

PATIENCE = 60.0
"""Seconds that an answer may take beyond what it has to: a handler may block the event loop."""

_answers = msgspec.json.Decoder(Answer)


@asynccontextmanager
async def remote_bench(assignment: Assignment, workers: int) -> AsyncIterator[RemoteBench]:
    """Run levels in so many new processes, which have ended when the block is left.

    Raises:
        ProcessDiedError: one of them could not load the actor.
    """
    command = [sys.executable, "-m", "walnats_anyio.tune._worker"]
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(
                started(command, f"worker process {number}", session=True)
            )
            for number in range(1, workers + 1)
        ]
        bench = RemoteBench(processes)
        await bench.tell(msgspec.json.encode(assignment), TO_LOAD)
        yield bench


class RemoteBench:
    """Runs levels in worker processes, all at the same time."""

    def __init__(self, processes: Sequence[WorkerProcess]) -> None:
        self._processes = processes

    async def tell(self, line: bytes, within: float) -> list[Answer]:
        """Tell all processes the same; gives their answers.

        Raises:
            ProcessDiedError: one of them died, or did not answer in time.
        """
        answers: list[Answer] = []
        failures: list[ProcessDiedError] = []

        async def tell_one(process: WorkerProcess, scope: anyio.CancelScope) -> None:
            try:
                await process.send(line)
                answers.append(_answers.decode(await process.answer(within)))
            except ProcessDiedError as error:
                failures.append(error)
                scope.cancel()

        async with anyio.create_task_group() as tasks:
            for process in self._processes:
                tasks.start_soon(tell_one, process, tasks.cancel_scope)
        if failures:
            raise failures[0]
        return answers

    async def _order(self, do: str, *arguments: Any, seconds: float = 0.0) -> list[Answer]:
        line = msgspec.json.encode(Order(do=do, arguments=arguments))
        return await self.tell(line, seconds + PATIENCE)

    async def start(self, max_jobs: int, batch: int | None) -> None:
        """Start to listen, see `Bench`."""
        await self._order("start", max_jobs, batch)

    async def warm_up(self, seconds: float, jobs: int) -> Window:
        """Run until so many jobs have ended, see `Bench`."""
        answers = await self._order("warm_up", seconds, jobs, seconds=seconds)
        return Window.together([each.window for each in answers if each.window])

    async def measure(self, least: float, most: float, tight: float) -> Window:
        """Measure until the confidence interval is tight, see `Bench`."""
        answers = await self._order("measure", least, most, tight, seconds=2 * most)
        return Window.together([each.window for each in answers if each.window])

    async def idle(self) -> None:
        """Wait until no job is running, see `Bench`."""
        await self._order("idle")

    async def queueing(self, seconds: float) -> Sketch:
        """Note how long events wait, see `Bench`."""
        answers = await self._order("queueing", seconds, seconds=seconds)
        return Sketch.together(each.sketch for each in answers if each.sketch)

    async def stop(self) -> None:
        """Stop listening, see `Bench`."""
        await self._order("stop")
