"""Another part of the shop."""

import walnats_anyio as walnats

from shop import ORDER_PLACED, Order


async def pack(order: Order) -> None:
    print(f"order {order.id} packed", flush=True)


ACTORS = [walnats.Actor("pack", ORDER_PLACED, pack, max_jobs=4)]
