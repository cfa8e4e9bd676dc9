"""Structured concurrency: cancellations, deadlines, contexts and the end of connections."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from itertools import groupby
from time import monotonic
from typing import Any

import anyio
import pytest
import trio
import trio.testing
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

import walnats_anyio as walnats
from tests.actors._stage import breaking, listening, running, stage
from tests.support.recorders import Gate, Handled, Recorder
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actor, Actors, Event, Events
from walnats_anyio.middlewares import Context, Middleware, OkContext

pytestmark = pytest.mark.anyio

both = pytest.mark.parametrize("max_attempts", [1, 3])


# Cancellations that come past all scopes (asyncio only)


class Stubborn:
    """Its first runs wait for ever; it notes who was run how often."""

    def __init__(self) -> None:
        self.started: list[int] = []

    async def __call__(self, number: int) -> None:
        self.started.append(number)
        await anyio.sleep_forever()


@both
def test_the_end_of_asyncio_run_is_no_failure(
    url: str, event: Event[int], max_attempts: int
) -> None:
    recorder, stubborn = Recorder(), Stubborn()
    actor = Actor(
        "stubborn", event, stubborn, max_jobs=20, max_attempts=max_attempts, middlewares=[recorder]
    )

    async def service() -> None:
        async with Actors(actor).connect(url) as conn:
            await conn.listen(max_jobs=20)

    async def main() -> asyncio.Task[None]:
        async with stage(url, actor) as staged:
            await staged.emit(*range(40))
        task = asyncio.get_running_loop().create_task(service())
        await until(lambda: len(stubborn.started) == 20)
        return task

    assert asyncio.run(main()).cancelled()
    assert recorder.failed == []
    handled = Recorder()

    async def quiet(_: int) -> None: ...

    async def again() -> Any:
        after = Actor("stubborn", event, quiet, max_attempts=max_attempts, middlewares=[handled])
        async with Actors(after).connect(url) as conn:
            return await conn.listen(burst=True)

    summary = asyncio.run(again())
    assert (summary.handled, summary.dead_lettered) == (40, 0)
    assert set(handled.attempts) == {1}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_native_cancel_of_every_worker(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever cancels all tasks of a listen costs no attempt; others take their place."""
    gate, recorder = Gate(), Recorder()
    actor = Actor("gate", event, gate, max_jobs=4, max_attempts=1, middlewares=[recorder])
    async with stage(url, actor) as staged, listening(staged.actors):
        for more in range(3):
            await staged.emit(*range(8))
            await gate.come(4 * (more + 1))
            for task in asyncio.all_tasks():
                if task.get_name() in ("walnats/worker", "walnats/jobs", "walnats/clock"):
                    task.cancel()
            await until(lambda: "takes its place" in caplog.text)
            caplog.clear()
        gate.open()
        await staged.until_done(actor)
    assert recorder.failed == []
    assert sorted(recorder.succeeded) == sorted([*range(8)] * 3)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_native_cancel_of_workers_that_have_not_begun(url: str, event: Event[int]) -> None:
    """They end the task group quietly. `listen` says so: nobody has asked for an end."""

    async def handle(number: int) -> None:
        mine = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task.get_name() == "walnats/worker" and task is not mine:
                task.cancel()
        await anyio.sleep_forever()

    actor = Actor("a", event, handle, max_jobs=4)
    async with stage(url, actor) as staged:
        await staged.emit(*range(4))
        async with breaking(staged.actors, walnats.WalnatsError):
            pass
    gc.collect()  # anyio leaves the coroutines of such tasks without ever having awaited them


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_native_cancel_of_parked_workers(url: str, event: Event[int]) -> None:
    handled = Handled()

    async def wait(number: int) -> None:
        await checkpoint()
        await handled(number)

    actor = Actor("parked", event, wait, max_jobs=4, max_attempts=1)
    async with stage(url, actor) as staged, listening(staged.actors):
        await staged.emit(*range(8))
        await staged.until_done(actor)
        for task in asyncio.all_tasks():
            if task.get_name() in ("walnats/worker", "walnats/jobs"):
                task.cancel()
        await staged.emit(*range(8, 16))
        await handled.come(16)
    assert sorted(handled.messages) == [*range(16)]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelled_natively_and_once_more_a_little_later(url: str, event: Event[int]) -> None:
    """As by Ctrl-C and then by `asyncio.run`, while the last words wait for the server."""
    actor = Actor("twice", event, Handled())
    async with stage(url, actor) as staged:
        for turns in range(12):
            status = Started()
            coroutine = staged.actors.listen(task_status=status)
            listen = asyncio.get_running_loop().create_task(coroutine)
            await status.event.wait()
            listen.cancel()
            for _ in range(turns):
                await asyncio.sleep(0)
            listen.cancel()
            with anyio.fail_after(DEADLINE):
                await asyncio.wait([listen])
            assert listen.cancelled()


