"""Events emitted and handled while something breaks, and what came of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from tests.actors._stage import consumer_of, listening
from tests.faults._ledger import Noted, Notes, Result, recovery, run_again, stored_twice
from tests.faults._proxy import Proxy
from tests.support.waiting import until
from walnats_anyio import Actor, Actors, Event, Events
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedActors, ConnectedEvents

JOBS = 16
"""Jobs at once of the one actor, and so the most events that it holds."""

LONG = 180.0
"""Seconds for what takes a few, or some ten where a slow line is the fault."""

PARTS = 20
"""Portions in which events are emitted during a fault."""


@dataclass(frozen=True)
class Fault:
    """One way to break things, and what it may cost."""

    name: str

    strike: Callable[[ServerScene], Awaitable[None]]
    """Break it and mend it: the fault is over when this returns."""

    within: float
    """Seconds from then to the first job, at most."""

    again: int = 0
    """How often all that the actor holds may be run again: once for each connection lost."""

    doubles: bool = False
    """Whether what was on its way may be stored twice, where it has no `uid`."""

    lasts: float = 1.0
    """Seconds in which the events of the time of the fault are emitted."""

    ack_wait: float = 4.0


@dataclass
class Scene:
    """What is seen of emitters and listeners while something breaks."""

    path: Path
    """Where every job is noted."""

    most_on_their_way: int = field(default=0, kw_only=True)
    """The most emits that had not been acknowledged at some moment."""

    def __post_init__(self) -> None:
        self._noted = Noted(self.path)

    @property
    def noted(self) -> Noted:
        """All that is noted by now."""
        return self._noted.read_on()


@dataclass
class ServerScene(Scene):
    """A server and the ways to it."""

    server: NatsServer

    front: Proxy
    """The emitter's way to the server."""

    back: Proxy
    """The listener's way to the server."""


def is_unique(number: int) -> bool:
    """Whether this message is emitted with a `uid`: every other one is."""
    return number % 2 == 0


async def emit(
    scene: Scene, events: ConnectedEvents, event: Event[int], numbers: range, lasts: float = 0.0
) -> None:
    """Emit numbers, spread over some seconds; a tenth of them waits for the acknowledgement."""
    portion = max(1, len(numbers) // PARTS)
    async with anyio.create_task_group() as tasks:
        for place, number in enumerate(numbers):
            uid = str(number) if is_unique(number) else None
            if number % 10 == 9:
                tasks.start_soon(lambda n=number, u=uid: events.emit(event, n, uid=u, sync=True))  # type: ignore[misc]
            else:
                await events.emit(event, number, uid=uid)
            on_their_way = events._emitter.outstanding
            scene.most_on_their_way = max(scene.most_on_their_way, on_their_way)
            if place % portion == portion - 1:
                await anyio.sleep(lasts / PARTS)


@asynccontextmanager
async def open_scene(path: Path) -> AsyncIterator[ServerScene]:
    async with NatsServer() as server:
        with Proxy(server.port) as front, Proxy(server.port) as back:
            yield ServerScene(path, server, front, back)


def actor_of(event: Event[int], path: Path, ack_wait: float) -> Actor[int, None]:
    async def handle(_: int) -> None:
        await anyio.sleep(0.001)

    return Actor(
        "ledger", event, handle, ack_wait=ack_wait, max_jobs=JOBS, middlewares=(Notes(path),)
    )


async def run_fault(fault: Fault, backend: str, count: int) -> Result:
    """Send so many events through a fault and hand in the ledger."""
    event: Event[int] = Event("numbers", int)
    begun = time.monotonic()
    with TemporaryDirectory() as directory:
        async with open_scene(Path(directory, "notes")) as scene:
            actor = actor_of(event, scene.path, fault.ack_wait)
            async with (
                Events(event).connect(scene.front.url) as events,
                Actors(actor).connect(scene.back.url) as actors,
            ):
                await events.register()
                await actors.register()
                async with listening(actors):
                    over = await go_through(
                        lambda: fault.strike(scene), scene, events, event, count, fault.lasts
                    )
                    await settle(scene, actors, actor, count)
            return result_of(
                fault.name,
                backend,
                count,
                scene,
                over,
                begun=begun,
                within=fault.within,
                again=fault.again * JOBS,
                doubles=fault.doubles,
            )


async def go_through(
    strike: Callable[[], Awaitable[None]],
    scene: Scene,
    events: ConnectedEvents,
    event: Event[int],
    count: int,
    lasts: float,
) -> float:
    """Emit a part before the fault, one while it lasts and one after it; gives when it was over."""
    before, during = range(count * 3 // 10), range(count * 3 // 10, count * 7 // 10)
    await emit(scene, events, event, before)
    await until(lambda: len(scene.noted.done) > len(before) // 10)
    over = 0.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(emit, scene, events, event, during, lasts)
        await strike()
        over = time.monotonic()
        tasks.start_soon(emit, scene, events, event, range(during.stop, count), 1.0)
    with anyio.fail_after(LONG):
        # Returns when every event is acknowledged, and raises when one was not accepted.
        await events.flush()
    return over


async def settle(scene: Scene, conn: ConnectedActors, actor: Actor[int, None], count: int) -> None:
    """Wait until all of it is handled and the server knows it."""

    async def nothing_left() -> bool:
        return (await consumer_of(conn._link, actor)).left == 0

    await until(lambda: len(scene.noted.done) >= count, LONG)
    await until(nothing_left, LONG)


def result_of(
    name: str,
    backend: str,
    count: int,
    scene: Scene,
    over: float,
    *,
    begun: float,
    within: float,
    again: int,
    doubles: bool,
) -> Result:
    """The ledger of a scene in which every event was acknowledged, or it would have raised."""
    noted = scene.noted
    twice = stored_twice(noted.runs)
    unique = {number for number in twice if is_unique(number)}
    return Result(
        fault=name,
        backend=backend,
        events=count,
        acknowledged=count,
        handled=len(noted.done),
        run_again=run_again(noted.runs),
        run_again_allowed=again,
        stored_twice=len(twice - unique),
        stored_twice_allowed=scene.most_on_their_way if doubles else 0,
        unique_twice=len(unique),
        recovery=recovery(noted.runs, over, count * 7 // 10),
        recovery_allowed=within,
        seconds=time.monotonic() - begun,
    )
