"""The event everybody handles: a small typed object, sent as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.workers._job import Job
from benchmarks.workers._measure import Tally


# A plain dataclass is the one typed object that every library measured takes and gives back.
@dataclass
class User:
    """Payload of the event."""

    id: int
    """Number of the user."""

    name: str
    """What the user is called."""

    email: str
    """Where to write to."""


GRAM = User(id=1, name="Gram", email="gram@example.com")


Handler = Callable[[User], Awaitable[None]]
"""What every library here takes as a handler."""


def asyncio_handler(job: Job, tally: Tally) -> Handler:
    """The handler of every library on asyncio: nothing but the count, or a sleep before it."""
    return handler(job, tally, asyncio.sleep)


def trio_handler(job: Job, tally: Tally) -> Handler:
    """The same on trio, with trio's own sleep."""
    import trio  # an extra, and imported by none of the asyncio runs

    return handler(job, tally, trio.sleep)


def handler(job: Job, tally: Tally, sleep: Callable[[float], Awaitable[object]]) -> Handler:
    """A handler for a job, on an event loop that sleeps in this way."""

    async def handle(user: User) -> None:
        tally.count()

    async def sleep_and_handle(user: User) -> None:
        await sleep(job.sleep)
        tally.count()

    return sleep_and_handle if job.sleep else handle
