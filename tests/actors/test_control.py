"""Pausing, resuming and re-limiting actors: in this process, and over all processes."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, tzinfo
from functools import partial
from typing import Any

import anyio
import pytest

from tests.actors._stage import Stage, listening, running, stage
from tests.support.recorders import Gate, Handled
from tests.support.servers import DEBIAN, server_binary
from tests.support.waiting import DEADLINE, until
from walnats_anyio import (
    Actor,
    Actors,
    Batch,
    Event,
    Priority,
    Ratio,
    Reject,
    ServerError,
    Snooze,
)
from walnats_anyio._actors import _pausing
from walnats_anyio._link import api
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ActorStatistics, ConnectedActors, Ended

pytestmark = pytest.mark.anyio


def of(on: Stage, number: int = 0) -> ActorStatistics:
    return on.actors.statistics().actors[number]


@asynccontextmanager
async def second(
    url: str, actor: Actor[Any, Any], **options: Any
) -> AsyncIterator[ConnectedActors]:
    """Another process, as far as the server can tell."""
    async with Actors(actor).connect(url) as conn, listening(conn, **options):
        yield conn


async def is_paused(on: Stage, actor: Actor[Any, Any]) -> bool:
    answer = await api(on.link, f"CONSUMER.INFO.{actor.event.stream_name}.{actor.consumer_name}")
    return bool(answer.get("paused"))


# in this process


async def test_what_waits_goes_back_and_what_runs_goes_on(url: str, event: Event[int]) -> None:
    gate = Gate()
    # One that is ahead of another holds more than it can run.
    actor = Actor("a", event, gate, max_jobs=2, priority=Priority.HIGH)
    other: Event[int] = dataclasses.replace(event, name=f"{event.name}-other")
    async with running(url, actor, Actor("other", other, Handled())) as on:
        await on.emit(1, 2, 3, 4, 5)
        await until(lambda: (of(on).running, of(on).waiting) == (2, 2))
        await on.actors.pause("a")
        assert of(on).paused
        assert (of(on).running, of(on).waiting, of(on).handed_back) == (2, 0, 2)
        async with second(url, Actor("a", event, handled := Handled())):
            await until(lambda: sorted(handled.messages) == [3, 4, 5])
        gate.open()
        await until(lambda: of(on).handled == 2)
        await on.actors.resume("a")
        assert not of(on).paused
        await on.emit(6)
        await on.until_done(actor)
        assert of(on).handled == 3


async def test_nothing_is_asked_for_while_it_is_paused(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, handled := Handled())
    async with running(url, actor) as on:
        await until(lambda: of(on).requested > 0)
        await on.actors.pause("a")
        assert of(on).requested == 0
        await on.emit(1, 2, 3)

        # The server has noticed that nobody hears what those requests asked for.
        async def is_left() -> bool:
            consumer = await on.consumer(actor)
            return consumer.requested == 0 and consumer.left == 3

        await until(is_left)
        await on.actors.pause("a")
        await on.actors.resume("a")
        await on.actors.resume("a")
        await on.until_done(actor)
    assert sorted(handled.messages) == [1, 2, 3]


async def test_for_some_time(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, handled := Handled())
    async with running(url, actor) as on:
        began = anyio.current_time()
        await on.actors.pause("a", 0.3)
        await on.emit(1)
        await on.until_done(actor)
        assert anyio.current_time() - began >= 0.3
        assert not of(on).paused
    assert handled.messages == [1]


async def test_from_one_run_to_the_next(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, handled := Handled(), max_jobs=7)
    async with stage(url, actor) as on:
        await on.actors.pause("a")
        on.actors.set_max_jobs("a", 3)
        await on.emit(1)
        for _ in range(2):
            async with listening(on.actors):
                assert of(on).paused
                assert (of(on).slots, of(on).requested) == (3, 0)
        assert handled.messages == []
        await on.actors.resume("a")
        on.actors.set_max_jobs("a", None)
        async with listening(on.actors):
            assert of(on).slots == 7
            await on.until_done(actor)


async def test_a_burst_does_not_wait_for_what_is_paused(url: str, event: Event[int]) -> None:
    other: Event[int] = dataclasses.replace(event, name=f"{event.name}-other")
    actors = Actor("a", event, here := Handled()), Actor("b", other, there := Handled())
    async with stage(url, *actors) as on:
        await on.emit(1)
        await on.emit(2, event=other)
        await on.actors.pause("a")
        with anyio.fail_after(DEADLINE):
            summary = await on.actors.listen(burst=True, poll_delay=0.1)
        assert summary.ended is Ended.BURST
        assert (here.messages, there.messages) == ([], [2])
        await on.actors.resume("a")
        await on.actors.listen(burst=True, poll_delay=0.1)
        assert here.messages == [1]


@pytest.mark.parametrize("batch", [None, Batch(2, 60)])
async def test_a_pause_in_a_burst_ends_it(url: str, event: Event[int], batch: Batch | None) -> None:
    """What has not begun goes back, and with nothing else to do the burst is over."""
    gate = Gate()
    actor: Actor[Any, Any] = Actor("a", event, gate, max_jobs=1, batch=batch)
    async with stage(url, actor) as on, anyio.create_task_group() as tasks:
        await on.emit(*range(4))
        tasks.start_soon(partial(on.actors.listen, burst=True, poll_delay=DEADLINE))
        await gate.come(1)
        await on.actors.pause("a")
        gate.open()  # the group ends when the burst does
    assert of(on).handled == (1 if batch is None else 2)


async def test_a_pause_of_a_burst_that_waits(url: str, event: Event[int]) -> None:
    async with stage(url, Actor("a", event, Handled())) as on:
        with anyio.fail_after(DEADLINE / 2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(on.actors.listen, burst=True, poll_delay=DEADLINE))
                await until(lambda: bool(on.actors.statistics().actors) and of(on).requested > 0)
                await on.actors.pause("a")


async def test_another_number_of_jobs(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, gate := Gate(), max_jobs="auto")
    async with running(url, actor, max_jobs=8) as on:
        assert of(on).auto is not None
        on.actors.set_max_jobs("a", 3)
        assert of(on).auto is None
        await on.emit(*range(20))
        await until(lambda: of(on).running == 3)
        on.actors.set_max_jobs("a", 100)
        assert of(on).slots == 8
        await until(lambda: of(on).running == 8)
        on.actors.set_max_jobs("a", None)
        assert of(on).auto is not None
        gate.open()
        await on.until_done(actor)


async def test_what_is_no_actor_and_no_number(url: str, event: Event[int]) -> None:
    async with stage(url, Actor("a", event, Handled())) as on:
        with pytest.raises(ValueError, match="there is no actor 'b': there is 'a'"):
            await on.actors.pause("b")
        with pytest.raises(TypeError, match="the name of an actor must be of str, not Actor"):
            await on.actors.resume(Actor("a", event, Handled()))  # type: ignore[arg-type]  # refused
        with pytest.raises(ValueError, match=r"pause: seconds must be 0\.001 to"):
            await on.actors.pause("a", 0)
        with pytest.raises(ValueError, match="set_max_jobs: max_jobs must be at least 1"):
            on.actors.set_max_jobs("a", 0)
        with pytest.raises(TypeError, match="set_max_jobs: max_jobs must be an int or None"):
            on.actors.set_max_jobs("a", "auto")  # type: ignore[arg-type]  # refused


# in all processes


async def test_everywhere(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, handled := Handled())
    async with running(url, actor) as on, second(url, actor):
        await on.actors.pause("a", everywhere=True)
        await on.emit(1, 2, 3)
        assert await is_paused(on, actor)
        assert not of(on).paused
        assert handled.messages == []
        began = anyio.current_time()
        await on.actors.resume("a", everywhere=True)
        await on.until_done(actor)
        # Requests that wait at the server are woken, and do not wait until they expire.
        assert anyio.current_time() - began < 10
    assert sorted(handled.messages) == [1, 2, 3]


@pytest.mark.parametrize("ahead", [-0.3, -3600, 3600])
async def test_everywhere_with_another_clock_than_the_server(
    url: str, event: Event[int], monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """Or far from it: then too the moment has passed that the server is told at first."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Clock:
            return super().now(tz) + timedelta(seconds=ahead)

    monkeypatch.setattr(_pausing, "datetime", Clock)
    actor = Actor("a", event, handled := Handled())
    async with running(url, actor) as on:
        await on.actors.pause("a", 60, everywhere=True)
        info = await api(on.link, f"CONSUMER.INFO.{event.stream_name}.{actor.consumer_name}")
        assert 50e9 < info["pause_remaining"] <= 61e9
        await on.emit(1)
        began = anyio.current_time()
        await on.actors.resume("a", everywhere=True)
        await handled.come(1)
        # A request that is not woken waits at the server for four seconds at least.
        assert anyio.current_time() - began < 3


