"""A worker whose events fail at first, for runs in which processes are killed at random.

`python -m tests.actors.settle._faulty URL NAME NOTES BACKEND`
"""

from __future__ import annotations

import os
import sys

import anyio

from walnats_anyio import Actor, Actors, Event, Retry, current_context
from walnats_anyio._actors.settle import _conclusion

LONG = 0.2
"""Seconds from which on a retry is postponed here."""

FAILURES = 3
"""A message fails its number modulo this times."""


def actor_of(event: Event[int], notes: str) -> Actor[int, None]:
    """An actor that notes when each attempt starts, how it ends, and what was delivered for it."""
    file = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def say(message: int, what: str) -> None:
        context = current_context()
        _, _, _, _, _, number, _, stored, _ = context._received.reply.decode().split(".")
        key = context.idempotency_key
        line = f"{message} {context.attempts} {key} {number}-{stored} {what}\n"
        os.write(file, line.encode())

    async def handle(message: int) -> None:
        say(message, "started")
        await anyio.sleep(0.02)
        if current_context().attempts <= message % FAILURES:
            say(message, "failed")
            raise Retry(LONG + message % 7 / 5)
        say(message, "succeeded")

    return Actor("a", event, handle, ack_wait=2.0, max_jobs=20)


async def work(url: str, name: str, notes: str) -> None:
    event = Event(name, int)
    async with Actors(actor_of(event, notes)).connect(url) as conn:
        await conn.listen(max_jobs=50)


def main(url: str, name: str, notes: str, backend: str) -> None:
    _conclusion.LONG_DELAY = LONG
    anyio.run(work, url, name, notes, backend=backend)


if __name__ == "__main__":
    main(*sys.argv[1:])
