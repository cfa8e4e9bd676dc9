from dataclasses import dataclass

import walnats_anyio as walnats


@dataclass(frozen=True)
class Order:
    id: int
    email: str


ORDER_PLACED = walnats.Event("orders.placed", Order)
EVENTS = walnats.Events(ORDER_PLACED)
