"""What all parts of the shop share: its events, and what is done about them."""

from dataclasses import dataclass

import anyio
import walnats_anyio as walnats


@dataclass(frozen=True)
class Order:
    id: int
    email: str


ORDER_PLACED = walnats.Event("shop.placed", Order)
EVENTS = walnats.Events(ORDER_PLACED)


async def send_receipt(order: Order) -> None:
    await anyio.sleep(0.01)
    print(f"receipt for order {order.id} sent to {order.email}", flush=True)


SEND_RECEIPT = walnats.Actor("send-receipt", ORDER_PLACED, send_receipt)
ACTORS = walnats.Actors(SEND_RECEIPT)