async def test_everywhere_for_some_time(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, handled := Handled())
    async with running(url, actor) as on:
        await on.actors.pause("a", 0.5, everywhere=True)
        await on.emit(1)
        assert handled.messages == []
        await on.until_done(actor)
        assert not await is_paused(on, actor)


async def test_without_a_consumer(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Handled())
    async with Actors(actor).connect(url) as conn:
        with pytest.raises(ServerError, match="not found"):
            await conn.pause("a", everywhere=True)


async def test_an_older_server_cannot_pause_everywhere(event: Event[int]) -> None:
    actor = Actor("a", event, handle_badly, pause_on_failures=Ratio(jobs=2, pause=30))
    async with NatsServer(binary=server_binary(DEBIAN)) as server, older(server, actor) as on:
        for act in (on.actors.pause, on.actors.resume):
            with pytest.raises(ServerError, match=r"needs nats-server 2\.11 or later.*2\.9"):
                await act("a", everywhere=True)
        await on.emit(1, 2)
        await until(lambda: of(on).paused)


@asynccontextmanager
async def older(server: NatsServer, actor: Actor[Any, Any]) -> AsyncIterator[Stage]:
    async with running(server.url, actor) as on:
        yield on


# by itself


async def handle_badly(message: int) -> None:
    raise ValueError(message)


