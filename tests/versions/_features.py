"""Each feature that depends on the server, or that people ask about, tried on a real one.

A try gives what became of the feature, having seen that it did so. A branch for an older server
asserts what the last column of the table promises.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio

import walnats_anyio as walnats
from tests.actors._stage import letters_of, listening, running, stage, take_and_vanish
from tests.support.recorders import Handled
from tests.support.waiting import until
from tests.versions._site import DOMAIN, Outcome, Site, feature, refusal_of
from walnats_anyio._link import Link, api, is_at_least, stream_config
from walnats_anyio.dead_letters import DeadLetters
from walnats_anyio.decorators import rate_limit

WORKS, FALLS_BACK, REFUSED, NOTHING = Outcome


@feature("Emitting and handling, `uid`, [`register`](registering.md), `register --dry-run`")
async def emit_and_handle(site: Site) -> Outcome:
    seen = Handled()
    event = site.event(int)
    actor = walnats.Actor("pack", event, seen, ack="confirmed")
    async with running(site.url, actor) as on:
        for _ in range(2):
            await on.events.emit(event, 1, uid="once", sync=True)
        await on.emit(2, 3)
        await on.until_done(actor)
        assert {entry.action for entry in await on.events.plan()} == {"keep"}
        assert {entry.action for entry in await on.actors.plan()} == {"keep"}
    assert sorted(seen.messages) == [1, 2, 3]
    return WORKS


@feature("[`domain`, `namespace`](domains.md)")
async def domain_and_namespace(site: Site) -> Outcome:
    seen = Handled()
    event = site.event(int)
    actor = walnats.Actor("pack", event, seen)
    where = {"domain": DOMAIN, "namespace": "team"}
    async with stage(site.url, actor, **where) as on, listening(on.actors):
        await on.emit(1)
        await on.until_done(actor)
        assert await stream_config(on.link, f"team-{event.stream_name}") is not None
    assert seen.messages == [1]
    return WORKS


@feature("[Dead letters](dead-letters.md), and `requeue` for the one actor")
async def dead_letters(site: Site) -> Outcome:
    event = site.event(int)
    given_up: list[int] = []
    others = Handled()

    async def reject_first(number: int) -> None:
        given_up.append(number)
        if len(given_up) == 1:
            raise walnats.Reject("not this time")

    pack, look = walnats.Actor("pack", event, reject_first), walnats.Actor("look", event, others)
    async with running(site.url, pack, look) as on:
        await on.emit(7)
        await on.until_done(pack, look)
        (letter,) = await letters_of(site.url, event)
        async with DeadLetters.connect(site.url) as dead:
            await dead.requeue(letter)
        await until(lambda: len(given_up) == 2)
        await on.until_done(pack, look)
        assert await letters_of(site.url, event) == []
    assert (given_up, others.messages) == ([7, 7], [7])
    return WORKS


@feature(
    "[Attempts](../concepts/guarantees.md) counted without what a stop hands back",
    "nats-server 2.9 counts the deliveries of an event from 1 again where a worker stops with it: "
    "it may be run more often than `max_attempts` says",
)
async def attempts(site: Site) -> Outcome:
    event = site.event(int)
    attempts: list[int] = []
    enough = anyio.Event()

    async def handle(_: int) -> None:
        attempts.append(walnats.current_context().attempts)
        await enough.wait()

    actor = walnats.Actor("pack", event, handle, ack_wait=0.5)
    async with stage(site.url, actor) as on:
        await on.emit(1)
        await take_and_vanish(on, actor)  # a death, which counts
        for runs in (1, 2):
            async with listening(on.actors, shutdown_timeout=0) as tasks:
                await until(lambda: len(attempts) == runs)  # noqa: B023 - awaited here
                tasks.cancel_scope.cancel()
        by_chance = not is_at_least(on.link.info.version, (2, 10))
    # The second is the third delivery: what was handed back in between was no attempt.
    assert attempts == [2, 2] or (by_chance and attempts == [2, 1]), attempts
    # nats-server 2.9 counts from 1 again or not, as it happens.
    return FALLS_BACK if by_chance else WORKS


@feature(
    "[Schemas](schema-evolution.md) kept on the server, and a warning of what a new version cannot "
    "read",
    "from 2.10 on; before, nothing is kept and nothing is said",
)
async def schemas(site: Site) -> Outcome:
    event = site.event(int)
    async with walnats.Events(event).connect(site.url) as conn:
        await conn.register()
        config: dict[str, Any] = await stream_config(conn._link, event.stream_name) or {}
    changed = site.event(str)
    async with walnats.Events(changed).connect(site.url) as conn:
        (entry,) = await conn.plan()
    if entry.warnings:
        return WORKS
    assert "metadata" not in config
    return NOTHING


@feature(
    "A warning where [two programs](registering.md#consumers) have one actor name",
    "from 2.10 on; before, nothing is said",
)
async def another_declaration(site: Site) -> Outcome:
    event = site.event(int)
    one, other = walnats.Actor("pack", event, _do), walnats.Actor("pack", event, _do, job_timeout=9)
    async with stage(site.url, one), walnats.Actors(other).connect(site.url) as conn:
        (entry, *_) = await conn.plan()
    return WORKS if entry.changes else NOTHING


async def _do(number: int) -> None:
    """Handle an event."""


@feature(
    "Changing [`limits.consumers`](registering.md) of a stream that exists",
    "refused before 2.12.5: the error names both values and says what to do",
)
async def more_consumers(site: Site) -> Outcome:
    async with walnats.Events(site.event(int)).connect(site.url) as conn:
        await conn.register()
    limited = site.event(int, limits=walnats.Limits(consumers=5))
    async with walnats.Events(limited).connect(site.url) as conn:
        told = "max_consumers would be changed from -1 to 5", "from 2.12.5 on"
        if await refusal_of(conn.register, walnats.StreamConfigError, *told):
            return REFUSED
        assert (await stream_config(conn._link, limited.stream_name) or {})["max_consumers"] == 5
    return WORKS


@feature(
    "Taking a stream of another retention with [`register(force=True)`](registering.md)",
    "refused before 2.10: the error says what to do",
)
async def retention_by_force(site: Site) -> Outcome:
    event = site.event(int)
    async with walnats.Events(event).connect(site.url) as conn:
        await make_stream(conn._link, event.stream_config() | {"retention": "limits"})
        by_force = partial(conn.register, force=True)
        told = "retention would be changed from 'limits' to 'interest'", "from 2.10 on"
        if await refusal_of(by_force, walnats.StreamConfigError, *told):
            return REFUSED
    return WORKS


async def make_stream(link: Link, config: dict[str, Any]) -> None:
    await api(link, f"STREAM.CREATE.{config['name']}", config)


@feature(
    "[Names](../concepts/events.md) with a `%`",
    "refused before 2.14.3, by `register` and `listen`, as those servers lose what has such a name",
)
async def percent(site: Site) -> Outcome:
    seen = Handled()
    event = walnats.Event(f"100%d.{site.unique}", int)
    actor = walnats.Actor("50%", event, seen)
    async with (
        walnats.Events(event).connect(site.url) as events,
        walnats.Actors(actor).connect(events) as actors,
    ):
        if await refusal_of(events.register, walnats.StreamConfigError, "2.14.3"):
            assert await refusal_of(actors.register, walnats.ConsumerConfigError, "2.14.3")
            assert await refusal_of(actors.listen, walnats.ConsumerConfigError, "2.14.3")
            return REFUSED
    async with running(site.url, actor) as on:
        await on.emit(1, 2)
        await on.until_done(actor)
    assert sorted(seen.messages) == [1, 2]
    return WORKS


@feature(
    "[`rate_limit(shared=...)`](decorators.md)",
    "before 2.12 it reads and writes the count until nobody was faster: some 400 jobs a second "
    "rather than 14,000",
)
async def shared_rate_limit(site: Site) -> Outcome:
    seen = Handled()
    event = site.event(int)
    name = f"limit-{site.unique}"
    limit = rate_limit(5, 60, shared=name, max_wait=0.1)
    actor = walnats.Actor("pack", event, limit(seen))
    async with running(site.url, actor) as on:
        await on.emit(*range(8))
        await until(lambda: len(seen.messages) == 5)
        config = await stream_config(on.link, f"walnats-limit-{name}") or {}
    assert len(seen.messages) == 5
    return WORKS if config.get("allow_msg_counter") else FALLS_BACK
