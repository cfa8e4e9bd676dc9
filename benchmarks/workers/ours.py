"""walnats-anyio, on asyncio and on trio.

Also run with ``walnats_anyio`` from another checkout (``--against``): only names that have been
public for long belong here.
"""

from __future__ import annotations

import logging

import anyio

import walnats_anyio as walnats
from benchmarks.workers._job import Job, Task, answer, main
from benchmarks.workers._measure import (
    WARM_UP,
    Embedder,
    FanOut,
    MemoryTally,
    Probe,
    Stopwatch,
    Tally,
    burn,
    resident_bytes,
)
from benchmarks.workers._user import GRAM, User, asyncio_handler, trio_handler


async def consume(job: Job) -> None:
    """Work off a backlog."""
    await work_off(job, Tally)


async def backlog(job: Job) -> None:
    """Work off a long backlog and watch the memory."""
    await work_off(job, MemoryTally)


async def work_off(job: Job, kind: type[Tally]) -> None:
    """Handle every event of the stream; ``register`` is left out, as the consumer is there."""
    done = anyio.Event()
    tally = kind(job, done.set)
    event = walnats.Event(job.stream, User)
    make_handler = trio_handler if job.backend == "trio" else asyncio_handler
    actor = walnats.Actor[User, None](
        job.consumer, event, make_handler(job, tally), max_jobs=job.max_jobs
    )
    async with (
        walnats.Actors(actor).connect(job.server) as conn,
        anyio.create_task_group() as group,
    ):
        tally.watch.start()
        group.start_soon(listen, conn, job)
        await done.wait()
        await answer(tally.figures())
        conn.shutdown()


async def listen(conn: walnats.types.ConnectedActors, job: Job) -> None:
    """Listen with the job's number of jobs at once."""
    await conn.listen(max_jobs=job.max_jobs)


async def retries(job: Job) -> None:
    """Run a handler that fails ``job.retries`` times for each event, on average, with no delay."""
    logging.disable()  # a line for every failure otherwise
    done = anyio.Event()
    tally = Tally(job, done.set)
    failures = job.retries * job.events

    async def handle(user: User) -> None:
        tally.count()
        if tally.handled <= failures:
            raise RuntimeError("again")

    event = walnats.Event(job.stream, User)
    actor = walnats.Actor[User, None](
        job.consumer, event, handle, max_jobs=job.max_jobs, retry_delay=(0,)
    )
    async with (
        walnats.Actors(actor).connect(job.server) as conn,
        anyio.create_task_group() as group,
    ):
        tally.watch.start()
        group.start_soon(listen, conn, job)
        await done.wait()
        await answer(tally.figures())
        conn.shutdown()


async def embedder(job: Job) -> None:
    """Work off a backlog beside a task of the application, and see how late that task is."""
    done = anyio.Event()
    tally = Tally(job, done.set)
    application = Embedder()

    async def handle(user: User) -> None:
        if job.sleep:
            await anyio.sleep(job.sleep)
        burn(job.burn)
        tally.count()

    event = walnats.Event(job.stream, User)
    actor = walnats.Actor[User, None](job.consumer, event, handle, max_jobs=job.max_jobs)
    async with (
        walnats.Actors(actor).connect(job.server) as conn,
        anyio.create_task_group() as group,
    ):
        group.start_soon(application.run)
        tally.watch.start()
        group.start_soon(listen, conn, job)
        await done.wait()
        await answer(tally.figures() | application.figures())
        group.cancel_scope.cancel()


async def priority(job: Job) -> None:
    """Give an urgent and a patient actor the same events, and see whose jobs start first."""
    event = walnats.Event(job.stream, User)
    starts: list[walnats.Priority] = []
    ends = 0
    done = anyio.Event()

    def actor(priority: walnats.Priority) -> walnats.Actor[User, None]:
        async def handle(user: User) -> None:
            nonlocal ends
            starts.append(priority)
            await anyio.sleep(job.sleep)
            ends += 1
            if ends == 2 * job.events:
                done.set()

        return walnats.Actor(f"bench-{priority.name}", event, handle, priority=priority)

    actors = (actor(walnats.Priority.LOW), actor(walnats.Priority.HIGH))
    async with (
        walnats.Events(event).connect(job.server) as emitting,
        walnats.Actors(*actors).connect(job.server) as acting,
        anyio.create_task_group() as group,
    ):
        await acting.register()
        await emitting.emit_many(event, [GRAM] * job.events)
        await emitting.flush()
        group.start_soon(listen, acting, job)
        await done.wait()
        high = starts[: job.events].count(walnats.Priority.HIGH)
        await answer({"high_percent": high / job.events * 100})
        acting.shutdown()


