"""What three copies of an event cost: `python cluster.py [EVENTS]`.

It starts a cluster of three servers of its own.
"""

import sys
import time

import anyio
import walnats_anyio as walnats
from walnats_anyio.testing import NatsCluster


async def measure(urls: list[str], event: walnats.Event[int], count: int) -> tuple[float, float]:
    """Events a second, emitted one after the other and many at once."""
    few = max(1, count // 20)
    async with walnats.Events(event).connect(urls) as events:
        await events.register()
        began = time.monotonic()
        for number in range(few):
            await events.emit(event, number, sync=True)
        one_by_one = few / (time.monotonic() - began)
        began = time.monotonic()
        await events.emit_many(event, range(count))
        await events.flush()
        return one_by_one, count / (time.monotonic() - began)


async def main(count: int) -> None:
    async with NatsCluster(3) as cluster:
        for replicas in (1, 3):
            event = walnats.Event(f"load.{replicas}", int, replicas=replicas)
            one, many = await measure(list(cluster.urls), event, count)
            print(f"replicas={replicas}: {one:,.0f} and {many:,.0f} events a second")


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
