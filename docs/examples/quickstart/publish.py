import anyio

from events import EVENTS, ORDER_PLACED, Order


async def main() -> None:
    async with EVENTS.connect() as events:
        await events.register()
        for number in range(1, 4):
            await events.emit(ORDER_PLACED, Order(number, "ada@example.com"))


if __name__ == "__main__":
    anyio.run(main)  # or: anyio.run(main, backend="trio")
