"""taskiq with taskiq-nats, asyncio only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from nats.js.api import AckPolicy, ConsumerConfig
from taskiq.receiver import Receiver
from taskiq_nats import PullBasedJetStreamBroker

from benchmarks.workers._job import Job, Task, answer, main
from benchmarks.workers._measure import WARM_UP, Probe, Tally
from benchmarks.workers._user import GRAM, User, asyncio_handler

TASK_NAME = "handle-user"
"""The harness fills the backlog with calls of this task."""


async def consume(job: Job) -> None:
    """Work off a backlog."""
    done = asyncio.Event()
    tally = Tally(job, done.set)
    broker = broker_of(job)
    broker.register_task(asyncio_handler(job, tally), task_name=TASK_NAME)
    await broker.startup()
    async with asyncio.TaskGroup() as group:
        tally.watch.start()
        finish = start_receiver(job, broker, group)
        await done.wait()
        await answer(tally.figures())
        finish()


async def latency(job: Job) -> None:
    """Call the task one time after the other and time its way to the handler."""
    probe = Probe()
    arrived = asyncio.Event()

    async def handle(user: User) -> None:
        probe.arrive()
        arrived.set()

    broker = broker_of(job)
    task: Any = broker.register_task(handle, task_name=TASK_NAME)
    await broker.startup()
    async with asyncio.TaskGroup() as group:
        finish = start_receiver(job, broker, group)
        for _ in range(WARM_UP + job.events):
            probe.send()
            await task.kiq(GRAM)
            await arrived.wait()
            arrived.clear()
            await asyncio.sleep(job.sleep)
        await answer(probe.figures())
        finish()


def broker_of(job: Job) -> PullBasedJetStreamBroker:
    """A broker bound to the stream and the consumer that are there."""
    logging.disable()  # two log lines for every event otherwise
    return PullBasedJetStreamBroker(
        job.server,
        subject=job.stream,
        stream_name=job.stream,
        durable=job.consumer,
        # It insists on creating the consumer; the same configuration creates nothing new.
        consumer_config=ConsumerConfig(
            durable_name=job.consumer,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=16,
            max_ack_pending=1000,
        ),
        pull_consume_batch=job.batch,
    )


def start_receiver(
    job: Job, broker: PullBasedJetStreamBroker, group: asyncio.TaskGroup
) -> Callable[[], None]:
    """Start in this process what ``taskiq worker`` runs, and return what stops it."""
    finish = asyncio.Event()
    receiver = Receiver(
        broker,
        max_async_tasks=job.max_jobs,
        # As many events again waiting in memory, so that a batch is there when tasks finish.
        max_prefetch=job.max_jobs,
        run_startup=False,
    )
    listening: Awaitable[None] = group.create_task(receiver.listen(finish))
    del listening
    return finish.set


TASKS: dict[str, Task] = {"consume": consume, "latency": latency}

if __name__ == "__main__":
    main(TASKS)
