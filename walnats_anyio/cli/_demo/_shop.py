"""What the workers of the demo run: one event and one actor, declared as in any program.

The environment says what the event is called, how long the work takes, and in which file to note
what was done: a line for each event, safe from a SIGKILL once it is written.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import anyio

from walnats_anyio._actors import Actor, Actors
from walnats_anyio._events import Event

EVENT, WORK, LEDGER = "WALNATS_DEMO_EVENT", "WALNATS_DEMO_WORK", "WALNATS_DEMO_LEDGER"
"""Environment variables."""

ACK_WAIT = 2.0
"""Seconds until the events of a worker that was killed go to another one."""

JOBS = 8
"""Jobs at once in one worker."""


@dataclass(frozen=True)
class Order:
    """Somebody bought something."""

    number: int
    """Which order, from 1."""


def declare(name: str, seconds: float = 0.0, ledger: Path | None = None) -> Actor[Order, None]:
    """The actor, whose handler takes so long and notes what it does."""
    file = None if ledger is None else os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def pack(order: Order) -> None:
        assert file is not None
        os.write(file, b"started %d\n" % order.number)
        await anyio.sleep(seconds)
        os.write(file, b"handled %d\n" % order.number)

    event = Event(name, Order)
    return Actor("pack-order", event, pack, ack_wait=ACK_WAIT, max_jobs=JOBS, dead_letters=False)


def actors() -> Actors:
    """The actors of a worker."""
    return Actors(declare(os.environ[EVENT], float(os.environ[WORK]), Path(os.environ[LEDGER])))


def noted(ledger: Path, what: str) -> list[int]:
    """The events that a worker has started or handled; half a line is not there yet."""
    lines = ledger.read_bytes().rpartition(b"\n")[0].decode().splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith(what)]
