"""`max_jobs="auto"`: the number of jobs follows what the handler can do, on the real server."""

from __future__ import annotations

import logging

import anyio
import pytest

from tests.actors._stage import Stage, listening, run_of, running, stage
from tests.support.recorders import Gate
from tests.support.waiting import until
from walnats_anyio import Actor, Auto, Event
from walnats_anyio.types import AutoStatistics

pytestmark = pytest.mark.anyio

JOB = 0.02
"""Seconds that a job takes."""


class Busy:
    """How many jobs run, and at most at once since it was asked last."""

    def __init__(self, places: int | None = None, seconds: float = JOB) -> None:
        self._seconds = seconds
        self._places = None if places is None else anyio.Semaphore(places)
        self.now = self.most = 0

    async def __call__(self, message: int) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self._places is None:
                await anyio.sleep(self._seconds)
            else:
                async with self._places:
                    await anyio.sleep(self._seconds)
        finally:
            self.now -= 1


def found(on: Stage) -> AutoStatistics:
    shown = on.actors.statistics().actors[0]
    assert shown.auto is not None
    assert shown.slots == shown.auto.limit
    return shown.auto


async def test_jobs_that_do_not_compete(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "walnats_anyio.actors")
    actor = Actor("a", event, busy := Busy(), max_jobs="auto")
    async with running(url, actor, max_jobs=12) as on:
        assert found(on).goal == 8
        assert busy.most == 0
        await on.emit(*range(3000))
        await until(lambda: found(on).goal == 12)
        await until(lambda: busy.most == 12)
    said = [record.getMessage() for record in caplog.records if "it would run" in record.message]
    assert len(said) == 1
    assert said[0].startswith(
        "actor 'a': with max_jobs='auto' it would run more than the 12 jobs at once that "
        "listen(max_jobs=12) allows; now a job takes 0.0"
    )


async def test_jobs_that_compete(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Busy(places=2, seconds=JOB / 4), max_jobs=Auto(start=16, most=16))
    async with running(url, actor) as on:
        await on.emit(*range(4000))
        await until(lambda: found(on).probes >= 1 and found(on).goal <= 8)


async def test_fewer_jobs_from_now_on(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, busy := Busy(), max_jobs=16)
    async with running(url, actor) as on:
        workers = run_of(on.actors).workers
        await on.emit(*range(400))
        await until(lambda: busy.now == 16)
        workers.limit_to(2)
        await until(lambda: busy.now == 2)
        busy.most = 0
        handled = on.actors.statistics().actors[0].handled
        await until(lambda: on.actors.statistics().actors[0].handled > handled + 20)
        assert busy.most == 2
        await until(lambda: run_of(on.actors).consumer.requested <= 2)
        workers.limit_to(8)
        await until(lambda: busy.most == 8)


async def test_fewer_jobs_while_all_of_them_run(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, gate := Gate(), max_jobs=4)
    async with running(url, actor) as on:
        await on.emit(*range(12))
        await until(lambda: on.actors.statistics().actors[0].running == 4)
        run_of(on.actors).workers.limit_to(1)
        gate.open()
        await on.until_done(actor)
        assert on.actors.statistics().actors[0].handled == 12
        assert on.actors.statistics().actors[0].slots == 1


async def test_between_two_runs(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Busy(), max_jobs="auto")
    async with stage(url, actor) as on:
        assert on.actors.statistics().actors[0].auto is None
        async with listening(on.actors):
            assert found(on).goal == 8
        assert on.actors.statistics().actors[0].auto is None


async def test_not_above_max_ack_pending(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Busy(), max_jobs="auto", max_ack_pending=10)
    async with running(url, actor, max_jobs=64) as on:
        await on.emit(*range(1500))
        await until(lambda: found(on).goal == 10)