class Started(TaskStatus[None]):
    def __init__(self) -> None:
        self.event = anyio.Event()

    def started(self, value: None = None) -> None:
        self.event.set()


# Deadlines


async def test_a_handler_sees_its_time_limit(url: str, event: Event[int]) -> None:
    seen: list[float] = []

    async def handler(_: int) -> None:
        seen.append(anyio.current_effective_deadline() - anyio.current_time())
        await anyio.sleep(0.05)
        seen.append(anyio.current_effective_deadline() - anyio.current_time())

    actor = Actor("deadline", event, handler, job_timeout=20.0)
    async with stage(url, actor) as staged, listening(staged.actors):
        await staged.emit(1)
        await staged.until_done(actor)
    before, after = seen
    assert 15.0 < after < before <= 20.0
    assert before - after >= 0.04


def test_a_mock_clock_ends_a_job(url: str, event: Event[int]) -> None:
    recorder = Recorder()
    ended: list[float] = []

    async def handler(number: int) -> None:
        if number:
            began = trio.current_time()
            try:
                await trio.sleep(500)
            finally:
                ended.append(trio.current_time() - began)

    actor = Actor(
        "clock", event, handler, job_timeout=100.0, max_attempts=1, middlewares=[recorder]
    )
    clock = trio.testing.MockClock()

    async def main() -> None:
        async with stage(url, actor) as staged, anyio.create_task_group() as tasks:
            await tasks.start(staged.actors.listen)
            await staged.emit(0, 1)
            while len(recorder.attempts) < 2:
                await checkpoint()
            await checkpoint()
            clock.jump(99.0)
            for _ in range(20):
                await checkpoint()
            assert ended == []
            clock.jump(2.0)
            while not recorder.failed:
                await checkpoint()
            staged.actors.shutdown()

    trio.run(main, clock=clock)
    assert len(ended) == 1
    assert 100.0 <= ended[0] <= 102.0
    assert isinstance(recorder.errors[0], TimeoutError)


# Context variables

VARIABLE: ContextVar[int] = ContextVar("VARIABLE", default=0)


class Setter(Middleware):
    def __init__(self) -> None:
        self.found: list[int] = []
        self.left: list[int] = []

    async def on_start(self, ctx: Context, /) -> None:
        self.found.append(VARIABLE.get())
        await checkpoint()
        VARIABLE.set(ctx.message)

    def on_success(self, ctx: OkContext, /) -> None:
        self.left.append(VARIABLE.get())


async def test_a_context_for_each_job(url: str, event: Event[int]) -> None:
    setter = Setter()
    seen: list[tuple[int, int, int]] = []

    async def handler(number: int) -> None:
        first = VARIABLE.get()
        await checkpoint()
        VARIABLE.set(VARIABLE.get() + 1000)
        await checkpoint()
        seen.append((number, first, VARIABLE.get()))

    actor = Actor("context", event, handler, max_jobs=2, middlewares=[setter])
    async with stage(url, actor) as staged, listening(staged.actors):
        await staged.emit(*range(1, 21))
        await staged.until_done(actor)
    assert set(setter.found) == {0}
    assert sorted(seen) == [(number, number, number + 1000) for number in range(1, 21)]
    assert sorted(setter.left) == [number + 1000 for number in range(1, 21)]


# The end of a connection


