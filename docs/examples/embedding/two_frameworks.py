"""walnats 1.2 and walnats-anyio in one program, over one connection: moving over step by step."""

import asyncio
import os

import nats
import walnats

from shop import ACTORS, EVENTS, ORDER_PLACED, Order

OLD_ORDER_PLACED = walnats.Event("shop.placed", Order)
OLD_EVENTS = walnats.Events(OLD_ORDER_PLACED)


async def count(order: Order) -> None:
    print(f"order {order.id} counted by walnats", flush=True)


OLD_ACTORS = walnats.Actors(walnats.Actor("count", OLD_ORDER_PLACED, count))


async def main() -> None:
    client = await nats.connect(os.environ.get("NATS_SERVER", "nats://localhost:4222"))
    async with (
        EVENTS.connect(client, close=False) as events,
        ACTORS.connect(client, close=False) as actors,
        OLD_EVENTS.connect(client, close=False) as old_events,
        OLD_ACTORS.connect(client, close=False) as old_actors,
    ):
        await events.register()
        await actors.register()
        await old_actors.register()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(actors.listen())
            tasks.create_task(old_actors.listen(poll_delay=0.5))
            await events.emit(ORDER_PLACED, Order(1, "ada@example.com"))
            await old_events.emit(OLD_ORDER_PLACED, Order(2, "kim@example.com"))


if __name__ == "__main__":
    asyncio.run(main())
