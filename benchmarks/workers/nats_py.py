"""nats-py by hand, no framework: what a framework on it could reach at best.

It has no timeouts, no delays between retries, no limit on jobs and no typed API.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from benchmarks.workers._job import Job, Task, answer, main
from benchmarks.workers._measure import MAX_OUTSTANDING, WARM_UP, Probe, Stopwatch, Tally
from benchmarks.workers._user import GRAM, User, asyncio_handler

# msgspec with coders made once is the fastest JSON there is for a dataclass.
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(User).decode


async def consume(job: Job) -> None:
    """Work off a backlog, in the way ``job.mode`` names."""
    await {"fetch": consume_by_fetch, "ahead": consume_ahead}[job.mode](job)


async def consume_by_fetch(job: Job) -> None:
    """Fetch a batch, handle and acknowledge it, fetch the next: what the documentation shows."""
    done = asyncio.Event()
    tally = Tally(job, done.set)
    handle = asyncio_handler(job, tally)

    async def handle_and_ack(msg: Msg) -> None:
        await handle(decode(msg.data))
        await msg.ack()

    async with connection(job) as nc:
        subscription = await nc.jetstream().pull_subscribe_bind(job.consumer, job.stream)
        tally.watch.start()
        while not done.is_set():
            batch = await subscription.fetch(job.batch)
            if not job.sleep:
                for msg in batch:
                    await handle_and_ack(msg)
                continue
            # Handlers that wait are worth a task each; handlers that do not are faster in a loop.
            async with asyncio.TaskGroup() as group:
                for msg in batch:
                    group.create_task(handle_and_ack(msg))
        await answer(tally.figures())


async def consume_ahead(job: Job) -> None:
    """One subscription, with a new pull request sent before the last one is used up."""
    done = asyncio.Event()
    tally = Tally(job, done.set)
    handle = asyncio_handler(job, tally)
    asked_for = 0
    failures = job.retries * job.events

    async def pull(count: int) -> None:
        nonlocal asked_for
        asked_for += count
        request = encode({"batch": count, "expires": 30_000_000_000})
        await nc.publish(next_subject, request, inbox)

    async def handle_and_ack(msg: Msg) -> None:
        nonlocal asked_for
        await handle(decode(msg.data))
        await nc.publish(msg.reply, b"+ACK" if tally.handled > failures else b"-NAK")
        asked_for -= 1
        if asked_for <= job.batch // 2:
            await pull(job.batch - asked_for)

    async def receive(msg: Msg) -> None:
        if job.sleep:
            group.create_task(handle_and_ack(msg))
        else:
            await handle_and_ack(msg)

    async with connection(job) as nc, asyncio.TaskGroup() as group:
        next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{job.stream}.{job.consumer}"
        inbox = nc.new_inbox()
        await nc.subscribe(inbox, cb=receive)
        tally.watch.start()
        await pull(job.batch)
        await done.wait()
        await answer(tally.figures())


async def emit(job: Job) -> None:
    """Publish into the stream, every acknowledgement awaited, in the way ``job.mode`` names."""
    await (emit_by_core if job.mode == "core" else emit_by_jetstream)(job)


async def emit_by_core(job: Job) -> None:
    """Core publish with one inbox for all acknowledgements, which are counted and not read."""
    watch = Stopwatch(job)
    acknowledged = 0
    room = asyncio.Event()

    async def count_ack(msg: Msg) -> None:
        nonlocal acknowledged
        acknowledged += 1
        if sent - acknowledged <= allowed:
            room.set()

    async with connection(job) as nc:
        inbox = nc.new_inbox()
        await nc.subscribe(inbox, cb=count_ack)
        sent, allowed = 0, MAX_OUTSTANDING // 2
        watch.start()
        while sent < job.events:
            await nc.publish(job.stream, encode(GRAM), inbox)
            sent += 1
            if sent == job.events:
                allowed = 0
            elif sent - acknowledged < MAX_OUTSTANDING:
                continue
            room.clear()
            await room.wait()
        watch.stop()
        await answer(watch.figures(job.events))


async def emit_by_jetstream(job: Job) -> None:
    """The client's own calls, one that returns a future or one that waits."""
    watch = Stopwatch(job)
    async with connection(job) as nc:
        # 4,000 acknowledgements may be outstanding for ``publish_async``, which is its default.
        js = nc.jetstream()

        async def publish_each(count: int) -> None:
            for _ in range(count):
                await js.publish(job.stream, encode(GRAM))

        watch.start()
        if job.mode == "async":
            acks = [await js.publish_async(job.stream, encode(GRAM)) for _ in range(job.events)]
            await asyncio.gather(*acks)
        else:
            async with asyncio.TaskGroup() as group:
                for _ in range(job.at_once):
                    group.create_task(publish_each(job.events // job.at_once))
        watch.stop()
        await answer(watch.figures(job.events))


async def latency(job: Job) -> None:
    """Publish one event at a time and time its way to a pull request that waits for it."""
    probe = Probe()
    arrived = asyncio.Event()
    request = encode({"batch": 1, "expires": 30_000_000_000})

    async def receive(msg: Msg) -> None:
        decode(msg.data)
        probe.arrive()
        await nc.publish(msg.reply, b"+ACK")
        await nc.publish(next_subject, request, inbox)
        arrived.set()

    async with connection(job) as nc:
        next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{job.stream}.{job.consumer}"
        inbox = nc.new_inbox()
        await nc.subscribe(inbox, cb=receive)
        await nc.publish(next_subject, request, inbox)
        for _ in range(WARM_UP + job.events):
            probe.send()
            await nc.publish(job.stream, encode(GRAM))
            await arrived.wait()
            arrived.clear()
            await asyncio.sleep(job.sleep)
        await answer(probe.figures())


@asynccontextmanager
async def connection(job: Job) -> AsyncIterator[Client]:
    """A connection for the length of the block."""
    nc = await nats.connect(job.server)
    try:
        yield nc
    finally:
        await nc.close()


TASKS: dict[str, Task] = {"consume": consume, "emit": emit, "latency": latency}

if __name__ == "__main__":
    main(TASKS)
