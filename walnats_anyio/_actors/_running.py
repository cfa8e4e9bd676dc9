"""`Actors.run`: listening as the whole of a program, with signals that stop it gracefully."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING, Any

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskGroup, TaskStatus

from walnats_anyio._actors._connection import ConnectedActors
from walnats_anyio._actors._handler_guard import LOOK_EVERY, HandlerGuard
from walnats_anyio._actors.settle import Ended, Summary
from walnats_anyio._events import Events
from walnats_anyio._link import Server, failures_of, one_or_group

if TYPE_CHECKING:
    from walnats_anyio._actors._registry import Actors

logger = logging.getLogger("walnats_anyio.actors")

BACKENDS = ("asyncio", "trio")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_actors(
    actors: Actors,
    server: Server | None,
    backend: str,
    register: bool,
    names: dict[str, Any],
    options: dict[str, Any],
) -> Summary:
    """What `Actors.run` documents."""
    if backend not in BACKENDS:
        raise ValueError(f"backend must be 'asyncio' or 'trio', not {backend!r}")
    run = _Run(actors, server, register, names, options)
    return anyio.run(run.main, backend=backend)


class _Ready(TaskStatus[None]):
    """Says that every actor is receiving, as nobody else waits for that."""

    def __init__(self, actors: Actors) -> None:
        self._actors = actors

    def started(self, value: None = None) -> None:
        logger.info("listening: %r", self._actors)


class _Run:
    def __init__(
        self,
        actors: Actors,
        server: Server | None,
        register: bool,
        names: dict[str, Any],
        options: dict[str, Any],
    ) -> None:
        self._actors = actors
        self._server = server
        self._register = register
        self._names = names
        self._options = options
        self._connected: ConnectedActors | None = None
        self._summary = Summary(0.0, (), Ended.SHUTDOWN)
        self._second: int | None = None

    async def main(self) -> Summary:
        try:
            async with anyio.create_task_group() as tasks:
                # Python gives signals to the main thread only.
                if threading.current_thread() is threading.main_thread():
                    await tasks.start(self._stop_on_signals, tasks)
                await self._listen()
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            failures = failures_of(group)
            if not failures:
                raise
            raise one_or_group("the actors failed", failures) from None
        if self._second == signal.SIGINT:
            raise KeyboardInterrupt
        if self._second is not None:
            raise SystemExit(128 + self._second)
        return self._summary

    async def _listen(self) -> None:
        if self._register:
            events = {actor.event.name: actor.event for actor in self._actors}
            async with Events(*events.values()).connect(self._server, **self._names) as registering:
                await registering.register()
        async with self._actors.connect(self._server, **self._names) as connected:
            if self._register:
                await connected.register()
            self._connected = connected
            options: dict[str, Any] = {"task_status": _Ready(self._actors), **self._options}
            self._summary = await connected.listen(**options)

    async def _stop_on_signals(
        self, tasks: TaskGroup, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED
    ) -> None:
        with anyio.open_signal_receiver(*SIGNALS) as signals:
            tasks.start_soon(_keep, HandlerGuard(SIGNALS))
            task_status.started()
            stopping = False
            async for number in signals:
                if stopping:
                    self._second = number
                elif self._connected is not None:
                    stopping = True
                    logger.info("%s: finishing the running jobs", signal.Signals(number).name)
                    self._connected.shutdown()
                    continue
                tasks.cancel_scope.cancel()
                return


async def _keep(guard: HandlerGuard) -> None:
    while True:
        await anyio.sleep(LOOK_EVERY)
        guard.put_back()
