"""Features that have to do with time, batches, responses and control, tried on a real server.

Some have a row only where the library has them.
"""

from __future__ import annotations

import inspect
from functools import partial
from importlib.util import find_spec
from time import monotonic
from typing import Any

import walnats_anyio as walnats
from tests.actors._stage import Stage, listening, running, stage
from tests.support.recorders import Handled
from tests.support.waiting import until
from tests.versions._site import Outcome, Site, feature, refusal_of
from walnats_anyio._events._schedules import schedule_subject
from walnats_anyio._link import api, stream_info

WORKS, FALLS_BACK, REFUSED, NOTHING = Outcome

library: Any = walnats
"""For what a type checker cannot know of."""


async def messages_in(on: Stage, stream: str) -> int:
    """How many messages a stream holds; 0 where there is none."""
    info = await stream_info(on.link, stream)
    return 0 if info is None else int(info["state"]["messages"])


@feature(
    "[Delays](delays.md): `emit(delay=...)`, `at=...`",
    "before 2.14 actors hold what is not due, by nak: each such event takes a place in "
    "`max_ack_pending`, and cannot be cancelled",
)
async def delays(site: Site) -> Outcome:
    seen = Handled()
    event = site.event(int)
    actor = walnats.Actor("pack", event, seen)
    async with running(site.url, actor) as on:
        # One that stays long enough to be looked at, and one that comes.
        await on.events.emit(event, 2, delay=3600, sync=True)
        scheduled = schedule_subject(on.link.prefixes, "delay", event.stream_name, ">")
        body = {"subjects_filter": scheduled}
        info = None
        if await stream_info(on.link, "walnats-schedules") is not None:
            info = await api(on.link, "STREAM.INFO.walnats-schedules", body)
        begin = monotonic()
        await on.events.emit(event, 1, delay=0.5, sync=True)
        await until(lambda: seen.messages == [1])
        assert monotonic() - begin >= 0.4
    return WORKS if info is not None and info["state"].get("subjects") else FALLS_BACK


@feature(
    "[Expiry](delays.md): `emit(ttl=...)`",
    "refused before 2.11: the emit is an `EmitError` that names the version",
)
async def expiry(site: Site) -> Outcome:
    event = site.event(int, ttl=True)
    actor = walnats.Actor("pack", event, Handled())
    async with stage(site.url, actor) as on:
        emit = partial(on.events.emit, event, 1, ttl=1, sync=True)
        if await refusal_of(emit, walnats.EmitError, "2.11"):
            return REFUSED
        assert await messages_in(on, event.stream_name) == 1

        async def gone() -> bool:
            return await messages_in(on, event.stream_name) == 0

        await until(gone)
    return WORKS


@feature(
    "[Pausing](steering.md) an actor in all processes",
    "refused before 2.11: `pause`, and the commands `pause` and `resume`, say so",
)
async def pause(site: Site) -> Outcome:
    seen = Handled()
    event = site.event(int)
    actor = walnats.Actor("pack", event, seen)
    async with running(site.url, actor) as on:
        everywhere = partial(on.actors.pause, "pack", everywhere=True)
        if await refusal_of(everywhere, walnats.ServerError, "2.11"):
            return REFUSED
        await on.emit(1)
        assert (await on.consumer(actor)).waiting == 1
        await on.actors.resume("pack", everywhere=True)
        await on.until_done(actor)
    assert seen.messages == [1]
    return WORKS


@feature(
    "[Retries](../concepts/guarantees.md) that wait in the server, and not in `max_ack_pending`",
    "before 2.14 each event that waits for its next attempt takes a place there",
    when=find_spec("walnats_anyio._actors.settle._copies") is not None,
)
async def retries(site: Site) -> Outcome:
    event = site.event(int)

    async def handle(_: int) -> None:
        raise walnats.Retry(delay=60)

    actor = walnats.Actor("pack", event, handle)
    async with running(site.url, actor) as on:
        await on.emit(1)
        await until(lambda: on.actors.statistics().actors[0].failed == 1)
        waits = schedule_subject(on.link.prefixes, "retry", event.stream_name, ">")
        body = {"subjects_filter": waits}
        if await stream_info(on.link, "walnats-schedules") is None:
            return FALLS_BACK
        info = await api(on.link, "STREAM.INFO.walnats-schedules", body)
        return WORKS if info["state"].get("subjects") else FALLS_BACK


HAS_CLOCK = hasattr(walnats, "Clock")


@feature("[Clocks](schedules.md) that programs run together: `clock.run`", when=HAS_CLOCK)
async def clock_run(site: Site) -> Outcome:
    event = site.event(int)
    clock = library.Clock(event, message=7, period=1, name=site.unique)
    async with walnats.Events(event).connect(site.url) as conn:
        await conn.register()
        await clock.run(conn, burst=True)
        assert conn.statistics().acknowledged == 1
    return WORKS


@feature(
    "[Clocks](schedules.md) that the server keeps: `clock.register`",
    "refused before 2.14: the error names the version",
    when=HAS_CLOCK,
)
async def clock_register(site: Site) -> Outcome:
    event = site.event(int)
    clock = library.Clock(event, message=7, period=1, name=site.unique)
    seen = Handled()
    actor = walnats.Actor("pack", event, seen)
    async with stage(site.url, actor) as on:
        if await refusal_of(partial(clock.register, on.events), walnats.ServerError, "2.14"):
            return REFUSED
        async with listening(on.actors):
            await until(lambda: len(seen.messages) > 0)
        await clock.unregister(on.events)
    return WORKS


HAS_ATOMIC = "atomic" in inspect.signature(walnats.types.ConnectedEvents.emit_many).parameters


@feature(
    "[Atomic batches](batches.md): `emit_many(atomic=True)`",
    "refused before 2.12.1: the error names the version, and nothing is emitted",
    when=HAS_ATOMIC,
)
async def atomic(site: Site) -> Outcome:
    event = site.event(int)
    actor = walnats.Actor("pack", event, Handled())
    async with stage(site.url, actor) as on:
        events: Any = on.events
        emit = partial(events.emit_many, event, range(5), atomic=True)
        if await refusal_of(emit, Exception, "2.12"):
            assert await messages_in(on, event.stream_name) == 0
            return REFUSED
        assert await messages_in(on, event.stream_name) == 5
    return WORKS


@feature(
    "[Request and response](request-response.md): `request`",
    when=hasattr(walnats.types.ConnectedEvents, "request"),
)
async def request(site: Site) -> Outcome:
    asked: Any = site.event(int)
    event = asked.with_response(int)

    async def double(number: int) -> int:
        return 2 * number

    actor: Any = walnats.Actor("pack", event, double)
    async with running(site.url, actor) as on:
        events: Any = on.events
        assert await events.request(event, 4) == 8
    return WORKS
