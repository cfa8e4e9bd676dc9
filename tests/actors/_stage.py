"""What tests of actors need around them: connections, a look at consumers, a wait with an end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio

import walnats_anyio as walnats
from tests.support.waiting import DEADLINE, until
from walnats_anyio._actors._actor_run import ActorRun
from walnats_anyio._actors.declare._actor import on_server
from walnats_anyio._link import Link, api, pub
from walnats_anyio.dead_letters import DeadLetter, DeadLetters
from walnats_anyio.types import BaseEvent, ConnectedActors, ConnectedEvents


@dataclass(frozen=True)
class Consumer:
    """What the server says about an actor's consumer."""

    waiting: int
    """Events not delivered yet."""

    taken: int
    """Events delivered and not done with, waiting for a retry or not."""

    requested: int
    """Pull requests outstanding."""

    config: dict[str, Any]

    @property
    def left(self) -> int:
        """Events that the actor is not done with."""
        return self.waiting + self.taken


@dataclass(frozen=True)
class Stage:
    """Connected events and actors, registered and not listening yet."""

    url: str
    events: ConnectedEvents
    actors: ConnectedActors
    event: BaseEvent[Any]
    """The event of the first actor."""

    @property
    def link(self) -> Link:
        return self.actors._link

    async def emit(self, *messages: Any, event: BaseEvent[Any] | None = None) -> None:
        """Emit, and wait until the streams have it."""
        await self.events.emit_many(event or self.event, messages, sync=True)

    async def emit_raw(self, payload: bytes) -> None:
        """Publish what no emit would send."""
        await self.link.request(self.event.subject_name, payload)

    async def overhear(self, subject: str) -> list[bytes]:
        """Everything said on a subject from now on."""
        said: list[bytes] = []
        self.link.subscribe_to(subject, lambda message: said.append(message.data))
        await self.link.flush()
        return said

    async def consumer(self, actor: walnats.Actor[Any, Any]) -> Consumer:
        return await consumer_of(self.link, actor)

    async def until_known(self, count: int, *actors: walnats.Actor[Any, Any]) -> None:
        """Wait until the consumers of the actors have so many events to give.

        They hear of an event a moment after the stream has acknowledged it. A burst that asks
        before is told that there is nothing.
        """
        for actor in actors:
            name = f"{actor.event.stream_name}.{actor.consumer_name}"

            async def known(name: str = name) -> bool:
                info = await api(self.link, f"CONSUMER.INFO.{name}")
                return bool(info["num_pending"] == count)

            await until(known)

    async def until_left(self, actor: walnats.Actor[Any, Any], count: int) -> None:
        """Wait until the server knows that the actor is done with all events but so many."""

        async def left() -> bool:
            return (await self.consumer(actor)).left == count

        await until(left)

    async def until_done(self, *actors: walnats.Actor[Any, Any]) -> None:
        """Wait until the server knows that the actors are done with all events."""
        for actor in actors:
            await self.until_left(actor, 0)


async def consumer_of(link: Link, actor: walnats.Actor[Any, Any]) -> Consumer:
    actor = on_server(actor, link.prefixes)
    stream = await api(link, f"STREAM.INFO.{actor.event.stream_name}")
    info = await api(link, f"CONSUMER.INFO.{actor.event.stream_name}.{actor.consumer_name}")
    # Its own `num_pending` lags behind what the stream has acknowledged.
    waiting = max(0, stream["state"]["last_seq"] - info["delivered"]["stream_seq"])
    return Consumer(waiting, info["num_ack_pending"], info["num_waiting"], info["config"])


@asynccontextmanager
async def stage(url: str, *actors: walnats.Actor[Any, Any], **options: Any) -> AsyncIterator[Stage]:
    """Connect and register actors and their events."""
    events = walnats.Events(*dict.fromkeys(actor.event for actor in actors))
    async with (
        events.connect(url, **options) as emitting,
        walnats.Actors(*actors).connect(url, **options) as conn,
    ):
        await emitting.register()
        await conn.register()
        yield Stage(url, emitting, conn, actors[0].event)


@asynccontextmanager
async def listening(conn: ConnectedActors, **options: Any) -> AsyncIterator[anyio.abc.TaskGroup]:
    """Listen around the body; shut down after it."""

    async def listen(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        await conn.listen(task_status=task_status, **options)

    async with anyio.create_task_group() as tasks:
        with anyio.fail_after(DEADLINE):
            await tasks.start(listen)
        yield tasks
        conn.shutdown()


@asynccontextmanager
async def running(
    url: str, *actors: walnats.Actor[Any, Any], **options: Any
) -> AsyncIterator[Stage]:
    """Connect, register and listen around the body."""
    async with stage(url, *actors) as staged, listening(staged.actors, **options):
        yield staged


@asynccontextmanager
async def breaking(
    conn: ConnectedActors, error: type[BaseException], **options: Any
) -> AsyncIterator[None]:
    """Listen around the body; then wait until `listen` breaks, with this error as itself."""
    raised: list[BaseException] = []

    async def listen() -> None:
        try:
            await conn.listen(**options)
        except error as caught:
            raised.append(caught)

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            yield
    assert len(raised) == 1, "`listen` has returned"


def run_of(conn: ConnectedActors, number: int = 0) -> ActorRun:
    """What one of the actors has while `listen` runs, in the order of the registry."""
    assert conn._listening is not None
    return conn._listening.runs[number]


async def until_ticked(conn: ConnectedActors, rounds: int) -> None:
    """Wait for so many rounds of the clock of the first actor."""
    deliveries = run_of(conn).deliveries
    later = deliveries.tick + rounds
    await until(lambda: deliveries.tick >= later)


async def letters_of(url: str, event: BaseEvent[Any]) -> list[DeadLetter]:
    async with DeadLetters.connect(url) as dead:
        return [letter async for letter in dead.letters(event=event)]


async def take_and_vanish(on: Stage, actor: walnats.Actor[Any, Any]) -> None:
    """Take an event as a worker would that dies with it."""
    taken = await on.overhear("vanished")
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{actor.event.stream_name}.{actor.consumer_name}"
    on.link.post(pub(subject, b'{"batch": 1}', b"vanished"))
    await until(lambda: len(taken) == 1)


async def most_requested(on: Stage, actor: walnats.Actor[Any, Any], seconds: float) -> int:
    """The most requests that were outstanding within some seconds."""
    most = 0
    with anyio.move_on_after(seconds):
        while True:
            most = max(most, (await on.consumer(actor)).requested)
            await anyio.sleep(0.02)
    return most
