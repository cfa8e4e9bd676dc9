"""Ways to emit, and what each costs: `python emitting.py [EVENTS]`."""

import os
import sys
import time

import anyio
import walnats_anyio as walnats

EVENT = walnats.Event(f"load.{os.getpid()}", int, storage="memory")
EVENTS = walnats.Events(EVENT)


def show(what: str, count: int, seconds: float) -> None:
    print(f"{what:44} {count / seconds:9,.0f} a second")


async def main(count: int) -> None:
    few = max(1, count // 20)
    async with EVENTS.connect() as events:
        await events.register()
        began = time.monotonic()
        for number in range(few):
            await events.emit(EVENT, number, sync=True)
        show("emit(sync=True), one after the other", few, time.monotonic() - began)
        began = time.monotonic()
        for number in range(count):
            await events.emit(EVENT, number)
        await events.flush()
        show("emit, then flush", count, time.monotonic() - began)
        began = time.monotonic()
        await events.emit_many(EVENT, range(count))
        await events.flush()
        show("emit_many, then flush", count, time.monotonic() - began)


def without_a_loop(count: int) -> None:
    few = max(1, count // 20)
    with EVENTS.connect_sync() as events:
        events.register()
        began = time.monotonic()
        for number in range(few):
            events.emit(EVENT, number, sync=True)
        show("connect_sync: emit(sync=True)", few, time.monotonic() - began)
        began = time.monotonic()
        for number in range(count):
            events.emit(EVENT, number)
        events.flush()
        show("connect_sync: emit, then flush", count, time.monotonic() - began)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    anyio.run(main, count)
    without_a_loop(count)
