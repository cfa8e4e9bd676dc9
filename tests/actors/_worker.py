"""A worker as a program of its own: `python -m tests.actors._worker URL EVENT NOTES [backend]`."""

from __future__ import annotations

import sys

import anyio

from tests.actors._elsewhere import note
from walnats_anyio import Actor, Actors, Event

ACK_WAIT = 2.0


def event_of(name: str) -> Event[int]:
    return Event(name, int)


def actor_of(name: str, notes: str) -> Actor[int, None]:
    async def handle(message: int) -> None:
        note(f"{message} started", notes)
        await anyio.sleep(0.02)
        note(f"{message} finished", notes)

    return Actor("worker", event_of(name), handle, max_jobs=4, ack_wait=ACK_WAIT)


async def main(url: str, name: str, notes: str) -> None:
    async with Actors(actor_of(name, notes)).connect(url) as conn:
        await conn.register()
        await conn.listen()


if __name__ == "__main__":
    _, url, name, notes, backend = sys.argv
    anyio.run(main, url, name, notes, backend=backend)