@pytest.mark.parametrize("how", ["return", "raise"])
async def test_leaving_a_connection_while_it_listens(url: str, event: Event[int], how: str) -> None:
    """`listen` in an outer task is stopped first: it hands back, and says why."""
    stubborn, recorder = Stubborn(), Recorder()
    actor = Actor("outer", event, stubborn, max_attempts=1, max_jobs=3, middlewares=[recorder])
    errors: list[BaseException] = []

    async def body(tasks: anyio.abc.TaskGroup) -> None:
        async def listen(conn: walnats.types.ConnectedActors) -> None:
            try:
                await conn.listen()
            except walnats.WalnatsError as error:
                errors.append(error)

        async with Actors(actor).connect(url) as conn:
            tasks.start_soon(listen, conn)
            await until(lambda: len(stubborn.started) == 3)
            if how == "raise":
                raise ValueError("the body's own")

    async with stage(url, actor) as staged:
        await staged.emit(*range(6))
        summary: Any = None
        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                if how == "raise":
                    with pytest.raises(ValueError, match="the body's own"):
                        await body(tasks)
                else:
                    await body(tasks)
                again = Actor("outer", event, Handled())
                async with Actors(again).connect(url) as conn:
                    summary = await conn.listen(burst=True)
        (error,) = errors
        assert isinstance(error, walnats.ConnectionLostError)
        assert "was left while `listen` ran on" in str(error)
        assert recorder.failed == []
        assert summary.handled == 6


async def test_leaving_a_connection_after_its_listen(url: str, event: Event[int]) -> None:
    actor = Actor("ended", event, Handled())
    async with stage(url, actor) as staged:
        with anyio.move_on_after(0.1):
            await staged.actors.listen()
        began = time.monotonic()
    assert time.monotonic() - began < 2.0


async def test_one_error_comes_out_as_itself(url: str, event: Event[int]) -> None:
    actor = Actor("gone", event, Handled())
    async with stage(url, actor) as staged:
        caught: list[BaseException] = []

        async def listen() -> None:
            try:
                await staged.actors.listen()
            except BaseException as error:
                caught.append(error)
                raise

        with anyio.fail_after(DEADLINE), pytest.raises(BaseException):  # noqa: B017, PT011, PT012
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen)
                await until(lambda: staged.actors._listening is not None)

                async def asked() -> bool:
                    return (await staged.consumer(actor)).requested > 0

                await until(asked)
                await walnats_api(staged, actor)
    assert type(caught[0]) is walnats.ConsumerConfigError, caught


async def walnats_api(staged: Any, actor: Actor[Any, Any]) -> None:
    from walnats_anyio._link import api

    await api(staged.link, f"CONSUMER.DELETE.{actor.event.stream_name}.{actor.consumer_name}")


async def test_no_cycle_after_a_normal_exit(url: str, event: Event[int]) -> None:
    """Without the garbage collector, a connection is gone when it was left."""
    handled = Handled()
    actor = Actor("cycle", event, handled)

    async def run() -> list[weakref.ref[Any]]:
        async with stage(url, actor) as staged:
            async with listening(staged.actors):
                await staged.emit(1, 2, 3)
                await staged.until_done(actor)
            return [weakref.ref(staged.link)]

    gc.collect()
    gc.disable()
    try:
        links = await run()
        for _ in range(5):
            await checkpoint()
        assert [link() for link in links] == [None]
    finally:
        gc.enable()


def test_await_frames_show_what_a_handler_awaits(url: str, event: Event[int]) -> None:
    frames: list[str] = []

    async def inner() -> None:
        await trio.sleep_forever()

    async def handler(_: int) -> None:
        await inner()

    actor = Actor("frames", event, handler)

    async def main() -> None:
        async with stage(url, actor) as staged, anyio.create_task_group() as tasks:
            await tasks.start(staged.actors.listen)
            await staged.emit(1)
            with anyio.fail_after(DEADLINE):
                while "inner" not in frames:
                    await anyio.sleep(0.01)
                    frames[:] = [
                        frame.f_code.co_name
                        for task in _tasks()
                        for frame, _ in task.iter_await_frames()
                    ]
            tasks.cancel_scope.cancel()

    trio.run(main)
    assert frames.index("handler") < frames.index("inner")