@pytest.mark.parametrize("everywhere", [False, True])
async def test_a_longer_pause_stays_when_jobs_fail(
    url: str, event: Event[int], everywhere: bool
) -> None:
    gate = Gate()

    async def fail(message: int) -> None:
        await gate(message)
        raise ValueError(message)

    actor = Actor("a", event, fail, pause_on_failures=Ratio(jobs=2, pause=0.2))
    async with running(url, actor) as on:
        await on.emit(1, 2)
        await gate.come(2)
        await on.actors.pause("a", 600, everywhere=everywhere)
        said = await on.overhear("$JS.API.CONSUMER.PAUSE.>")
        gate.open()
        await until(lambda: of(on).failed == 2)
        if everywhere:
            await until(lambda: of(on).paused)
            await until(lambda: not of(on).paused)
            info = await api(on.link, f"CONSUMER.INFO.{event.stream_name}.{actor.consumer_name}")
            assert info["pause_remaining"] > 500e9
            assert said == []
        else:
            await until(lambda: bool(said))  # in all processes it is for a moment
            await anyio.sleep(0.3)
            assert of(on).paused


async def test_most_jobs_fail(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    ratio = Ratio(0.5, jobs=10, pause=1.0)
    fails = True

    async def handle(message: int) -> None:
        if fails and message % 2:
            raise ConnectionError("no database")

    actor = Actor("a", event, handle, max_jobs=1, retry_delay=(0.01,), pause_on_failures=ratio)
    async with running(url, actor) as on, second(url, actor, max_jobs=1) as other:
        await other.pause("a")
        await on.emit(*range(30))
        await until(lambda: of(on).paused)
        failed = of(on).failed
        assert 5 <= failed <= 12
        await until_paused(on, actor)
        fails = False
        await other.resume("a")
        await on.until_done(actor)
        assert of(on).failed == failed
    [said] = [one.getMessage() for one in caplog.records if "have failed" in one.getMessage()]
    assert said == (
        "actor 'a': of its last jobs, at least 10 within 60 s, 50 % or more have failed: it is "
        "paused for 1 s"
    )


async def until_paused(on: Stage, actor: Actor[Any, Any]) -> None:
    async def paused() -> bool:
        return await is_paused(on, actor)

    await until(paused)


@pytest.mark.parametrize("error", [Reject("never"), Snooze(0.01)])
async def test_what_the_handler_decides_is_no_failure(
    url: str, event: Event[int], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    seen: list[int] = []

    async def handle(message: int) -> None:
        seen.append(message)
        if len(seen) <= 10:
            raise error

    actor = Actor("a", event, handle, pause_on_failures=Ratio(0.1, jobs=2, pause=30))
    async with running(url, actor) as on:
        await on.emit(*range(20))
        await on.until_done(actor)
        assert not of(on).paused


# over all processes


async def test_jobs_of_all_processes_together(url: str, event: Event[int]) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, max_jobs_total=5, max_jobs=4)
    more = dataclasses.replace(actor, max_jobs_total=7)
    async with running(url, actor) as on, second(url, actor) as other:
        await on.emit(*range(20))

        def run() -> int:
            return of(on).running + other.statistics().actors[0].running

        await until(lambda: run() == 5)
        assert (await on.consumer(actor)).taken == 5
        assert of(on).slots == 4
        # More of them from now on, for those that listen already.
        async with Actors(more).connect(url) as conn:
            await conn.register()
        await until(lambda: run() == 7)
        gate.open()
        await on.until_done(actor)


async def test_fewer_in_all_than_in_one(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, gate := Gate(), max_jobs_total=2, priority=Priority.HIGH)
    other: Event[int] = dataclasses.replace(event, name=f"{event.name}-other")
    async with running(url, actor, Actor("other", other, Handled())) as on:
        await on.emit(*range(6))
        await until(lambda: of(on).running == 2)
        assert (of(on).slots, of(on).waiting) == (2, 0)
        assert (await on.consumer(actor)).config["max_ack_pending"] == 2
        gate.open()
        await on.until_done(actor)
