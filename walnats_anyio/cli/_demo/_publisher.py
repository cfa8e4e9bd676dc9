"""The publisher of the demo, a program of its own: `python -m walnats_anyio.cli._demo._publisher`.

It emits a number of events, evenly over some seconds, and notes which its stream acknowledged.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio

from walnats_anyio.cli._demo._ledger import Did, Pen
from walnats_anyio.cli._demo._shop import EVENTS, LEDGER, ORDER_PLACED, Order

EMIT_EVERY = 0.05
"""Seconds between two lots of events."""


async def publish(server: str, count: int, seconds: float) -> None:
    """Emit `count` events over `seconds`."""
    pen = Pen(Path(os.environ[LEDGER]))
    async with EVENTS.connect(server, name="walnats-anyio demo publisher") as events:
        begun = anyio.current_time()
        emitted = 0
        while emitted < count:
            share = (anyio.current_time() - begun + EMIT_EVERY) / seconds
            numbers = range(emitted + 1, min(count, round(count * share)) + 1)
            await events.emit_many(ORDER_PLACED, (Order(number) for number in numbers))
            await events.flush()  # all of them are acknowledged, or it raises
            pen.note(Did.ACKNOWLEDGED, *numbers)
            emitted += len(numbers)
            await anyio.sleep(EMIT_EVERY)


if __name__ == "__main__":
    _, backend, server, count, seconds = sys.argv
    anyio.run(publish, server, int(count), float(seconds), backend=backend)
