"""Tuning real handlers on a real server, in this process and in others.

What does not depend on the event loop is tested on one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

import walnats_anyio as walnats
from tests.support.waiting import DEADLINE
from tests.tune.handlers import Pool
from walnats_anyio import tune
from walnats_anyio._link import api, open_link
from walnats_anyio.testing import NatsServer
from walnats_anyio.tune import Progress, TuneError, Tuning, draw

pytestmark = pytest.mark.anyio

NUMBERS = walnats.Event("numbers", int)

SETTINGS: dict[str, Any] = {"max_jobs": (1, 4, 8), "budget": 3}
"""A few levels and little time: what is right is for `python -m tests.tune` to see."""


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
def url(server: NatsServer) -> str:
    return server.url


async def streams(url: str) -> list[str]:
    async with open_link(url) as link:
        return (await api(link, "STREAM.NAMES"))["streams"] or []


def pool_of(size: int) -> walnats.Actor[int, None]:
    return walnats.Actor("pool", NUMBERS, Pool(size, job=0.05))


async def test_it_recommends_the_size_of_the_pool(url: str) -> None:
    steps: list[Progress] = []
    with anyio.fail_after(DEADLINE):
        tuning = await tune(pool_of(4), url, progress=steps.append, **SETTINGS)
    assert tuning.recommended_max_jobs == 4
    assert (tuning.actor, tuning.event) == ("pool", "numbers")
    assert [point.max_jobs for point in tuning.points] == [1, 4, 8]
    assert tuning.advice.startswith("max_jobs=4: ")
    one, four, eight = tuning.points
    assert four.throughput > 2.5 * one.throughput
    # With twice the connections' jobs, half of them wait for one of those.
    assert eight.handling.p50 > 1.5 * four.handling.p50
    assert four.queueing is not None
    assert four.queueing.count > 10
    assert four.failed == 0
    assert 0 < four.cpu < 1
    assert four.memory > 10_000_000
    assert [step.max_jobs for step in steps if step.throughput] == [
        step.max_jobs for step in steps if step.throughput is None
    ]
    assert steps[-1].runs == sum(point.runs for point in tuning.points)


async def test_streams_of_others_are_not_touched_and_none_is_left(url: str) -> None:
    async with walnats.Events(NUMBERS).connect(url) as events:
        await events.register()
        await events.emit(NUMBERS, 7, sync=True)
    async with walnats.Actors(pool_of(4)).connect(url) as actors:
        await actors.register()
    before = await streams(url)
    got: list[int] = []
    actor = walnats.Actor("pool", NUMBERS, got.append)
    await tune(actor, url, messages=[1, 2], max_jobs=[1], budget=1)
    assert set(got) == {1, 2}
    assert await streams(url) == before
    async with open_link(url) as link:
        info = await api(link, "CONSUMER.INFO.numbers.pool")
        assert info["delivered"]["consumer_seq"] == 0
        await api(link, "STREAM.DELETE.numbers")


async def test_cancelling_it_leaves_nothing(url: str) -> None:
    before = await streams(url)
    with anyio.move_on_after(0.7) as scope:
        await tune(pool_of(4), url, budget=60)
    assert scope.cancelled_caught
    assert await streams(url) == before


# Matplotlib before 3.10 uses names that pyparsing has given up since.
@pytest.mark.filterwarnings("ignore:.*deprecated - use:DeprecationWarning")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_it_gives_is_json_and_a_chart(url: str, tmp_path: Path) -> None:
    tuning = await tune(pool_of(4), url, max_jobs=[1, 2, 4, 8], budget=3)
    assert msgspec.json.decode(msgspec.json.encode(tuning), type=Tuning) == tuning
    report = msgspec.to_builtins(tuning)
    assert {"recommended_max_jobs", "peak_max_jobs", "points", "fit"} <= report.keys()
    assert tuning.fit is not None
    for name, begins in (("chart.png", b"\x89PNG"), ("chart.svg", b"<?xml")):
        draw(tuning, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(begins)
    with pytest.raises(ValueError, match=r"must end in \.png"):
        draw(tuning, tmp_path / "chart.txt")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_handler_that_always_fails_cannot_be_tuned(url: str) -> None:
    def fail(number: int) -> None:
        raise LookupError("no such customer")

    with pytest.raises(TuneError, match=r"every job failed.*LookupError: no such customer"):
        await tune(walnats.Actor("fail", NUMBERS, fail), url, **SETTINGS)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_level_at_which_every_job_fails_is_no_choice(url: str) -> None:
    async def fail_when_busy(number: int) -> None:
        jobs = walnats.current_context().actor.max_jobs
        assert isinstance(jobs, int)
        if jobs > 4:
            raise ConnectionError("too many connections")
        await anyio.sleep(0.05)

    actor = walnats.Actor("limited", NUMBERS, fail_when_busy)
    tuning = await tune(actor, url, max_jobs=[4, 8], budget=3)
    assert tuning.recommended_max_jobs == 4
    assert tuning.points[1].failed == 1
    assert "jobs fail from max_jobs=8 on" in tuning.advice


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_jobs_that_fail_do_not_count(url: str) -> None:
    busy = 0

    async def fail_when_busy(number: int) -> None:
        nonlocal busy
        busy += 1
        try:
            if busy > 4:
                raise ConnectionError("too many connections")
            await anyio.sleep(0.05)
        finally:
            busy -= 1

    actor = walnats.Actor("limited", NUMBERS, fail_when_busy)
    tuning = await tune(actor, url, max_jobs=[1, 4, 8], budget=3)
    assert tuning.recommended_max_jobs == 4
    assert [point.failed > 0 for point in tuning.points] == [False, False, True]
    assert "jobs fail from max_jobs=8 on" in tuning.advice


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_lifespan_of_the_actors_is_entered(url: str, tmp_path: Path) -> None:
    name = f"lived_{secrets.token_hex(4)}"
    (tmp_path / f"{name}.py").write_text(LIVED)
    tuning = await in_directory(tmp_path, f"{name}:ACTORS", url)
    assert tuning.recommended_max_jobs in (1, 4)


LIVED = """
from contextlib import asynccontextmanager
import anyio
import walnats_anyio as walnats

