"""What happens in the demo, in order."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from walnats_anyio._actors import Actors
from walnats_anyio._events import ConnectedEvents, Events
from walnats_anyio._link import Link, ServerError, api
from walnats_anyio.cli._choices import Backend
from walnats_anyio.cli._connection import Connection
from walnats_anyio.cli._demo._outcome import Outcome, add_up
from walnats_anyio.cli._demo._shop import (
    ACK_WAIT,
    EVENT,
    JOBS,
    LEDGER,
    WORK,
    Order,
    declare,
    noted,
)
from walnats_anyio.cli._endings import Problem
from walnats_anyio.cli._plan import Plan
from walnats_anyio.cli._registering import register
from walnats_anyio.cli._worker_process import WorkerProcess
from walnats_anyio.testing import NatsServer

EMIT_FOR = 3.0
"""Seconds over which the events are emitted."""

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


async def play(
    events: int, backend: Backend, connection: Connection, folder: Path, screen: Console
) -> Outcome:
    """Play it from the start to the end; no process and no stream outlives it, however it ends.

    Raises:
        Problem: a worker did not do what it should.
        NatsServerError: the server did not start.
        ConnectError: there is no server where one was named.
    """
    async with AsyncExitStack() as stack:
        if connection.server is None:
            server = await stack.enter_async_context(NatsServer())
            connection = Connection(server=[server.url])
            screen.print(f"nats-server is running at {server.url}", soft_wrap=True)
        plan = Plan(
            "walnats_anyio.cli._demo._shop:actors", connection, backend, workers=2, max_jobs=JOBS
        )
        url, options = plan.connection_arguments()
        link = await stack.enter_async_context(plan.open_link())
        demo = Demo(events, plan, folder, link, screen)
        await stack.enter_async_context(demo.stream())
        connected = await stack.enter_async_context(demo.registry.connect(url, **options))
        with demo.bars:
            return await demo.run(connected)


class Demo:
    """Two workers, a publisher, and what is known of them."""

    def __init__(self, events: int, plan: Plan, folder: Path, link: Link, screen: Console) -> None:
        self.actor = declare(f"demo.order-placed-{secrets.token_hex(4)}")
        self.registry = Events(self.actor.event)
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(30),
            TextColumn("{task.completed:,}", justify="right"),
            TextColumn("{task.fields[what]}"),
            console=screen,
            auto_refresh=False,  # drawn by this task: no thread to be interrupted
            disable=not screen.is_terminal,
        )
        self._rows: dict[str, TaskID] = {}
        self._screen = screen
        self._events, self._plan, self._folder, self._link = events, plan, folder, link
        self._stream = link.prefixes.stream(self.actor.event.stream_name)
        self._workers: list[WorkerProcess] = []
        self._ledgers = [folder / f"worker-{number}.ledger" for number in (1, 2)]
        self._acknowledged = self._left = 0
        self._seconds = 0.0
        self._may_end: set[int] = set()
        self._begun = self._progress_at = self._shown_at = anyio.current_time()
        self._signs = 0

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[None]:
        """The stream of the event, which is deleted at the end."""
        await register(Actors(self.actor), self._plan)
        try:
            yield
        finally:
            with anyio.move_on_after(2, shield=True):
                try:
                    await api(self._link, f"STREAM.DELETE.{self._stream}")
                except ServerError as error:
                    self._say(f"the stream of the demo is left behind: {error}")

    async def run(self, connected: ConnectedEvents) -> Outcome:
        """Run the workers, emit, kill, wait until all is handled, count."""
        async with anyio.create_task_group() as tasks:
            for number in (1, 2):
                worker = await self._start(number)
                tasks.start_soon(worker.run, lambda: None)
            first, second = self._workers
            await self._until(lambda: bool(first.ready_at and second.ready_at))
            self._say(f"{first} and {second} are waiting for events, on {self._plan.backend}")
            tasks.start_soon(self._publish, connected)
            third = self._events * KILL_AT
            await self._until(lambda: self._handled() >= third and bool(self._in_flight(0)))
            self._may_end.add(1)
            first.kill()
            await self._until(lambda: first.ended_as is not None)
            flying = len(self._in_flight(0))
            self._say(
                f"SIGKILL to {first} in the middle of {flying} events, which go to worker 2 after "
                f"{ACK_WAIT:g} s"
            )
            self._left = await self._until_nothing_is_left()
            self._seconds = anyio.current_time() - self._begun
            self._may_end.add(2)
            second.send(signal.SIGTERM)
            await self._until(lambda: second.ended_as is not None)
            self._say(f"SIGTERM to {second}: it ended with exit code {second.ended_as}")
        self._look()
        started = noted(self._ledgers[0], "started")
        handled = (noted(self._ledgers[0], "handled"), noted(self._ledgers[1], "handled"))
        return add_up(self._acknowledged, self._events, started, handled, self._left, self._seconds)

    async def _start(self, number: int) -> WorkerProcess:
        ledger = self._ledgers[number - 1]
        ledger.touch()
        work = min(LONGEST_JOB, WORK_FOR * 2 * JOBS / self._events)
        own = {EVENT: self.actor.event.name, WORK: str(work), LEDGER: str(ledger)}
        with self._log(number).open("wb") as log:
            worker = await WorkerProcess.start(
                number, self._plan, output=log, env={**os.environ, **own}
            )
        self._workers.append(worker)
        return worker

    async def _publish(self, connected: ConnectedEvents) -> None:
        """Emit the events, evenly over some seconds, and count what the stream acknowledged."""
        begun = anyio.current_time()
        self._say(f"{self._events:,} events are emitted")
        while self._acknowledged < self._events:
            await anyio.sleep(LOOK_EVERY / 2)
            share = min(1.0, (anyio.current_time() - begun) / EMIT_FOR)
            numbers = range(self._acknowledged + 1, round(self._events * share) + 1)
            await connected.emit_many(self.actor.event, (Order(number) for number in numbers))
            await connected.flush()  # all of them are acknowledged, or it raises
            self._acknowledged += len(numbers)

    async def _until_nothing_is_left(self) -> int:
        """Wait until the server has nothing left; gives what it has left when that never comes."""
        while True:
            info = await api(self._link, f"STREAM.INFO.{self._stream}")
            left = int(info["state"]["messages"])
            if left == 0 and self._acknowledged == self._events:
                return left
            self._look()
            if self._stalled():
                self._say(f"no progress for {PATIENCE:g} s: giving up")
                return left
            await anyio.sleep(LOOK_EVERY)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._look()
            if self._stalled():
                raise Problem(f"no progress for {PATIENCE:g} s. {self._logs()}")
            await anyio.sleep(LOOK_EVERY)

    def _look(self) -> None:
        """See whether everybody does what they should, and show how far it is."""
        for worker in self._workers:
            if worker.ended_as is not None and worker.number not in self._may_end:
                raise Problem(f"{worker} {worker.end_in_words()}. {self._logs()}")
        signs = self._acknowledged + sum(ledger.stat().st_size for ledger in self._ledgers)
        signs += sum(worker.ready_at is not None for worker in self._workers)
        if signs != self._signs:
            self._signs, self._progress_at = signs, anyio.current_time()
        self._show("publisher", self._acknowledged, "emitted and acknowledged")
        for worker in self._workers:
            number, flying = worker.number, len(self._in_flight(worker.number - 1))
            what = f"{flying} in flight" if worker.ready_at else "starting"
            if worker.ended_as is not None:
                what = f"killed with {flying} in flight" if number == 1 else "stopped"
            count = len(noted(self._ledgers[number - 1], "handled"))
            self._show(f"worker {number}", count, f"handled, {what}")
        self._show("together", self._handled(), f"of {self._events:,} handled")
        self.bars.refresh()
        now = anyio.current_time()
        if not self._screen.is_terminal and now - self._shown_at > 1:
            self._shown_at = now
            emitted = f"emitted {self._acknowledged:,} of {self._events:,}"
            self._say(f"{emitted}; handled {self._handled():,}")

    def _show(self, name: str, count: int, what: str) -> None:
        if name not in self._rows:
            self._rows[name] = self.bars.add_task(name, total=self._events, what=what)
        self.bars.update(self._rows[name], completed=count, what=what)

    def _say(self, text: str) -> None:
        line = f"{anyio.current_time() - self._begun:5.1f} s  {text}"
        self._screen.print(line, soft_wrap=not self._screen.is_terminal, markup=False)

    def _stalled(self) -> bool:
        return anyio.current_time() - self._progress_at > PATIENCE

    def _handled(self) -> int:
        return len({number for each in self._ledgers for number in noted(each, "handled")})

    def _in_flight(self, worker: int) -> set[int]:
        ledger = self._ledgers[worker]
        return set(noted(ledger, "started")) - set(noted(ledger, "handled"))

    def _log(self, number: int) -> Path:
        return self._folder / f"worker-{number}.log"

    def _logs(self) -> str:
        logs = (self._log(worker.number).read_text(errors="replace") for worker in self._workers)
        return "The output of the workers:\n" + "\n".join(logs)
