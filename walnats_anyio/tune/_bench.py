"""Running levels in this process."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup

from walnats_anyio._actors import Actor, Actors, ConnectedActors
from walnats_anyio.tune._clocks import LoopLag, Usage
from walnats_anyio.tune._prepare import measured_actor, measured_event
from walnats_anyio.tune._run import Sketch, Window
from walnats_anyio.tune._window import T_QUANTILE, Recorder, throughput

FEWEST_JOBS = 3
"""Jobs that must have ended before a window ends."""

ENOUGH_JOBS = 20
"""Jobs that must have ended before a window ends early."""

LONGER = 1.4
"""How much longer a window is at each further look at it."""

TO_STOP = 5.0
"""Seconds that running jobs have at the end of a level."""

LOOK_EVERY = 0.02
"""Seconds between two looks at how far it is."""

TO_WARM_UP = 10.0
"""Seconds after which a level is warm, however few jobs have ended."""

LATE = 1.0
"""Seconds after the last emit in which events may still arrive."""


class Bench(Protocol):
    """Where levels are run: in this process, or in others."""

    async def start(self, max_jobs: int, batch: int | None) -> None:
        """Start to listen; returns when the actor is receiving."""
        ...

    async def warm_up(self, seconds: float, jobs: int) -> Window:
        """Run until so many jobs have ended, and for so many seconds at least."""
        ...

    async def measure(self, least: float, most: float, tight: float) -> Window:
        """Measure until the confidence interval is tight.

        Args:
            least: seconds that it takes at least.
            most: seconds that it takes at most, once a few jobs have ended.
            tight: half of the 95 % confidence interval, as a share of the throughput.
        """
        ...

    async def idle(self) -> None:
        """Wait until no job is running."""
        ...

    async def queueing(self, seconds: float) -> Sketch:
        """Note how long events wait, for so many seconds and until the last ones have come."""
        ...

    async def stop(self) -> None:
        """Stop listening; running jobs may finish."""
        ...


@asynccontextmanager
async def local_bench(
    actors: Actors,
    actor: Actor[Any, Any],
    top: int,
    connect: dict[str, Any],
    listen: dict[str, Any],
) -> AsyncIterator[LocalBench]:
    """Run levels in this process; what still runs at the end is cancelled."""
    async with anyio.create_task_group() as tasks:
        bench = LocalBench(tasks, actors, actor, top, connect, listen)
        tasks.start_soon(bench.lag.run)
        try:
            yield bench
        finally:
            tasks.cancel_scope.cancel()


class LocalBench:
    """Runs levels in this process."""

    def __init__(
        self,
        tasks: TaskGroup,
        actors: Actors,
        actor: Actor[Any, Any],
        top: int,
        connect: dict[str, Any],
        listen: dict[str, Any],
    ) -> None:
        self._tasks, self._actors, self._actor, self._top = tasks, actors, actor, top
        self._connect, self._listen_options = connect, listen
        self._event = measured_event(actor.event)
        self._recorder = Recorder()
        self._usage = Usage()
        self._connected: ConnectedActors | None = None
        self._over = anyio.Event()
        self._started = 0.0
        self.lag = LoopLag()
        """How late the event loop is; its task is the caller's."""

    async def start(self, max_jobs: int, batch: int | None) -> None:
        """Start to listen; returns when the actor is receiving."""
        self._recorder.forget_running()
        actor = measured_actor(self._actor, self._event, max_jobs, self._top, self._recorder)
        self._over = anyio.Event()
        # From now on, as jobs that fail at once may be over before anybody looks.
        self._reset()
        self._started = time.perf_counter()
        await self._tasks.start(self._listen, actor, max_jobs, batch)

    async def _listen(
        self, actor: Actor[Any, Any], max_jobs: int, batch: int | None, *, task_status: Any
    ) -> None:
        try:
            async with AsyncExitStack() as stack:
                actors = Actors(actor, **_lifespan_of(self._actors))
                connected = await stack.enter_async_context(actors.connect(**self._connect))
                self._connected = connected
                await connected.listen(
                    max_jobs=max_jobs,
                    batch=batch,
                    shutdown_timeout=TO_STOP,
                    task_status=task_status,
                    **self._listen_options,
                )
        finally:
            self._connected = None
            self._over.set()

    async def warm_up(self, seconds: float, jobs: int) -> Window:
        """Run until so many jobs have ended, see `Bench`."""
        begin = self._started
        limit = max(TO_WARM_UP, self._actor.job_timeout)
        while True:
            await anyio.sleep(LOOK_EVERY)
            end = time.perf_counter()
            ended = len(self._recorder.notes)
            patient = end - begin < (TO_WARM_UP if ended else limit)
            if end - begin >= seconds and (ended >= jobs or not patient):
                return self._window(begin, end, *self._throughput(begin, end))

    def _reset(self) -> None:
        self._recorder.reset()
        self._usage.reset()
        self.lag.reset()

    def _throughput(self, begin: float, end: float) -> tuple[float, float]:
        return throughput(self._recorder.notes, self._recorder.running(), begin, end)

    async def measure(self, least: float, most: float, tight: float) -> Window:
        """Measure until the confidence interval is tight, see `Bench`."""
        self._reset()
        begin = time.perf_counter()
        length = least
        while True:
            await anyio.sleep(max(0.0, begin + length - time.perf_counter()))
            end = time.perf_counter()
            ended = len(self._recorder.notes)
            rate, error = self._throughput(begin, end)
            exact = ended >= ENOUGH_JOBS and error * T_QUANTILE <= tight * rate
            over = end - begin >= most and ended >= FEWEST_JOBS
            if exact or over or end - begin >= most + self._actor.job_timeout:
                return self._window(begin, end, rate, error)
            length = min(length * LONGER, max(most, end - begin + least))

    def _window(self, begin: float, end: float, rate: float, error: float) -> Window:
        notes = [note for note in self._recorder.notes if note.ended <= end]
        return Window(
            seconds=end - begin,
            throughput=rate,
            error=error,
            ended=len(notes),
            failed=sum(not note.succeeded for note in notes),
            failure=self._recorder.failure,
            handling=Sketch.of([note.ended - note.started for note in notes]),
            cpu=self._usage.cpu(),
            memory=self._usage.memory(),
            loop_lag=self.lag.sketch(),
            busy=self._usage.busy(),
            disturbed=self._usage.disturbed(),
        )

    async def idle(self) -> None:
        """Wait until no job is running."""
        give_up_at = time.perf_counter() + TO_STOP
        while self._recorder.running() and time.perf_counter() < give_up_at:  # noqa: ASYNC110 - an event set by each job would be measured as well
            await anyio.sleep(LOOK_EVERY)

    async def queueing(self, seconds: float) -> Sketch:
        """Note how long events wait, see `Bench`."""
        self._recorder.reset()
        await anyio.sleep(seconds)
        give_up_at = time.perf_counter() + LATE
        started = -1
        while started != self._recorder.started and time.perf_counter() < give_up_at:
            started = self._recorder.started
            await anyio.sleep(LATE / 10)
        return self._recorder.queueing()

    async def stop(self) -> None:
        """Stop listening; running jobs may finish."""
        if self._connected is not None:
            self._connected.shutdown()
        await self._over.wait()


def _lifespan_of(actors: Actors) -> dict[str, Any]:
    lifespan = getattr(actors, "lifespan", None)
    return {} if lifespan is None else {"lifespan": lifespan}