async def emit(job: Job) -> None:
    """Emit into the stream, in the way ``job.mode`` names; every acknowledgement is awaited."""
    watch = Stopwatch(job)
    event = walnats.Event(job.stream, User)
    async with walnats.Events(event).connect(job.server) as conn:

        async def emit_each(count: int) -> None:
            for _ in range(count):
                await conn.emit(event, GRAM, sync=job.mode == "sync")

        watch.start()
        if job.mode == "many":
            await conn.emit_many(event, (GRAM for _ in range(job.events)))
        elif job.at_once == 1:
            await emit_each(job.events)
        else:
            async with anyio.create_task_group() as group:
                for _ in range(job.at_once):
                    group.start_soon(emit_each, job.events // job.at_once)
        await conn.flush()
        watch.stop()
        await answer(watch.figures(job.events))


async def latency(job: Job) -> None:
    """Emit one event at a time and time its way to the handler."""
    probe = Probe()
    arrived = anyio.Event()
    event = walnats.Event(job.stream, User)

    async def handle(user: User) -> None:
        probe.arrive()
        arrived.set()

    actor = walnats.Actor[User, None](job.consumer, event, handle)
    async with (
        walnats.Events(event).connect(job.server) as emitting,
        walnats.Actors(actor).connect(job.server) as acting,
        anyio.create_task_group() as group,
    ):
        await group.start(acting.listen)
        for _ in range(WARM_UP + job.events):
            probe.send()
            await emitting.emit(event, GRAM)
            await arrived.wait()
            arrived = anyio.Event()
            await anyio.sleep(job.sleep)
        await answer(probe.figures())
        acting.shutdown()


async def fanout(job: Job) -> None:
    """Start many actors on one event, let them idle, and emit to all of them."""
    event = walnats.Event(job.stream, User)
    fan = FanOut(job)

    async def handle(user: User) -> None:
        fan.arrive()

    actors = [walnats.Actor[User, None](f"bench-{i}", event, handle) for i in range(job.actors)]
    async with (
        walnats.Events(event).connect(job.server) as emitting,
        walnats.Actors(*actors).connect(job.server) as acting,
        anyio.create_task_group() as group,
    ):
        await acting.register()
        await emitting.emit(event, GRAM)
        await group.start(acting.listen)
        await answer(await fan.measure(lambda: emitting.emit(event, GRAM)))
        acting.shutdown()


async def sleepers(job: Job) -> None:
    """Weigh the process before any job and when all of them sleep."""
    all_asleep = anyio.Event()
    asleep = 0

    async def handle(user: User) -> None:
        nonlocal asleep
        asleep += 1
        if asleep == job.events:
            all_asleep.set()
        await anyio.sleep(job.sleep)

    event = walnats.Event(job.stream, User)
    actor = walnats.Actor[User, None](
        job.consumer, event, handle, max_jobs=job.max_jobs, max_ack_pending=job.max_jobs
    )
    async with (
        walnats.Actors(actor).connect(job.server) as conn,
        anyio.create_task_group() as group,
    ):
        before = resident_bytes()
        group.start_soon(listen, conn, job)
        await all_asleep.wait()
        await answer({"bytes_per_job": (resident_bytes() - before) / job.events})
        group.cancel_scope.cancel()


TASKS: dict[str, Task] = {
    "consume": consume,
    "backlog": backlog,
    "retries": retries,
    "embedder": embedder,
    "priority": priority,
    "emit": emit,
    "latency": latency,
    "fanout": fanout,
    "sleepers": sleepers,
}

if __name__ == "__main__":
    main(TASKS)
