"""A worker whose handler emits three events that follow, and fails at random.

`python -m tests.faults._follower URL BACKEND`
"""

from __future__ import annotations

import random
import sys

import anyio

from walnats_anyio import Actor, Actors, Event, current_context

NUMBER: Event[int] = Event("numbers", int)
FOLLOWED: Event[int] = Event("followed", int)
EACH = 3
"""Events that follow from one."""


async def follow(number: int) -> None:
    """Emit the events that follow; every fifth attempt fails somewhere in between."""
    context = current_context()
    fails_at = random.randrange(EACH) if random.random() < 0.2 else EACH
    for k in range(EACH):
        await context.emit(FOLLOWED, number * EACH + k)
        if k == fails_at:
            raise RuntimeError("at random")
        await anyio.sleep(0.001 * random.random())


FOLLOW = Actor("follow", NUMBER, follow, ack_wait=2, retry_delay=(0, 0.1), max_jobs=8)
KEEP = Actor("keep", FOLLOWED, print)


async def main(url: str) -> None:
    async with Actors(FOLLOW).connect(url) as conn:
        await conn.listen(max_jobs=8)


if __name__ == "__main__":
    _, url, backend = sys.argv
    anyio.run(main, url, backend=backend)
