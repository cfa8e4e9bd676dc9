"""A script: `python import_orders.py < orders.jsonl`."""

import sys
from collections.abc import Iterator
from typing import BinaryIO

import walnats_anyio as walnats
from msgspec import json

from shop import EVENTS, ORDER_PLACED, Order


def orders(lines: BinaryIO) -> Iterator[Order]:
    for line in lines:
        yield json.decode(line, type=Order)


def unique(order: Order) -> str:
    return f"import-{order.id}"  # run twice within two minutes, the script emits nothing twice


def main() -> None:
    with EVENTS.connect_sync() as events:
        events.register()
        events.emit_many(ORDER_PLACED, orders(sys.stdin.buffer), uid=unique)
        # Leaving waits until all of them are stored, and raises if one is not.
    print("all orders are stored")


if __name__ == "__main__":
    try:
        main()
    except (walnats.WalnatsError, ValueError) as error:
        sys.exit(f"import_orders: {error}")
