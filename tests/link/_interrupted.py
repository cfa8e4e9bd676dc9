"""A program that is interrupted: `python -m tests.link._interrupted BACKEND PHASE`.

It says `ready` when the phase begins, so that Ctrl-C comes inside it, and goes on for ever: what
ends it is the interrupt. It ends with 130 when a KeyboardInterrupt came out of it.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys

import anyio

import walnats_anyio as walnats

EVENT = walnats.Event("interrupted", int)
URL = os.environ["NATS_SERVER"]


async def handle(_message: int) -> None:
    await anyio.sleep(0.001)


EVENTS = walnats.Events(EVENT)
ACTORS = walnats.Actors(walnats.Actor("handle", EVENT, handle))


async def connect() -> None:
    print("ready", flush=True)
    while True:
        async with EVENTS.connect(URL):
            pass


async def emit() -> None:
    async with EVENTS.connect(URL) as conn:
        await conn.register()
        print("ready", flush=True)
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
            print("ready", flush=True)
            while True:
                await conn.emit(EVENT, 1)


async def shutdown() -> None:
    async with EVENTS.connect(URL) as conn:
        await conn.register()
        print("ready", flush=True)
        while True:
            async with ACTORS.connect(URL) as actors, anyio.create_task_group() as tasks:
                await actors.register()
                await tasks.start(actors.listen)
                await conn.emit(EVENT, 1)
                actors.shutdown()


PHASES = {phase.__name__: phase for phase in (connect, emit, listen, shutdown)}


def main() -> None:
    # A program that was started in the background of a shell may be deaf to it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.register(signal.SIGUSR1)
    backend, phase = sys.argv[1:]
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
