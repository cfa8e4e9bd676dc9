"""How many jobs at once: `python max_jobs.py [EVENTS]`.

Two handlers that wait for 10 ms: one for a service that takes any number of requests, and one for a
database with a pool of ten connections.
"""

import os
import sys
import time
from collections.abc import Awaitable, Callable

import anyio
import walnats_anyio as walnats

pool = anyio.CapacityLimiter(10)


async def call_service(_: int) -> None:
    await anyio.sleep(0.01)


async def ask_database(_: int) -> None:
    async with pool:
        await anyio.sleep(0.01)


async def measure(
    handler: Callable[[int], Awaitable[None]], max_jobs: int, count: int
) -> tuple[float, float]:
    """Jobs a second, and the seconds that a job took on average."""
    took: list[float] = []
    ended = 0.0

    async def handle(number: int) -> None:
        nonlocal ended
        began = time.monotonic()
        await handler(number)
        ended = time.monotonic()
        took.append(ended - began)

    event = walnats.Event(f"load.{os.getpid()}.{time.monotonic_ns()}", int, storage="memory")
    actors = walnats.Actors(walnats.Actor("measured", event, handle, max_jobs=max_jobs))
    async with walnats.Events(event).connect() as events, actors.connect() as listening:
        await events.register()
        await listening.register()
        await events.emit_many(event, range(count), sync=True)
        began = time.monotonic()
        await listening.listen(burst=True, max_jobs=max_jobs, poll_delay=0)
    return count / (ended - began), sum(took) / len(took)


async def main(count: int) -> None:
    print("max_jobs   a service: jobs/s, ms a job   a pool of 10: jobs/s, ms a job")
    for max_jobs in (1, 4, 16, 64, 256):
        few = min(count, 50 * max_jobs)
        free, pooled = [
            await measure(handler, max_jobs, few) for handler in (call_service, ask_database)
        ]
        print(
            f"{max_jobs:8} {free[0]:18,.0f} {1000 * free[1]:10.1f}"
            f" {pooled[0]:19,.0f} {1000 * pooled[1]:10.1f}"
        )


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
