"""Under a mock clock the library and its server in memory live in the same time."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from tests.actors._stage import Stage, letters_of, running
from tests.support.mock_clocks import run_with_mock_clock
from walnats_anyio import Actor, Event, Events, Limits
from walnats_anyio._link import api, open_link
from walnats_anyio.testing import MemoryServer

HOUR = 3600.0

REAL_SECONDS = 30.0
"""What an hour may take on a machine that has other things to do; alone it is one or two."""


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def event() -> Event[int]:
    return Event("numbers", int)


@asynccontextmanager
async def playing(*actors: Actor[Any, Any]) -> AsyncIterator[tuple[MemoryServer, Stage]]:
    async with MemoryServer() as server, running(server.url, *actors) as on:
        yield server, on


def test_an_hour_of_retries_is_over_in_a_moment(backend: str, event: Event[int]) -> None:
    async def scene() -> list[float]:
        begun: list[float] = []

        async def handle(_: int) -> None:
            begun.append(anyio.current_time())
            if len(begun) < 7:
                raise ValueError

        actor = Actor("a", event, handle, retry_delay=(600,), max_jobs=1)
        async with playing(actor) as (_, on):
            await on.emit(1)
            await anyio.sleep(HOUR + 60)
            await on.until_done(actor)
        return begun

    real = time.monotonic()
    begun = run_with_mock_clock(backend, scene)
    assert time.monotonic() - real < REAL_SECONDS
    # A retry comes some milliseconds later than asked, never earlier.
    waits = [after - before for before, after in itertools.pairwise(begun)]
    assert len(waits) == 6
    assert all(600 <= wait < 600.5 for wait in waits)


def test_a_long_job_is_pulsed_and_run_once(backend: str, event: Event[int]) -> None:
    async def scene() -> int:
        runs = 0

        async def handle(_: int) -> None:
            nonlocal runs
            runs += 1
            await anyio.sleep(200)

        actor = Actor("a", event, handle, ack_wait=16, job_timeout=1000, max_jobs=1)
        async with playing(actor) as (_, on):
            await on.emit(1)
            await anyio.sleep(201)
            await on.until_done(actor)
        return runs

    assert run_with_mock_clock(backend, scene) == 1


def test_without_pulse_it_comes_again_after_ack_wait(backend: str, event: Event[int]) -> None:
    async def scene() -> list[float]:
        begun: list[float] = []

        async def handle(_: int) -> None:
            begun.append(anyio.current_time())
            if len(begun) == 1:
                await anyio.sleep(50)

        actor = Actor("a", event, handle, ack_wait=20, job_timeout=100, pulse=False, max_jobs=2)
        async with playing(actor) as (_, on):
            await on.emit(1)
            await anyio.sleep(60)
            await on.until_done(actor)
        return begun

    first, second = run_with_mock_clock(backend, scene)
    assert 20 <= second - first < 25


def test_an_event_that_is_too_old_is_dropped(backend: str) -> None:
    aged = Event("numbers", int, limits=Limits(age=60))

    async def scene() -> list[int]:
        counts: list[int] = []
        async with MemoryServer() as server, Events(aged).connect(server.url) as conn:
            await conn.register()
            async with open_link(server.url) as link:
                config = {"durable_name": "c", "ack_policy": "explicit"}
                body = {"stream_name": "numbers", "config": config}
                await api(link, "CONSUMER.CREATE.numbers.c", body)
                await conn.emit_many(aged, [1, 2], sync=True)
                for wait in (59, 2):
                    await anyio.sleep(wait)
                    info = await api(link, "STREAM.INFO.numbers")
                    counts.append(info["state"]["messages"])
        return counts

    assert run_with_mock_clock(backend, scene) == [2, 0]


def test_a_server_that_hangs_is_noticed(backend: str, event: Event[int]) -> None:
    """The keepalive counts the time of the loop as well, and what was sent arrives afterwards."""

    async def scene() -> tuple[int, list[int]]:
        handled: list[int] = []
        actor = Actor("a", event, handled.append, max_jobs=1)
        async with playing(actor) as (server, on):
            server.pause()
            await anyio.sleep(60)
            lost = not on.link.connected
            server.resume()
            await on.emit(1)
            await on.until_done(actor)
        return lost, handled

    lost, handled = run_with_mock_clock(backend, scene)
    assert lost
    assert handled == [1]


def test_an_outage_of_minutes(backend: str, event: Event[int]) -> None:
    async def scene() -> list[int]:
        handled: list[int] = []
        actor = Actor("a", event, handled.append, max_jobs=1)
        async with playing(actor) as (server, on):
            await server.stop()
            await anyio.sleep(600)
            await server.start()
            await on.emit(1)
            await on.until_done(actor)
        return handled

    assert run_with_mock_clock(backend, scene) == [1]


def test_the_same_seed_plays_the_same_times(event: Event[int]) -> None:
    async def scene() -> list[str]:
        async def handle(_: int) -> None:
            raise ValueError("no")

        actor = Actor("a", event, handle, max_attempts=3, retry_delay=(5, 50))
        async with playing(actor) as (server, on):
            await on.emit(1, 2)
            await anyio.sleep(60)
            await on.until_done(actor)
            return [str(letter.emitted_at) for letter in await letters_of(server.url, event)]

    times = run_with_mock_clock("trio", scene)
    assert times == run_with_mock_clock("trio", scene)
    assert times[0].startswith("2026-01-01 00:00:00")
