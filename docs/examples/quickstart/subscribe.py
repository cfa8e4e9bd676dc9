import logging

import walnats_anyio as walnats

from events import ORDER_PLACED, Order


async def send_receipt(order: Order) -> None:
    print(f"receipt for order {order.id} sent to {order.email}", flush=True)


ACTORS = walnats.Actors(walnats.Actor("send-receipt", ORDER_PLACED, send_receipt))

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    ACTORS.run()  # or: ACTORS.run(backend="trio")
