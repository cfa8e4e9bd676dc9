import anyio
import walnats_anyio as walnats

from events import EVENTS, ORDER_PLACED, Order


async def send_receipt(order: Order) -> None:
    print(f"receipt for order {order.id} sent to {order.email}", flush=True)


ACTORS = walnats.Actors(walnats.Actor("send-receipt", ORDER_PLACED, send_receipt))


async def main() -> None:
    async with EVENTS.connect() as events, ACTORS.connect() as actors:
        await events.register()
        await actors.register()
        print("waiting for orders", flush=True)
        await actors.listen()


if __name__ == "__main__":
    anyio.run(main)  # or: anyio.run(main, backend="trio")
