"""FastStream on NATS JetStream, asyncio only."""

from __future__ import annotations

import asyncio

from faststream.nats import JStream, NatsBroker, PullSub

from benchmarks.workers._job import Job, Task, answer, main
from benchmarks.workers._measure import WARM_UP, FanOut, Probe, Tally
from benchmarks.workers._user import GRAM, User, asyncio_handler


def quiet_broker(job: Job) -> NatsBroker:
    """A broker without a log line for every event; its pydantic is as fast as its msgspec."""
    return NatsBroker(job.server, logger=None)


async def consume(job: Job) -> None:
    """Work off a backlog."""
    done = asyncio.Event()
    tally = Tally(job, done.set)
    broker = quiet_broker(job)
    # Its default of one worker runs a whole batch at once. With more it hands events over one by
    # one, and was half as fast.
    broker.subscriber(
        job.stream,
        stream=JStream(job.stream, declare=False),
        durable=job.consumer,
        pull_sub=PullSub(batch_size=job.batch),
    )(asyncio_handler(job, tally))
    await broker.connect()
    tally.watch.start()
    await broker.start()
    await done.wait()
    await answer(tally.figures())
    await broker.stop()


async def latency(job: Job) -> None:
    """Publish one event at a time and time its way to the handler."""
    probe = Probe()
    arrived = asyncio.Event()

    async def handle(user: User) -> None:
        probe.arrive()
        arrived.set()

    broker = quiet_broker(job)
    broker.subscriber(
        job.stream,
        stream=JStream(job.stream, declare=False),
        durable=job.consumer,
        pull_sub=PullSub(batch_size=job.batch),
    )(handle)
    await broker.start()
    for _ in range(WARM_UP + job.events):
        probe.send()
        # Without ``stream`` it does not wait for the acknowledgement, as the others here do not.
        await broker.publish(GRAM, job.stream)
        await arrived.wait()
        arrived.clear()
        await asyncio.sleep(job.sleep)
    await answer(probe.figures())
    await broker.stop()


async def fanout(job: Job) -> None:
    """Start many subscribers of one event, let them idle, and publish to all of them."""
    fan = FanOut(job)
    broker = quiet_broker(job)
    for number in range(job.actors):

        async def handle(user: User) -> None:
            fan.arrive()

        broker.subscriber(
            job.stream,
            stream=JStream(job.stream, declare=False),
            durable=f"bench-{number}",
            pull_sub=PullSub(batch_size=job.batch),
        )(handle)
    await broker.start()
    await broker.publish(GRAM, job.stream)
    await answer(await fan.measure(lambda: broker.publish(GRAM, job.stream)))
    await broker.stop()


TASKS: dict[str, Task] = {"consume": consume, "latency": latency, "fanout": fanout}

if __name__ == "__main__":
    main(TASKS)
