"""Jobs that are to be cancelled: `walnats-anyio run tests.cli._cancelled:ACTORS`.

Each notes when its handler has started, and when it has ended with its clean-up, on the clock that
all processes of a machine share.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from walnats_anyio import Actor, Actors, Event

JOBS: Event[int] = Event("cancelled.jobs", int, storage="memory")

DIRECTORY, HTTP_PORT = "WALNATS_TEST_NOTES", "WALNATS_TEST_HTTP"
"""Variables of the environment: where notes go, and where a server is that never answers."""

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"

PER_PROCESS = 250
"""Jobs that run at once in each process."""


def note(what: str, number: int) -> None:
    """Leave a note; a write of a line is one system call."""
    path = Path(os.environ[DIRECTORY], f"{os.getpid()}.{what}")
    with path.open("ab", buffering=0) as file:
        file.write(f"{number} {time.monotonic()}\n".encode())


async def sleeps() -> None:
    await anyio.sleep_forever()


async def asks() -> None:
    """An HTTP request whose answer never ends."""
    async with await anyio.connect_tcp("127.0.0.1", int(os.environ[HTTP_PORT])) as stream:
        await stream.send(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        while True:
            await stream.receive()


async def swallows() -> None:
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        pass
    await anyio.sleep_forever()


WAYS: tuple[Callable[[], Awaitable[None]], ...] = (sleeps, asks, swallows)


async def work(number: int) -> None:
    note("started", number)
    try:
        await WAYS[number % len(WAYS)]()
    finally:
        note("ended", number)


ACTORS = Actors(
    Actor(
        "work",
        JOBS,
        work,
        max_jobs=PER_PROCESS,
        max_ack_pending=4 * PER_PROCESS,
        job_timeout=600,
        max_attempts=1,
    )
)
