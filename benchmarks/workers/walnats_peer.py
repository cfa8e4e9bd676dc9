"""walnats 1.2, asyncio only."""

from __future__ import annotations

import asyncio

import walnats

from benchmarks.workers._job import Job, Task, answer, main
from benchmarks.workers._measure import (
    WARM_UP,
    FanOut,
    MemoryTally,
    Probe,
    Stopwatch,
    Tally,
    resident_bytes,
)
from benchmarks.workers._user import GRAM, User, asyncio_handler


async def consume(job: Job) -> None:
    """Work off a backlog."""
    await work_off(job, Tally)


async def backlog(job: Job) -> None:
    """Work off a long backlog and watch the memory."""
    await work_off(job, MemoryTally)


async def work_off(job: Job, kind: type[Tally]) -> None:
    """Handle every event of the stream; ``register`` is left out, as the consumer is there."""
    done = asyncio.Event()
    tally = kind(job, done.set)
    # Its dataclass serializer is the fastest it has for typed objects with pydantic 2 installed.
    event = walnats.Event(job.stream, User)
    handler = asyncio_handler(job, tally)
    actor = walnats.Actor(job.consumer, event, handler, max_jobs=job.max_jobs)
    async with walnats.Actors(actor).connect(job.server) as conn, asyncio.TaskGroup() as group:
        tally.watch.start()
        listening = group.create_task(conn.listen(batch=job.batch, max_jobs=job.max_jobs))
        await done.wait()
        await answer(tally.figures())
        listening.cancel()


async def emit(job: Job) -> None:
    """Emit into the stream, with ``sync=True`` or into the blue."""
    watch = Stopwatch(job)
    event = walnats.Event(job.stream, User)
    async with walnats.Events(event).connect(job.server) as conn:

        async def emit_each(count: int) -> None:
            for _ in range(count):
                await conn.emit(event, GRAM, sync=job.mode == "sync")

        watch.start()
        async with asyncio.TaskGroup() as group:
            for _ in range(job.at_once):
                group.create_task(emit_each(job.events // job.at_once))
        # Without ``sync`` nobody learns what becomes of an event; all one can wait for is that
        # the server has read it.
        await conn._nc.flush(timeout=60)
        watch.stop()
        await answer(watch.figures(job.events))


async def latency(job: Job) -> None:
    """Emit one event at a time and time its way to the handler."""
    probe = Probe()
    arrived = asyncio.Event()
    event = walnats.Event(job.stream, User)

    async def handle(user: User) -> None:
        probe.arrive()
        arrived.set()

    actor = walnats.Actor(job.consumer, event, handle, max_jobs=job.max_jobs)
    async with (
        walnats.Events(event).connect(job.server) as emitting,
        walnats.Actors(actor).connect(job.server) as acting,
        asyncio.TaskGroup() as group,
    ):
        listening = group.create_task(acting.listen(batch=job.batch, max_jobs=job.max_jobs))
        for _ in range(WARM_UP + job.events):
            probe.send()
            await emitting.emit(event, GRAM)
            await arrived.wait()
            arrived.clear()
            await asyncio.sleep(job.sleep)
        await answer(probe.figures())
        listening.cancel()


async def fanout(job: Job) -> None:
    """Start many actors on one event, let them idle, and emit to all of them."""
    event = walnats.Event(job.stream, User)
    fan = FanOut(job)

    async def handle(user: User) -> None:
        fan.arrive()

    actors = [walnats.Actor(f"bench-{i}", event, handle) for i in range(job.actors)]
    async with (
        walnats.Events(event).connect(job.server) as emitting,
        walnats.Actors(*actors).connect(job.server) as acting,
        asyncio.TaskGroup() as group,
    ):
        await acting.register()
        await emitting.emit(event, GRAM)
        listening = group.create_task(acting.listen())
        await answer(await fan.measure(lambda: emitting.emit(event, GRAM)))
        listening.cancel()


async def sleepers(job: Job) -> None:
    """Weigh the process before any job and when all of them sleep."""
    all_asleep = asyncio.Event()
    asleep = 0

    async def handle(user: User) -> None:
        nonlocal asleep
        asleep += 1
        if asleep == job.events:
            all_asleep.set()
        await asyncio.sleep(job.sleep)

    event = walnats.Event(job.stream, User)
    actor = walnats.Actor(
        job.consumer, event, handle, max_jobs=job.max_jobs, max_ack_pending=job.max_jobs
    )
    async with walnats.Actors(actor).connect(job.server) as conn, asyncio.TaskGroup() as group:
        before = resident_bytes()
        listening = group.create_task(conn.listen(batch=job.batch, max_jobs=job.max_jobs))
        await all_asleep.wait()
        await answer({"bytes_per_job": (resident_bytes() - before) / job.events})
        listening.cancel()


TASKS: dict[str, Task] = {
    "consume": consume,
    "backlog": backlog,
    "emit": emit,
    "latency": latency,
    "fanout": fanout,
    "sleepers": sleepers,
}

if __name__ == "__main__":
    main(TASKS)
