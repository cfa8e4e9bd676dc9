"""`listen` says what it did."""

from __future__ import annotations

import logging

import anyio
import pytest

from tests.actors._stage import stage
from tests.support.recorders import Gate, Handled
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actor, Event, Reject
from walnats_anyio.types import ActorSummary, Ended, Summary

pytestmark = pytest.mark.anyio


def counts_of(summary: Summary) -> tuple[int, int, int, int]:
    return summary.handled, summary.failed, summary.dead_lettered, summary.handed_back


async def test_what_became_of_the_events(url: str, event: Event[int]) -> None:
    failures = iter([ValueError("not yet"), Reject("never")])

    async def fail(message: int) -> None:
        if message == 0 and (failure := next(failures, None)):
            raise failure

    good, bad = Actor("good", event, Handled()), Actor("bad", event, fail, retry_delay=())
    async with stage(url, good, bad) as on:
        await on.emit(0, 1, 2)
        summaries: list[Summary] = []
        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                summaries.append(await on.actors.listen())

            tasks.start_soon(listen)
            await on.until_done(good, bad)
            on.actors.shutdown()
    (summary,) = summaries
    assert summary.actors == (
        ActorSummary("good", event.name, handled=3, failed=0, dead_lettered=0, handed_back=0),
        ActorSummary("bad", event.name, handled=2, failed=1, dead_lettered=1, handed_back=0),
    )
    assert counts_of(summary) == (5, 1, 1, 0)
    assert 0 < summary.seconds < DEADLINE
    assert str(summary).startswith("5 handled, 1 failed, 1 dead-lettered, 0 handed back in ")


async def test_cancelled_it_is_in_the_log(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "walnats_anyio.actors")
    gate = Gate()
    actor = Actor("a", event, gate)
    async with stage(url, actor) as on:
        await on.emit(1, 2, 3)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await gate.come(3)
            tasks.cancel_scope.cancel()
        await until(lambda: "0 handled, 0 failed, 0 dead-lettered, 3 handed back" in caplog.text)


async def test_a_burst_that_finds_nothing(url: str, event: Event[int]) -> None:
    async with stage(url, Actor("a", event, Handled())) as on:
        summary = await on.actors.listen(burst=True, poll_delay=0)
    assert counts_of(summary) == (0, 0, 0, 0)
    assert summary.ended is Ended.BURST
    assert str(summary).endswith(" s (burst)")


@pytest.mark.parametrize(
    ("busy", "shutdown_timeout", "ended"),
    [
        (False, None, Ended.SHUTDOWN),
        (False, 0, Ended.SHUTDOWN),
        (True, None, Ended.SHUTDOWN),
        (True, 0, Ended.SHUTDOWN_TIMEOUT),
        (True, 0.1, Ended.SHUTDOWN_TIMEOUT),
    ],
)
async def test_why_it_ended(
    url: str, event: Event[int], busy: bool, shutdown_timeout: float | None, ended: Ended
) -> None:
    """Nobody has to guess from the time that it took."""
    gate = Gate()
    actor = Actor("a", event, gate)
    summaries: list[Summary] = []
    async with stage(url, actor) as on:

        async def listen(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            summaries.append(
                await on.actors.listen(shutdown_timeout=shutdown_timeout, task_status=task_status)
            )

        async with anyio.create_task_group() as tasks:
            await tasks.start(listen)
            if busy:
                await on.emit(1)
                await gate.come(1)
            on.actors.shutdown()
            if shutdown_timeout is None:
                gate.open()
    (summary,) = summaries
    assert summary.ended is ended
    cut_short = ended is Ended.SHUTDOWN_TIMEOUT
    assert (summary.handled, summary.handed_back) == (busy and not cut_short, cut_short)
