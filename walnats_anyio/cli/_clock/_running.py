"""Running clocks: replicas of this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import anyio
from rich.console import Console

from walnats_anyio._events import Clock, EmitContext, EmitMiddleware, Events
from walnats_anyio.cli._connection import Connection
from walnats_anyio.cli._screen import note
from walnats_anyio.cli._signals import Stop


class Running(EmitMiddleware):
    """One run of the command; as a middleware it sees what its clocks emit.

    Args:
        clocks: what is run.
        connection: where.
        screen: where a person reads which ticks were emitted.
        burst: end when each clock has ticked once.
    """

    __slots__ = ("_burst", "_clocks", "_connection", "_emitted", "_screen")

    def __init__(
        self, clocks: list[Clock], connection: Connection, screen: Console, *, burst: bool
    ) -> None:
        self._clocks = clocks
        self._connection = connection
        self._screen = screen
        self._burst = burst
        self._emitted = Counter[tuple[str, str]]()

    async def run(self, stop: Stop) -> None:
        """Connect and run the clocks, until told to stop."""
        server, options = self._connection.arguments("walnats-anyio clock")
        events = Events(*dict.fromkeys(clock.event for clock in self._clocks), middlewares=[self])
        async with events.connect(server, **options) as conn:
            names = ", ".join(f"{clock.name} ({clock.event.name})" for clock in self._clocks)
            async with anyio.create_task_group() as tasks:
                for clock in self._clocks:
                    await tasks.start(clock.run, conn, self._burst)
                note(f"running {names}; Ctrl-C ends it")

    def around_emit(self, ctx: EmitContext, /) -> AbstractContextManager[Any]:
        return self._tell(ctx)

    @contextmanager
    def _tell(self, ctx: EmitContext) -> Iterator[None]:
        yield
        clock, _, tick = (ctx.uid or "").partition("@")
        self._emitted[ctx.event.name, clock] += 1
        told = f"{tick}  {ctx.event.name}, clock {clock}"
        self._screen.print(told, markup=False, soft_wrap=True)

    def report(self) -> dict[str, Any]:
        """What was emitted, for a program."""
        return {
            "clocks": [
                {
                    "event": clock.event.name,
                    "clock": clock.name,
                    "emitted": self._emitted[clock.event.name, clock.name],
                }
                for clock in self._clocks
            ]
        }
