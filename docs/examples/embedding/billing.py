"""A part of the shop that knows nothing of the others."""

import walnats_anyio as walnats

from shop import ORDER_PLACED, Order


async def write_invoice(order: Order) -> None:
    print(f"invoice for order {order.id}", flush=True)


ACTORS = [walnats.Actor("write-invoice", ORDER_PLACED, write_invoice)]
