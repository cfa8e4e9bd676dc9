"""A trio application: its nursery is the parent of everything, ours included."""

import sys

import trio
import walnats_anyio as walnats
from walnats_anyio.types import ConnectedEvents

from shop import EVENTS, ORDER_PLACED, Order


async def send_receipt(order: Order) -> None:
    await trio.sleep(0.01 if order.email else 3600)  # without an address, nobody answers
    print(f"receipt for order {order.id} sent to {order.email}", flush=True)


ACTORS = walnats.Actors(
    walnats.Actor("send-receipt", ORDER_PLACED, send_receipt, job_timeout=10, max_attempts=1)
)


async def serve(
    server: str | None = None,
    *,
    task_status: trio.TaskStatus[ConnectedEvents] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Handle events until cancelled. Started with `nursery.start`, it gives what emits them."""
    async with EVENTS.connect(server) as events, ACTORS.connect(events) as actors:
        await events.register()
        await actors.register()
        async with trio.open_nursery() as nursery:
            await nursery.start(actors.listen)
            task_status.started(events)


async def main(seconds: float) -> None:
    with trio.move_on_after(seconds):  # the application's own deadline, around all of it
        async with trio.open_nursery() as nursery:
            events = await nursery.start(serve)
            print("open", flush=True)
            await events.emit(ORDER_PLACED, Order(1, "ada@example.com"))
    print("closed", flush=True)


if __name__ == "__main__":
    trio.run(main, float(sys.argv[1]))
