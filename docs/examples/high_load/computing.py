"""Handlers that compute: `python computing.py [JOBS]`.

The same work on the event loop, in threads and in processes: how long it takes, and how long the
event loop could do nothing else meanwhile.
"""

import os
import sys
import time

import anyio
import walnats_anyio as walnats


def compute(rounds: int) -> None:
    sum(number * number for number in range(rounds))


async def watch_loop(gaps: list[float]) -> None:
    """Note how late each wake-up is that should come after a millisecond."""
    while True:
        began = time.monotonic()
        await anyio.sleep(0.001)
        gaps.append(time.monotonic() - began - 0.001)


async def measure(where: walnats.ExecuteIn, jobs: int, rounds: int) -> tuple[float, float]:
    """Jobs a second, and the longest time that the event loop stood still."""
    event = walnats.Event(f"load.{os.getpid()}.{time.monotonic_ns()}", int, storage="memory")
    actor = walnats.Actor("compute", event, compute, execute_in=where)
    gaps: list[float] = []
    took = 0.0
    async with (
        walnats.Events(event).connect() as events,
        walnats.Actors(actor).connect(events) as actors,
    ):
        await events.register()
        await actors.register()

        async def run(count: int, rounds: int) -> float:
            """Seconds for so many jobs."""
            until = actors.statistics().actors[0].handled + count
            began = time.monotonic()
            await events.emit_many(event, [rounds] * count)
            # A handler in another process can set no event in this one.
            while actors.statistics().actors[0].handled < until:  # noqa: ASYNC110 - see above
                await anyio.sleep(0.001)
            return time.monotonic() - began

        async with anyio.create_task_group() as tasks:
            await tasks.start(actors.listen)
            await run(16, 1000)  # starts threads and processes
            tasks.start_soon(watch_loop, gaps)
            took = await run(jobs, rounds)
            tasks.cancel_scope.cancel()
    return jobs / took, max(gaps)


async def main(jobs: int) -> None:
    print(f"{os.cpu_count()} cores   jobs/s   event loop stood still for")
    for where in walnats.ExecuteIn:
        rate, gap = await measure(where, jobs, 300_000)
        print(f"{where.name:8} {rate:7.1f} {1000 * gap:12.0f} ms")


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 100)
