"""What the workers of the demo run: one event and one actor, declared as in any program.

`walnats-anyio run walnats_anyio.cli._demo._shop:actors` runs it; the environment says where to note
what was done and how long the work takes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import anyio

from walnats_anyio._actors import Actor, Actors
from walnats_anyio._events import Event, Events
from walnats_anyio.cli._demo._ledger import Did, Pen

LEDGER = "WALNATS_DEMO_LEDGER"
"""The environment variable with the path of the ledger."""

WORK = "WALNATS_DEMO_WORK"
"""The environment variable with the seconds that handling an event takes."""

ACK_WAIT = 2.0
"""Seconds until the events of a worker that was killed go to another one."""

JOBS = 8
"""Jobs at once in one worker."""


@dataclass(frozen=True)
class Order:
    """Somebody bought something."""

    number: int
    """Which order, from 1."""


ORDER_PLACED = Event("demo.order-placed", Order)
EVENTS = Events(ORDER_PLACED)


class PackOrder:
    """The handler: takes its time, and notes what it does."""

    def __init__(self, pen: Pen, seconds: float) -> None:
        self._pen = pen
        self._seconds = seconds

    async def __call__(self, order: Order) -> None:
        """Handle one order."""
        self._pen.note(Did.STARTED, order.number)
        await anyio.sleep(self._seconds)
        self._pen.note(Did.HANDLED, order.number)


def actors() -> Actors:
    """The actors of a worker."""
    handler = PackOrder(Pen(Path(os.environ[LEDGER])), float(os.environ[WORK]))
    actor: Actor[Order, None] = Actor(
        "pack-order", ORDER_PLACED, handler, ack_wait=ACK_WAIT, max_jobs=JOBS
    )
    return Actors(actor)
