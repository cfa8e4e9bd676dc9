"""Programs that are interrupted: `python -m tests.link._interrupted BACKEND PHASES NUMBER`.

Most of the CPU time of such a program goes into its imports, so this one imports, and before
anything runs it forks as many times as it is told; the phases take turns. It ends when all of them
have, and prints a line with the process id and the exit code of each.

Each prints `ready` with its process id when the phase begins, so that Ctrl-C comes inside it, and
goes on for ever: what ends it is the interrupt. Those whose name begins with `in_` interrupt
themselves. It ends with 130 when a KeyboardInterrupt came out of it. Its standard error is the file
`PID.err`.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import anyio.to_thread

import walnats_anyio as walnats
from walnats_anyio._link import pub
from walnats_anyio._link._sharing import link_of

EVENT = walnats.Event("interrupted", int)
URL = os.environ["NATS_SERVER"]


def ready() -> None:
    say(f"ready {os.getpid()}")


def say(line: str) -> None:
    """Print a line at once: `print` may write its parts one after another, between others'."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


async def handle(_message: int) -> None:
    await anyio.sleep(0.001)


EVENTS = walnats.Events(EVENT)
ACTORS = walnats.Actors(walnats.Actor("handle", EVENT, handle))


async def connect() -> None:
    ready()
    while True:
        async with EVENTS.connect(URL):
            pass


async def emit() -> None:
    async with EVENTS.connect(URL) as conn:
        await conn.register()
        ready()
        number = 0
        while True:
            number += 1
            await conn.emit(EVENT, number, sync=number % 3 == 0)


async def listen() -> None:
    async with EVENTS.connect(URL) as conn, ACTORS.connect(URL) as actors:
        await conn.register()
        await actors.register()
        async with anyio.create_task_group() as tasks:
            await tasks.start(actors.listen)
            ready()
            while True:
                await conn.emit(EVENT, 1)


async def shutdown() -> None:
    async with EVENTS.connect(URL) as conn:
        await conn.register()
        ready()
        while True:
            async with ACTORS.connect(URL) as actors, anyio.create_task_group() as tasks:
                await actors.register()
                await tasks.start(actors.listen)
                await conn.emit(EVENT, 1)
                actors.shutdown()


async def in_reader() -> None:
    """Where a second Ctrl-C may come on asyncio: in a task of the library."""
    await anyio.to_thread.run_sync(time.sleep, 0)  # its thread waits for the event loop to end
    async with ACTORS.connect(URL) as actors:
        link = link_of(actors)
        link.subscribe_to("interrupting", interrupt)
        ready()
        link.post(pub("interrupting", b""))
        await anyio.sleep_forever()


async def in_handler() -> None:
    await one_job(interrupt)


async def in_child() -> None:
    async def child(_message: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(interrupted_later)

    await one_job(child)


async def interrupted_later() -> None:
    raise KeyboardInterrupt


def interrupt(_: object) -> None:
    raise KeyboardInterrupt


async def one_job(handler: Callable[[int], Awaitable[None] | None]) -> None:
    await anyio.to_thread.run_sync(time.sleep, 0)
    event = walnats.Event(f"interrupted-{os.getpid()}", int)
    actors = walnats.Actors(walnats.Actor("handle", event, handler))
    async with walnats.Events(event).connect(URL) as conn, actors.connect(URL) as connected:
        await conn.register()
        await connected.register()
        await conn.emit(event, 1)
        ready()
        await connected.listen()


PHASES: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
    phase.__name__: phase
    for phase in (connect, emit, listen, shutdown, in_reader, in_handler, in_child)
}


def main() -> None:
    # A program that was started in the background of a shell may be deaf to it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.register(signal.SIGUSR1)
    backend, phases, count = sys.argv[1:]
    for number in range(int(count)):
        if os.fork():
            continue
        errors = os.open(f"{os.getpid()}.err", os.O_WRONLY | os.O_CREAT)
        os.dup2(errors, sys.stderr.fileno())
        interrupted(backend, phases.split(",")[number % len(phases.split(","))])
        return
    for _ in range(int(count)):
        pid, status = os.wait()
        say(f"ended {pid} {os.waitstatus_to_exitcode(status)}")


def interrupted(backend: str, phase: str) -> None:
    try:
        anyio.run(PHASES[phase], backend=backend)
    except KeyboardInterrupt:
        sys.exit(130)
    except BaseExceptionGroup as group:
        if group.split(KeyboardInterrupt)[1] is None:
            sys.exit(130)
        raise


if __name__ == "__main__":
    main()
