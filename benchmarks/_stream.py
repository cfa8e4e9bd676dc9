"""The stream and the consumer of one run: made, filled, checked and removed by the harness."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StreamConfig
from nats.js.errors import ServerError

CONSUMER: Final = "bench"
"""Name of the durable consumer."""

USER: Final = json.dumps({"id": 1, "name": "Gram", "email": "gram@example.com"}).encode()
"""The event as JSON."""

# taskiq wraps the same object into a call of a task; this is what its own ``kiq`` sends.
TASKIQ_CALL: Final = json.dumps(
    {
        "task_id": "aa3f31746cd544899421a3486950736a",
        "task_name": "handle-user",
        "labels": {},
        "labels_types": {},
        "args": [json.loads(USER)],
        "kwargs": {},
    }
).encode()

PATIENCE: Final = 30.0
"""Seconds the server gets to show what it must show."""


NO_STORE: Final = 10049
"""What the server says (2.15.1, now and then) when a stream is made right after the only other one
was deleted: it removes their common directory."""


class CheckError(Exception):
    """The server does not show what a run claims to have done."""


@asynccontextmanager
async def stream(
    nc: Client, name: str, *, consumer: bool, max_ack_pending: int
) -> AsyncIterator[None]:
    """A stream of the kind walnats makes, with a durable consumer on it if asked for."""
    js = nc.jetstream(timeout=PATIENCE)
    config = StreamConfig(name=name, subjects=[name], retention=RetentionPolicy.INTEREST)
    await _create(js, config)
    try:
        if consumer:
            await js.add_consumer(
                name,
                # The defaults of walnats and of walnats-anyio; the others are given the same.
                ConsumerConfig(
                    durable_name=CONSUMER,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=16,
                    max_ack_pending=max_ack_pending,
                ),
            )
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await js.delete_stream(name)


async def _create(js: JetStreamContext, config: StreamConfig) -> None:
    """Create a stream, also while the server still removes the files of the last one."""
    with anyio.fail_after(PATIENCE):
        while True:
            try:
                await js.add_stream(config)
            except ServerError as error:
                if error.err_code != NO_STORE:
                    raise
                await anyio.sleep(0.1)
            else:
                return


async def fill(nc: Client, name: str, payload: bytes, count: int) -> None:
    """Put ``count`` events into the stream and wait until it has stored them."""
    for number in range(count):
        await nc.publish(name, payload)
        if number % 1000 == 999:
            await nc.flush(timeout=int(PATIENCE))
    await check_stored(nc, name, count)


async def check_stored(nc: Client, name: str, count: int) -> None:
    """Wait until the stream holds exactly so many events.

    Raises:
        CheckError: it does not within ``PATIENCE`` seconds.
    """
    js = nc.jetstream(timeout=PATIENCE)
    stored = -1
    with anyio.move_on_after(PATIENCE):
        while stored != count:
            stored = (await js.stream_info(name)).state.messages
            await anyio.sleep(0.02)
    if stored != count:
        raise CheckError(f"the stream holds {stored} events instead of {count}")


async def check_handled(nc: Client, name: str, count: int, deliveries: int) -> None:
    """Wait until the consumer has every event acknowledged, after so many deliveries of them all.

    Raises:
        CheckError: it has not within ``PATIENCE`` seconds, or an event was delivered too often.
    """
    js = nc.jetstream(timeout=PATIENCE)
    unsettled = count
    delivered = 0
    with anyio.move_on_after(PATIENCE):
        while unsettled:
            info = await js.consumer_info(name, CONSUMER)
            unsettled = (info.num_pending or 0) + (info.num_ack_pending or 0)
            delivered = info.delivered.consumer_seq if info.delivered else 0
            await anyio.sleep(0.02)
    if unsettled:
        raise CheckError(f"{unsettled} of {count} events were never acknowledged")
    if delivered != deliveries:
        raise CheckError(f"{delivered} deliveries for {count} events")