def _tasks() -> list[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    tasks = [] if root is None else [root]
    for task in tasks:
        for nursery in task.child_nurseries:
            tasks.extend(nursery.child_tasks)
    return tasks


# Checkpoints


async def test_every_call_is_a_checkpoint(url: str, event: Event[int]) -> None:
    """On trio, which can tell: a schedule point and a cancel point."""
    actor = Actor("checks", event, Handled())
    async with stage(url, actor) as staged:
        if not trio.lowlevel.in_trio_run():
            pytest.skip("trio's to tell")
        calls: list[Callable[[], Awaitable[object]]] = [
            staged.events.register,
            staged.actors.register,
            staged.events.flush,
            lambda: staged.events.flush(timeout=1.0),
            lambda: staged.events.emit_many(event, []),
            lambda: staged.events.emit_many(event, [1, 2]),
            lambda: staged.actors.listen(burst=True, poll_delay=0),
        ]
        for call in calls:
            with trio.testing.assert_checkpoints():
                await call()
        staged.actors.shutdown()
        with trio.testing.assert_checkpoints():
            await staged.actors.listen()


async def test_every_call_looks_for_a_cancellation(url: str, event: Event[int]) -> None:
    actor = Actor("looks", event, Handled())
    async with stage(url, actor) as staged:
        await staged.emit(0)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: staged.events.emit(event, 1),
            lambda: staged.events.emit(event, 1, sync=True),
            lambda: staged.events.emit_many(event, []),
            lambda: staged.events.emit_many(event, [1]),
            staged.events.flush,
            staged.events.register,
            staged.actors.register,
            staged.actors.listen,
        ]
        for call in calls:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await call()
                raise AssertionError("not reached")
            assert scope.cancelled_caught
        await staged.events.flush()
        assert (await staged.consumer(actor)).left == 1


@pytest.mark.parametrize(("size", "count"), [(1, 1280), (200_000, 320)])
async def test_emits_let_others_run(url: str, size: int, count: int) -> None:
    data = Event(f"data-{time.monotonic_ns()}", bytes, storage="memory")
    async with Events(data).connect(url) as events:
        await events.register()
        await events.emit(data, b"")
        turns = 0

        async def take_turns() -> None:
            nonlocal turns
            while True:
                await checkpoint()
                turns += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take_turns)
            await checkpoint()
            longest = 0.0
            for _ in range(count):
                before, began = turns, time.monotonic()
                await events.emit(data, b"x" * size)
                if turns == before:
                    longest = max(longest, time.monotonic() - began)
            # One emit of 128, and one in a millisecond. The last turn may be yet to come: trio
            # resumes tasks in random order.
            assert turns >= count // 128 - 1
            tasks.cancel_scope.cancel()


async def test_handlers_that_waited_for_the_same_let_others_run(
    url: str, event: Event[int]
) -> None:
    """The event loop resumes all of them in one turn; they go on in many."""
    jobs = 200
    go, arrived, journal = anyio.Event(), 0, list[str]()

    async def handle(message: int) -> None:
        nonlocal arrived
        arrived += 1
        await go.wait()
        ends_at = monotonic() + 0.001
        while monotonic() < ends_at:
            pass
        journal.append("handler")

    async def application() -> None:
        while True:
            await checkpoint()
            journal.append("application")

    actor = Actor("a", event, handle, max_jobs=jobs)
    async with running(url, actor, max_jobs=jobs) as on:
        await on.emit(*range(jobs))
        await until(lambda: arrived == jobs)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(application)
            go.set()
            await until(lambda: journal.count("handler") == jobs)
            tasks.cancel_scope.cancel()
    runs = [len(list(run)) for name, run in groupby(journal) if name == "handler"]
    assert max(runs) < jobs / 4


async def test_what_a_handler_waited_for_is_not_lost_while_it_stands_in_line(
    url: str, event: Event[int]
) -> None:
    """Cancelled in the line, each has what it received, or has left it where it was."""
    jobs = 100
    send, receive = anyio.create_memory_object_stream[int](jobs)
    arrived, taken = 0, list[int]()

    async def handle(message: int) -> None:
        nonlocal arrived
        arrived += 1
        got = await receive.receive()
        taken.append(got)
        ends_at = monotonic() + 0.001
        while monotonic() < ends_at:
            pass
        await anyio.sleep_forever()

    actor = Actor("a", event, handle, max_jobs=jobs)
    with send, receive:
        async with stage(url, actor) as on:
            await on.emit(*range(jobs))
            async with listening(on.actors, max_jobs=jobs) as tasks:
                await until(lambda: arrived == jobs)
                await anyio.wait_all_tasks_blocked()
                for number in range(jobs):
                    send.send_nowait(number)
                await until(lambda: len(taken) > 5)
                tasks.cancel_scope.cancel()
        left = receive.statistics().current_buffer_used
        assert len(taken) + left == jobs
