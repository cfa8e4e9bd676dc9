"""Events that their handler does not want now: they come again, and it was no attempt."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from tests.actors._stage import letters_of, running, stage
from tests.support.recorders import Recorder
from tests.support.waiting import until
from walnats_anyio import Actor, Event, ExecuteIn, Snooze

pytestmark = pytest.mark.anyio


class Snoozes:
    """A handler that snoozes so many times, then returns."""

    def __init__(self, times: int, delay: float = 0.05) -> None:
        self.left = times
        self.times: list[float] = []
        self._delay = delay

    def __call__(self, message: Any) -> None:
        self.times.append(monotonic())
        if self.left:
            self.left -= 1
            raise Snooze(self._delay)


def snooze_for_an_hour(message: Any) -> None:
    raise Snooze(3600)


async def test_it_is_no_attempt(url: str, event: Event[int]) -> None:
    handler = Snoozes(3)
    recorder = Recorder()
    actor = Actor("a", event, handler, max_attempts=1, middlewares=(recorder,))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
        done = on.actors.statistics().actors[0]
    assert recorder.attempts == [1, 1, 1, 1]
    assert (recorder.failed, recorder.succeeded) == ([], [1])
    assert (done.handled, done.failed, done.handed_back) == (1, 0, 3)
    assert await letters_of(url, event) == []
    for earlier, later in zip(handler.times, handler.times[1:], strict=False):
        assert later - earlier >= 0.05 - 0.01


async def test_an_attempt_before_it_still_counts(url: str, event: Event[int]) -> None:
    raised: list[Exception] = [ValueError("one"), Snooze(0.02), ValueError("two")]

    async def handle(message: int) -> None:
        raise raised.pop(0)

    actor = Actor("a", event, handle, max_attempts=2, retry_delay=(0,))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    (letter,) = await letters_of(url, event)
    assert (letter.attempts, letter.error) == (2, "two")


async def test_without_hooks_and_after_waiting(url: str, event: Event[int]) -> None:
    """The two ways in which a job ends: at once, and after its handler has waited."""
    waits = Snoozes(2)

    async def handle(message: int) -> None:
        await on.link.flush()
        waits(message)

    actors = (Actor("at-once", event, Snoozes(2)), Actor("waits", event, handle))
    async with running(url, *actors) as on:
        await on.emit(1)
        await on.until_done(*actors)
        done = on.actors.statistics().actors
    assert [(each.handled, each.handed_back) for each in done] == [(1, 2), (1, 2)]


@pytest.mark.parametrize("place", [ExecuteIn.THREAD, ExecuteIn.PROCESS])
async def test_in_threads_and_processes(url: str, event: Event[int], place: ExecuteIn) -> None:
    actor = Actor("a", event, snooze_for_an_hour, execute_in=place, max_attempts=1)
    async with running(url, actor, max_processes=1) as on:
        await on.emit(1)
        await until(lambda: on.actors.statistics().actors[0].handed_back == 1)
        shown = on.actors.statistics().actors[0]
        # An event that waits so long does so as a copy where the server keeps schedules.
        assert (shown.parked, shown.postponed) in ((1, 0), (0, 1))
    assert await letters_of(url, event) == []


async def test_a_burst_leaves_it_for_the_next(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Snoozes(1, 0.001))
    async with stage(url, actor) as on:
        await on.emit(1)
        summary = await on.actors.listen(burst=True, poll_delay=0)
        assert (summary.handled, summary.handed_back) == (0, 1)
        while not summary.handled:
            summary = await on.actors.listen(burst=True)


@pytest.mark.parametrize(("error", "level"), [(lambda: Snooze(0.02), "DEBUG"), (OSError, "ERROR")])
async def test_what_the_log_says(
    url: str,
    event: Event[int],
    caplog: pytest.LogCaptureFixture,
    error: Callable[[], Exception],
    level: str,
) -> None:
    left = [error()]

    async def handle(message: int) -> None:
        if left:
            raise left.pop()

    caplog.set_level(logging.DEBUG, "walnats_anyio.actors")
    actor = Actor("a", event, handle, retry_delay=(0.02,))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    lines = [r for r in caplog.records if r.getMessage().endswith("again in 0.02 s")]
    assert [line.levelname for line in lines] == [level]
