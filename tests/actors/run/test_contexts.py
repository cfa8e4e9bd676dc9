"""Each job runs in a context of its own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trio

from tests.actors._stage import running
from tests.support.recorders import Handled
from walnats_anyio import Actor, Event, ExecuteIn
from walnats_anyio.middlewares import Context, Middleware, OkContext

pytestmark = pytest.mark.anyio

MARK: contextvars.ContextVar[int] = contextvars.ContextVar("mark", default=-1)


class Leaks:
    """Sets a context variable in each job, and notes those that were set already."""

    def __init__(self) -> None:
        self.found: list[int] = []
        self.done = 0

    def look(self, expected: int) -> None:
        if (mark := MARK.get()) != expected:
            self.found.append(mark)

    def plain(self, message: int) -> None:
        self.look(-1)
        MARK.set(message)
        self.done += 1

    async def coroutine(self, message: int) -> None:
        self.plain(message)

    async def suspending(self, message: int) -> None:
        self.look(-1)
        token = MARK.set(message)
        await anyio.lowlevel.checkpoint()
        self.look(message)
        MARK.reset(token)  # only possible in the context in which it was set
        self.look(-1)
        await anyio.sleep(0.001)
        MARK.set(message)
        await anyio.sleep(0.001)
        self.look(message)
        self.done += 1

    async def in_tasks(self, message: int) -> None:
        async def child() -> None:
            self.look(message)
            MARK.set(message + 1000)
            await anyio.lowlevel.checkpoint()
            self.look(message + 1000)

        self.look(-1)
        MARK.set(message)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child)
            tasks.start_soon(child)
        self.look(message)
        self.done += 1

    async def in_threads(self, message: int) -> None:
        self.look(-1)
        MARK.set(message)
        assert await anyio.to_thread.run_sync(MARK.get) == message
        self.look(message)
        self.done += 1

    async def failing(self, message: int) -> None:
        await self.suspending(message)
        raise ValueError

    async def cancelled(self, message: int) -> None:
        self.look(-1)
        MARK.set(message)
        self.done += 1
        try:
            await anyio.sleep_forever()
        finally:
            self.look(message)


@pytest.mark.parametrize(
    "kind",
    [
        Leaks.plain,
        Leaks.coroutine,
        Leaks.suspending,
        Leaks.in_tasks,
        Leaks.in_threads,
        Leaks.failing,
        Leaks.cancelled,
    ],
)
@pytest.mark.parametrize("max_jobs", [1, 8])
async def test_a_job_does_not_see_what_another_has_set(
    url: str, event: Event[int], kind: Callable[[Leaks, Any], Any], max_jobs: int
) -> None:
    leaks = Leaks()
    handler = kind.__get__(leaks)
    fails = kind in (Leaks.failing, Leaks.cancelled)
    actor = Actor(
        "a",
        event,
        handler,
        max_jobs=max_jobs,
        job_timeout=0.1 if kind is Leaks.cancelled else 30,
        retry_delay=(3600,),
    )
    async with running(url, actor) as on:
        await on.emit(*range(16))
        await _until_done(leaks)
        if not fails:
            await on.until_done(actor)
    assert leaks.done == 16
    assert leaks.found == []
    assert MARK.get() == -1


async def _until_done(leaks: Leaks) -> None:
    with anyio.fail_after(30):
        while leaks.done < 16:
            await anyio.sleep(0.01)


async def test_threads_neither(url: str, event: Event[int]) -> None:
    leaks = Leaks()
    actor = Actor("a", event, leaks.plain, execute_in=ExecuteIn.THREAD)
    async with running(url, actor, max_threads=1) as on:
        await on.emit(*range(16))
        await on.until_done(actor)
    assert (leaks.done, leaks.found) == (16, [])


async def test_handlers_see_what_was_set_around_listen(url: str, event: Event[int]) -> None:
    seen: list[int] = []
    token = MARK.set(7)
    try:
        actor = Actor("a", event, lambda _: seen.append(MARK.get()))
        async with running(url, actor) as on:
            await on.emit(1, 2, 3)
            await on.until_done(actor)
    finally:
        MARK.reset(token)
    assert seen == [7, 7, 7]


async def test_thread_locals_of_the_event_loop_are_its_own(url: str, event: Event[int]) -> None:
    """The handler runs in the thread and the task of the event loop, as libraries expect."""
    threads: list[int] = []

    async def handle(message: int) -> None:
        threads.append(threading.get_ident())
        if trio.lowlevel.in_trio_run():
            task: object = trio.lowlevel.current_task()
        else:
            task = asyncio.current_task()
        assert task is not None
        await anyio.lowlevel.checkpoint()
        assert anyio.get_current_task().id == id(task)
        await handled(message)

    handled = Handled()
    actor = Actor("a", event, handle)
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert threads == [threading.get_ident()]
    assert handled.messages == [1]


async def test_hooks_see_the_task_of_the_job(url: str, event: Event[int]) -> None:
    """What a hook sets, the handler may see; and no other job does."""
    seen: list[tuple[int, int]] = []

    class Marking(Middleware):
        def on_start(self, ctx: Context, /) -> None:
            MARK.set(ctx.message)

        def on_success(self, ctx: OkContext, /) -> None:
            MARK.set(-1)

    async def handle(message: int) -> None:
        await anyio.lowlevel.checkpoint()
        seen.append((message, MARK.get()))

    actor = Actor("a", event, handle, middlewares=(Marking(),))
    async with running(url, actor) as on:
        await on.emit(*range(50))
        await on.until_done(actor)
    assert all(message == mark for message, mark in seen)
