"""The worker of the soak: `python -m tests.faults._soak_worker URL DIRECTORY BACKEND`."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import anyio
import anyio.lowlevel

from tests.faults._ledger import Notes
from tests.faults._worker import ready_file, shut_down_at_sigterm
from walnats_anyio import Actor, Actors, Event, Events, ExecuteIn, Reject, Retry

PLAIN: Event[int] = Event("soak.plain", int)
SLOW: Event[int] = Event("soak.slow", int)
FRAIL: Event[int] = Event("soak.frail", int)

EVENTS = Events(PLAIN, SLOW, FRAIL)

ACK_WAIT = 6.0


async def waits(_: int) -> None:
    await anyio.sleep(random.uniform(0, 0.01))


def computes(_: int) -> None:
    sum(range(500))


def blocks(_: int) -> None:
    time.sleep(random.uniform(0, 0.01))


async def fails_at_times(_: int) -> None:
    await anyio.lowlevel.checkpoint()
    dice = random.random()
    if dice < 0.1:
        raise RuntimeError("it fails at times")
    if dice < 0.2:
        raise Retry(delay=0.2)


async def hangs_at_times(_: int) -> None:
    await anyio.sleep(60 if random.random() < 0.01 else 0.001)


def is_hopeless(number: int) -> bool:
    """Whether this message ends as a dead letter."""
    return number % 20 in (0, 1)


async def gives_up(number: int) -> None:
    await anyio.sleep(0.001)
    if number % 20 == 0:
        raise Reject("nobody can do that")
    if number % 20 == 1:
        raise ValueError("it never works")


def actors_in(directory: Path) -> Actors:
    """The actors, each of which notes its jobs in a file of its own."""

    def middlewares(name: str) -> tuple[Notes]:
        return (Notes(directory / name),)

    return Actors(
        Actor("waits", PLAIN, waits, ack_wait=ACK_WAIT, middlewares=middlewares("waits")),
        Actor("computes", PLAIN, computes, ack_wait=ACK_WAIT, middlewares=middlewares("computes")),
        Actor(
            "blocks", SLOW, blocks, ack_wait=ACK_WAIT, middlewares=middlewares("blocks"),
            execute_in=ExecuteIn.THREAD,
        ),
        Actor(
            "hangs", SLOW, hangs_at_times, ack_wait=ACK_WAIT, middlewares=middlewares("hangs"),
            job_timeout=1, retry_delay=(0.1,),
        ),
        Actor(
            "fails", FRAIL, fails_at_times, ack_wait=ACK_WAIT, middlewares=middlewares("fails"),
            retry_delay=(0.1, 0.5),
        ),
        Actor(
            "gives-up", FRAIL, gives_up, ack_wait=ACK_WAIT, middlewares=middlewares("gives-up"),
            retry_delay=(0.1,), max_attempts=3,
        ),
    )  # fmt: skip


async def main(url: str, directory: str) -> None:
    async with actors_in(Path(directory)).connect(url) as conn, anyio.create_task_group() as tasks:
        await tasks.start(shut_down_at_sigterm, conn)
        async with anyio.create_task_group() as listening:
            await listening.start(conn.listen)
            ready_file(Path(directory, "worker"), os.getpid()).touch()
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    _, url, directory, backend = sys.argv
    anyio.run(main, url, directory, backend=backend)
