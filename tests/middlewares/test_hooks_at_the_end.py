"""Hooks are part of a job: whoever lets jobs finish lets them finish."""

from __future__ import annotations

import anyio
import pytest

from tests.actors._stage import stage
from tests.support.recorders import Gate, Handled
from walnats_anyio import Actor, Event
from walnats_anyio.middlewares import Middleware, OkContext

pytestmark = pytest.mark.anyio


class Waiting(Middleware):
    """Its `on_success` takes a while."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def on_success(self, ctx: OkContext, /) -> None:
        await self._gate(ctx.message)


async def test_a_shutdown_waits_for_the_last_hooks(url: str, event: Event[int]) -> None:
    jobs, hooks = Gate(), Gate()
    actor = Actor("a", event, jobs, middlewares=(Waiting(hooks),))
    async with stage(url, actor) as on:
        await on.emit(1, 2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await jobs.come(2)
            on.actors.shutdown()
            jobs.open()
            await hooks.come(2)
            await on.until_done(actor)
            hooks.open()
    assert sorted(hooks.finished) == [1, 2]


async def test_a_burst_waits_for_the_last_hooks(url: str, event: Event[int]) -> None:
    ended: list[int] = []

    class Slow(Middleware):
        async def on_success(self, ctx: OkContext, /) -> None:
            await anyio.sleep(0.1)
            ended.append(ctx.message)

    actor = Actor("a", event, Handled(), middlewares=(Slow(),))
    async with stage(url, actor) as on:
        await on.emit(1, 2, 3)
        await on.actors.listen(burst=True)
    assert sorted(ended) == [1, 2, 3]


async def test_a_shutdown_waits_no_longer_than_it_should(url: str, event: Event[int]) -> None:
    jobs, hooks = Gate(), Gate()
    actor = Actor("a", event, jobs, middlewares=(Waiting(hooks),))
    async with stage(url, actor) as on:
        await on.emit(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: on.actors.listen(shutdown_timeout=0.2))
            await jobs.come(1)
            jobs.open()
            await hooks.come(1)
            on.actors.shutdown()
    assert hooks.running == 0
    assert not hooks.finished
