"""What `batch` and `max_polls` do: `python pulling.py [EVENTS]`."""

import os
import sys
import time
from functools import partial

import anyio
import walnats_anyio as walnats


def names(count: int) -> list[walnats.Event[float]]:
    unique = f"load.{os.getpid()}.{time.monotonic_ns()}"
    return [walnats.Event(f"{unique}.{number}", float, storage="memory") for number in range(count)]


async def throughput(batch: int | None, count: int) -> float:
    """Jobs a second of a handler that does nothing."""
    [event] = names(1)
    ended = 0.0

    async def handle(_: float) -> None:
        nonlocal ended
        ended = time.monotonic()

    actor = walnats.Actor("handle", event, handle, max_jobs=100)
    async with walnats.Events(event).connect() as events, walnats.Actors(actor).connect() as actors:
        await events.register()
        await actors.register()
        await events.emit_many(event, [0.0] * count, sync=True)
        began = time.monotonic()
        await actors.listen(burst=True, max_jobs=100, batch=batch, poll_delay=0)
    return count / (ended - began)


async def waiting(max_polls: int | None) -> float:
    """The longest time from emitting to handling: 20 actors, of which one has something to do."""
    late: list[float] = []
    kinds = names(20)

    async def handle(emitted: float) -> None:
        late.append(time.monotonic() - emitted)
        handled.set()

    actors = walnats.Actors(*[walnats.Actor("handle", event, handle) for event in kinds])
    async with walnats.Events(*kinds).connect() as events, actors.connect(events) as listening:
        await events.register()
        await listening.register()
        async with anyio.create_task_group() as tasks:
            await tasks.start(partial(listening.listen, max_polls=max_polls, poll_delay=0.1))
            for event in kinds[::5]:
                handled = anyio.Event()
                await events.emit(event, time.monotonic())
                await handled.wait()
            listening.shutdown()
    return max(late)


async def main(count: int) -> None:
    for batch in (1, 10, None):
        print(f"batch={batch}: {await throughput(batch, count):,.0f} jobs a second")
    for max_polls in (2, 10, None):
        seconds = await waiting(max_polls)
        print(f"20 actors, max_polls={max_polls}, poll_delay=0.1: up to {seconds:.2f} s late")


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
