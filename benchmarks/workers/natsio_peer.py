"""natsio 1.0, a client for Python 3.13 and asyncio, without any framework.

Events are taken as its documentation shows: ``consume()``, which keeps pull requests ahead, and
``async for``. What is faster in it is private.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import natsio

from benchmarks.workers._job import Job, Task, answer, main
from benchmarks.workers._measure import WARM_UP, Probe, Stopwatch, Tally
from benchmarks.workers._user import GRAM, User, asyncio_handler

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(User).decode


async def consume(job: Job) -> None:
    """Work off a backlog."""
    done = asyncio.Event()
    tally = Tally(job, done.set)
    handle = asyncio_handler(job, tally)

    async def handle_and_ack(msg: Any) -> None:
        await handle(decode(msg.data))
        await msg.ack()

    async def work_off() -> None:
        async with consumer.consume(max_messages=job.batch) as messages:
            async for msg in messages:
                # Handlers that wait are worth a task each; the others are faster in a loop.
                if job.sleep:
                    group.create_task(handle_and_ack(msg))
                else:
                    await handle_and_ack(msg)

    async with connection(job) as nc, asyncio.TaskGroup() as group:
        consumer = await consumer_of(job, nc)
        tally.watch.start()
        working = group.create_task(work_off())
        await done.wait()
        await answer(tally.figures())
        working.cancel()


async def emit(job: Job) -> None:
    """Publish into the stream, in the way ``job.mode`` names, every acknowledgement awaited."""
    watch = Stopwatch(job)
    async with connection(job) as nc:
        # By default a full window of 4,000 is an error after 0.2 s; here it only has to wait.
        js = nc.jetstream(publish_async_stall_wait=60.0)

        async def publish_each(count: int) -> None:
            for _ in range(count):
                await js.publish(job.stream, encode(GRAM))

        watch.start()
        if job.mode == "async":
            for _ in range(job.events):
                await js.publish_async(job.stream, encode(GRAM))
            await js.publish_async_complete()
        else:
            async with asyncio.TaskGroup() as group:
                for _ in range(job.at_once):
                    group.create_task(publish_each(job.events // job.at_once))
        watch.stop()
        await answer(watch.figures(job.events))


async def latency(job: Job) -> None:
    """Publish one event at a time and time its way to the loop that waits for it."""
    probe = Probe()
    arrived = asyncio.Event()

    async def receive() -> None:
        async with consumer.consume() as messages:
            async for msg in messages:
                decode(msg.data)
                probe.arrive()
                arrived.set()
                await msg.ack()

    async with connection(job) as nc, asyncio.TaskGroup() as group:
        consumer = await consumer_of(job, nc)
        receiving = group.create_task(receive())
        for _ in range(WARM_UP + job.events):
            probe.send()
            await nc.publish(job.stream, encode(GRAM))
            await arrived.wait()
            arrived.clear()
            await asyncio.sleep(job.sleep)
        await answer(probe.figures())
        receiving.cancel()


async def consumer_of(job: Job, nc: Any) -> Any:
    """The consumer that the harness has made."""
    stream = await nc.jetstream().stream(job.stream)
    return await stream.consumer(job.consumer)


@asynccontextmanager
async def connection(job: Job) -> AsyncIterator[Any]:
    """A connection for the length of the block."""
    async with await natsio.connect(job.server) as nc:
        yield nc


TASKS: dict[str, Task] = {"consume": consume, "emit": emit, "latency": latency}

if __name__ == "__main__":
    main(TASKS)
