"""Programs that are interrupted: `python -m tests.link._interrupted BACKEND PHASE NUMBER`.

Most of the CPU time of such a program goes into its imports, so this one imports, and before
anything runs it forks as many times as it is told. It ends when all of them have, and prints a line
with the process id and the exit code of each.

Each prints `ready` with its process id when the phase begins, so that Ctrl-C comes inside it, and
goes on for ever: what ends it is the interrupt. It ends with 130 when a KeyboardInterrupt came out
of it. Its standard error is the file `PID.err`.
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


def ready() -> None:
    print("ready", os.getpid(), flush=True)


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


PHASES = {phase.__name__: phase for phase in (connect, emit, listen, shutdown)}


def main() -> None:
    # A program that was started in the background of a shell may be deaf to it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.register(signal.SIGUSR1)
    backend, phase, number = sys.argv[1:]
    if any(os.fork() == 0 for _ in range(int(number))):
        errors = os.open(f"{os.getpid()}.err", os.O_WRONLY | os.O_CREAT)
        os.dup2(errors, sys.stderr.fileno())
        interrupted(backend, phase)
        return
    for _ in range(int(number)):
        pid, status = os.wait()
        print("ended", pid, os.waitstatus_to_exitcode(status), flush=True)


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
