"""The other side: a program of walnats 1.2.6, run by the tests as a process of its own.

    python peer.py URL emit '[[MESSAGE, OPTIONS], ...]'   register the event, emit each of them
    python peer.py URL register [ATTEMPTS]                register the event and the actor
    python peer.py URL listen COUNT FAILURES              handle so many, fail first on some

It prints one JSON value: for `listen` what its middleware saw of each job that succeeded.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

import nats
import walnats


@dataclasses.dataclass
class Order:
    number: int
    customer: str


ORDERED = walnats.Event("order.placed", Order)


class Look(walnats.middlewares.Middleware):
    def __init__(self, count: int) -> None:
        self.seen: list[dict[str, Any]] = []
        self.enough = asyncio.Event()
        self._count = count

    def on_success(self, ctx: walnats.types.OkContext) -> None:
        order: Any = ctx.message
        self.seen.append(
            {
                "message": dataclasses.asdict(order),
                "trace_id": ctx.trace_id,
                "headers": ctx._msg.headers,
                "attempts": ctx.attempts,
            }
        )
        if len(self.seen) >= self._count:
            self.enough.set()


def actors_with(look: Look, failures: int, attempts: int | None = None) -> walnats.Actors:
    failed: set[int] = set()

    async def handle(order: Order) -> None:
        if len(failed) < failures and order.number not in failed:
            failed.add(order.number)
            raise ValueError("not the first time")

    # Both ends of a mixed system declare the same.
    actor = walnats.Actor(
        "ship",
        ORDERED,
        handle,
        middlewares=(look,),
        retry_delay=(0.01,),
        max_attempts=attempts,
    )
    return walnats.Actors(actor)


async def emit(url: str, messages: str) -> object:
    async with walnats.Events(ORDERED).connect(url) as conn:
        await conn.register()
        for message, options in json.loads(messages):
            if attributes := options.pop("cloud_event", None):
                options["meta"] = cloud_event(attributes)
            await conn.emit(ORDERED, Order(**message), sync=True, **options)
    return "emitted"


def cloud_event(attributes: dict[str, Any]) -> walnats.CloudEvent:
    if "time" in attributes:
        attributes["time"] = datetime.fromisoformat(attributes["time"])
    return walnats.CloudEvent(**attributes)


async def register(url: str, attempts: str | None = None) -> object:
    async with walnats.Events(ORDERED).connect(url) as conn:
        await conn.register()
    most = None if attempts is None else int(attempts)
    async with actors_with(Look(0), 0, most).connect(url) as listening:
        await listening.register()
    return "registered"


async def listen(url: str, count: str, failures: str) -> object:
    look = Look(int(count))
    # It cancels what still waits for an acknowledgement: so the client stays open for it.
    client = await nats.connect(url)
    async with actors_with(look, int(failures)).connect(client, close=False) as conn:
        await conn.register()
        listening = asyncio.ensure_future(conn.listen(poll_delay=0.5, batch=10))
        await look.enough.wait()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    await client.drain()
    return look.seen


COMMANDS: dict[str, Callable[..., Coroutine[Any, Any, object]]] = {
    "emit": emit,
    "register": register,
    "listen": listen,
}

if __name__ == "__main__":
    url, command, *arguments = sys.argv[1:]
    print(json.dumps(asyncio.run(COMMANDS[command](url, *arguments))))
