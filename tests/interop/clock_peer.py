"""The other side: a clock, or an actor of its event, of walnats 1.2.6.

python clock_peer.py URL EVENT tick COUNT      register the event, emit so many ticks
python clock_peer.py URL EVENT listen COUNT    register the actor, print so many messages
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime

import walnats


async def tick(url: str, event: walnats.Event[datetime], count: int) -> None:
    clock = walnats.Clock(event, period=1)
    async with walnats.Events(event).connect(url) as conn:
        await conn.register()
        print(json.dumps("ready"), flush=True)
        for _ in range(count):
            await clock.run(conn, burst=True)


async def listen(url: str, event: walnats.Event[datetime], count: int) -> None:
    ticks: list[str] = []
    enough = asyncio.Event()

    async def handle(message: datetime) -> None:
        ticks.append(message.isoformat())
        if len(ticks) >= count:
            enough.set()

    actor = walnats.Actor(f"{event.name}-peer", event, handle)
    async with (
        walnats.Events(event).connect(url) as events,
        walnats.Actors(actor).connect(url) as conn,
    ):
        await events.register()
        await conn.register()
        print(json.dumps("ready"), flush=True)
        listening = asyncio.create_task(conn.listen())
        await enough.wait()
        listening.cancel()
        print(json.dumps(ticks), flush=True)


def main() -> None:
    url, name, what, count = sys.argv[1:]
    event = walnats.Event(name, datetime)
    asyncio.run({"tick": tick, "listen": listen}[what](url, event, int(count)))


if __name__ == "__main__":
    main()