@asynccontextmanager
async def lifespan(connected):
    yield anyio.CapacityLimiter(4)

async def handle(number):
    print("{what handlers print is in nobody's way")
    async with walnats.current_context().state:
        await anyio.sleep(0.01)

ACTOR = walnats.Actor("lived", walnats.Event("numbers", int), handle)
ACTORS = walnats.Actors(ACTOR, lifespan=lifespan)
"""

MODULE = """
import os
import anyio
import walnats_anyio as walnats

async def handle(number):
    print("{what handlers print is in nobody's way")
    await anyio.sleep(0.01)

def die(number):
    os._exit(7)

ACTOR = walnats.Actor("sleep", walnats.Event("numbers", int), handle)
DIES = walnats.Actor("dies", walnats.Event("numbers", int), die)
BOTH = walnats.Actors(ACTOR, DIES)
"""


async def in_directory(directory: Path, target: str, url: str, **settings: Any) -> Tuning:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        given: dict[str, Any] = {"max_jobs": [1, 4], "budget": 2}
        return await tune(target, url, **(given | settings))


@pytest.fixture
def module(tmp_path: Path) -> str:
    name = f"tuned_{secrets.token_hex(4)}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    return name


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_settings_are_compared_in_processes(url: str, module: str, tmp_path: Path) -> None:
    tuning = await in_directory(
        tmp_path, f"{module}:ACTOR", url, workers=(1, 2), max_jobs=[4], budget=3
    )
    one, two = tuning.curves
    assert (one.setting.workers, two.setting.workers) == (1, 2)
    assert two.points[0].throughput == pytest.approx(2 * one.points[0].throughput, rel=0.4)
    assert tuning.setting == two.setting
    assert tuning.advice.startswith("asyncio, 2 workers: max_jobs=4") or "trio" in tuning.advice


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_handler_that_ends_its_process_cannot_be_tuned(
    url: str, module: str, tmp_path: Path
) -> None:
    with pytest.raises(TuneError, match="worker process 1 died"):
        await in_directory(tmp_path, f"{module}:BOTH", url, name="dies")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_bad_input_is_refused_before_anything_runs(url: str, module: str) -> None:
    actor = pool_of(4)
    with pytest.raises(ValueError, match=r"budget must be 1 to"):
        await tune(actor, url, budget=0)
    with pytest.raises(ValueError, match="max_jobs must be at least 1"):
        await tune(actor, url, max_jobs=0)
    with pytest.raises(ValueError, match="max_jobs is an empty list"):
        await tune(actor, url, max_jobs=[])
    with pytest.raises(ValueError, match="give 'MODULE:NAME' in place of the Actor"):
        await tune(actor, url, workers=(1, 2))
    with pytest.raises(ValueError, match="each of backends must be 'asyncio' or 'trio'"):
        await tune(actor, url, backends=("curio",))
    with pytest.raises(ValueError, match="messages are empty"):
        await tune(actor, url, messages=[])
    with pytest.raises(TypeError, match="takes int"):
        await tune(actor, url, messages=["seven"])
    with pytest.raises(ValueError, match="does not say where the actor is"):
        await tune("tests.tune.handlers", url)
    with pytest.raises(ValueError, match="there is no actor 'pack'"):
        await tune("tests.tune.handlers:SLEEP", url, name="pack")
    with pytest.raises(TypeError, match="is no Actor"):
        await tune("tests.tune.handlers:BEST", url)
