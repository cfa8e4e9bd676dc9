"""Who goes on in which turn of the event loop. No server, and no handlers."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.support.waiting import until
from walnats_anyio._actors.run._pace import STEP_BUDGET, Pace
from walnats_anyio._link._parking import current_backend

pytestmark = pytest.mark.anyio


def new_pace() -> Pace:
    return Pace(current_backend().new_spot)


def end(pace: Pace) -> None:
    """Also where it is broken: nothing cancels a handler that stands in the line."""
    pace.stop()
    while pace._steps:
        pace._steps.popleft().wake()


class Turns:
    """Counts who goes on in which turn.

    On trio, the order in a turn is random, so two turns that follow each other may count as one.
    """

    def __init__(self) -> None:
        self.now = 0
        self.took: Counter[int] = Counter()

    async def count(self) -> None:
        while True:
            self.now += 1
            await checkpoint()

    async def wait(self, wait: Callable[[], Awaitable[None]]) -> None:
        await wait()
        self.took[self.now] += 1


@asynccontextmanager
async def counted(
    pace: Pace, waits: Callable[[], Awaitable[None]], many: int
) -> AsyncIterator[Turns]:
    """The turns in which so many tasks go on that begin to wait together."""
    turns = Turns()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turns.count)
        tasks.start_soon(pace.let_go_on)
        for _ in range(many):
            tasks.start_soon(turns.wait, waits)
        try:
            await until(lambda: turns.took.total() == many)
            yield turns
        finally:
            end(pace)
            tasks.cancel_scope.cancel()


async def test_one_worker_goes_on_in_each_turn() -> None:
    """Whoever embeds us waits for one handler, not for all of them."""
    pace = new_pace()
    async with counted(pace, pace.breathe, 20) as turns:
        # The first one of a turn need not stand in the line.
        assert max(turns.took.values()) <= 3


async def test_so_many_handlers_go_on_as_a_turn_has_time_for() -> None:
    """By what their steps took before: neither all of them, nor one at a time."""
    pace, step = new_pace(), STEP_BUDGET / 6
    for _ in range(100):
        pace.step_ended(step)
    assert pace.is_over
    async with counted(pace, pace.next_turn, 30) as turns:
        assert max(turns.took.values()) <= 2 * 6
        assert len(turns.took) <= 8
        assert not pace.is_over


async def test_a_cancellation_does_not_keep_handlers_in_the_line() -> None:
    """What they waited for has come, so nothing cancels them: somebody has to let them go on."""
    pace, gone_on = new_pace(), 0

    async def step() -> None:
        nonlocal gone_on
        await pace.next_turn()
        gone_on += 1

    async def let_go_on() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await pace.let_go_on()

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(step)
        tasks.start_soon(let_go_on)
        try:
            await until(lambda: gone_on == 3, within=5)
        finally:
            end(pace)
