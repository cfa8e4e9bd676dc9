"""An asyncio application: one TaskGroup, and signals of its own."""

import asyncio
import logging
import signal

from shop import ACTORS, EVENTS, ORDER_PLACED, Order
from walnats_anyio.types import ConnectedActors, ConnectedEvents


async def take_orders(events: ConnectedEvents) -> None:
    for number in range(1, 4):
        await events.emit(ORDER_PLACED, Order(number, "ada@example.com"))
        await asyncio.sleep(0.01)


async def listen(actors: ConnectedActors) -> None:
    summary = await actors.listen(shutdown_timeout=10)
    print(f"closed: {summary.handled} handled", flush=True)


async def main() -> None:
    async with EVENTS.connect() as events, ACTORS.connect(events) as actors:
        await events.register()
        await actors.register()
        # The handler belongs to the application. It stops gracefully what listens.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, actors.shutdown)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen(actors))
            tasks.create_task(take_orders(events))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main())
