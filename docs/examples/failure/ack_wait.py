"""How long an event waits when its worker dies: `python ack_wait.py ACK_WAIT ...`."""

import os
import sys
import time
from multiprocessing import get_context

import anyio
import walnats_anyio as walnats


def event_of(ack_wait: float, run: int) -> walnats.Event[int]:
    return walnats.Event(f"ack-wait.{run}.{ack_wait:g}".replace(".", "-"), int, storage="memory")


async def die(_: int) -> None:
    os._exit(9)  # as a SIGKILL does: nothing is handed back


def work_and_die(ack_wait: float, run: int) -> None:
    walnats.Actors(walnats.Actor("work", event_of(ack_wait, run), die, ack_wait=ack_wait)).run()


async def measure(ack_wait: float, run: int) -> float:
    """Seconds from the end of one worker until the next one has its event."""
    event = event_of(ack_wait, run)
    handled = anyio.Event()

    async def work(_: int) -> None:
        handled.set()

    actors = walnats.Actors(walnats.Actor("work", event, work, ack_wait=ack_wait))
    async with walnats.Events(event).connect() as events, actors.connect(events) as listening:
        await events.register()
        await listening.register()
        await events.emit(event, 1, sync=True)
        worker = get_context("spawn").Process(target=work_and_die, args=(ack_wait, run))
        worker.start()
        await anyio.to_thread.run_sync(worker.join)
        died = time.monotonic()
        async with anyio.create_task_group() as tasks:
            await tasks.start(listening.listen)
            await handled.wait()
            listening.shutdown()
        return time.monotonic() - died


async def main(values: list[float]) -> None:
    for ack_wait in values:
        seconds = await measure(ack_wait, os.getpid())
        print(f"ack_wait={ack_wait:g}: another worker has the event after {seconds:.1f} s")


if __name__ == "__main__":
    anyio.run(main, [float(value) for value in sys.argv[1:]] or [1.0, 4.0, 16.0])
