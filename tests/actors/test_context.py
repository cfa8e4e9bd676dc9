"""`current_context`: what a job is told about itself, wherever it asks."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.actors._stage import running, stage
from tests.support.recorders import Handled
from tests.support.waiting import until
from walnats_anyio import Actor, Event, ExecuteIn, Retry, current_context
from walnats_anyio.middlewares import Context, ErrorContext, Middleware, OkContext

pytestmark = pytest.mark.anyio

PLACES = [ExecuteIn.MAIN, ExecuteIn.THREAD]


def in_process(message: int) -> None:
    current_context()


def test_there_is_none_outside_of_a_job() -> None:
    with pytest.raises(LookupError, match="call current_context\\(\\) in a handler"):
        current_context()


@pytest.mark.parametrize("place", PLACES)
async def test_a_plain_handler_is_told(url: str, event: Event[int], place: ExecuteIn) -> None:
    seen: list[Context] = []
    actor = Actor("a", event, lambda _: seen.append(current_context()), execute_in=place)
    async with running(url, actor) as on:
        await on.events.emit(event, 7, uid="u-1", trace_id="t-1", meta={"Mine": "yes"}, sync=True)
        await on.until_done(actor)
    (context,) = seen
    assert context.actor is actor
    assert context.event is event
    assert context.message == 7
    assert context.attempts == 1
    assert context.trace_id == "t-1"
    assert context.headers["Mine"] == "yes"
    assert context.seq_number == context.metadata.sequence.stream == 1
    assert context.metadata.stream == event.stream_name
    assert datetime.now(UTC) - context.metadata.timestamp < timedelta(minutes=5)
    assert context.state is None


async def test_a_coroutine_and_the_tasks_that_it_starts_are_told(
    url: str, event: Event[int]
) -> None:
    """Each its own job, although many run at once in few tasks."""
    seen: list[tuple[int, int]] = []

    async def child(message: int) -> None:
        await anyio.lowlevel.checkpoint()
        seen.append((message, current_context().message))

    async def handle(message: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child, message)
            await anyio.lowlevel.checkpoint()
            seen.append((message, current_context().message))

    async with running(url, Actor("a", event, handle, max_jobs=8)) as on:
        await on.emit(*range(50))
        await until(lambda: len(seen) == 100)
    assert all(own == told for own, told in seen)
    assert {own for own, _ in seen} == set(range(50))


async def test_a_task_that_outlives_its_job_is_told_of_that_job(
    url: str, event: Event[int]
) -> None:
    first_over, told = anyio.Event(), list[int]()

    async def later() -> None:
        await first_over.wait()
        told.append(current_context().message)

    async with anyio.create_task_group() as outside:

        async def handle(message: int) -> None:
            if message == 1:
                outside.start_soon(later)
            else:
                first_over.set()

        async with running(url, Actor("a", event, handle), max_jobs=1) as on:
            await on.emit(1, 2)
            await until(lambda: told == [1])


async def test_hooks_and_decorators_are_told(url: str, event: Event[int]) -> None:
    seen: list[tuple[str, Any]] = []

    def note(where: str) -> None:
        seen.append((where, current_context().message))

    class Asking(Middleware):
        def on_start(self, ctx: Context, /) -> None:
            assert dataclasses.replace(ctx) == current_context()
            note("start")

        async def on_success(self, ctx: OkContext, /) -> None:
            await anyio.lowlevel.checkpoint()
            note("success")

        def on_failure(self, ctx: ErrorContext, /) -> None:
            note("failure")

    def decorated(handler: Any) -> Any:
        @wraps(handler)
        async def handle(message: int) -> None:
            note("decorator")
            await handler(message)

        return handle

    @decorated
    async def handle(message: int) -> None:
        if message == 2:
            raise Retry(delay=3600)

    actor = Actor("a", event, handle, middlewares=(Asking(),), max_jobs=1)
    async with running(url, actor) as on:
        await on.emit(1, 2)
        await until(lambda: len(seen) == 6)
    assert seen == [
        ("start", 1), ("decorator", 1), ("success", 1),
        ("start", 2), ("decorator", 2), ("failure", 2),
    ]  # fmt: skip


async def test_the_hook_of_what_cannot_be_decoded_is_told(url: str, event: Event[int]) -> None:
    seen: list[Context] = []

    class Asking(Middleware):
        def on_failure(self, ctx: ErrorContext, /) -> None:
            seen.append(current_context())

    async with running(url, Actor("a", event, Handled(), middlewares=(Asking(),))) as on:
        await on.emit_raw(b"?")
        await until(lambda: bool(seen))
    assert seen[0].message is None
    assert seen[0].event is event


async def test_a_handler_in_a_process_has_none(url: str, event: Event[int]) -> None:
    failures: list[BaseException] = []

    class Failures(Middleware):
        def on_failure(self, ctx: ErrorContext, /) -> None:
            failures.append(ctx.exception)

    actor = Actor(
        "a", event, in_process, execute_in=ExecuteIn.PROCESS, max_attempts=1,
        middlewares=(Failures(),),
    )  # fmt: skip
    async with running(url, actor) as on:
        await on.emit(1)
        await until(lambda: bool(failures))
    assert "there is no current context" in str(failures[0])


async def test_the_key_is_that_of_the_delivery(url: str, event: Event[int]) -> None:
    """The same in each attempt; another one for another actor, event or emit."""
    keys: list[tuple[str, int, str]] = []

    def handle(name: str, message: int) -> None:
        context = current_context()
        keys.append((name, message, context.idempotency_key))
        if context.attempts < 3:
            raise Retry(delay=0)

    one = Actor("one", event, partial(handle, "one"))
    two = Actor("two", event, partial(handle, "two"))
    async with running(url, one, two) as on:
        await on.emit(1, 2)
        await on.until_done(one, two)
    assert len(keys) == 12
    assert len(set(keys)) == 4
    assert len({key for _, _, key in keys}) == 4


async def test_what_a_handler_emits_is_of_its_trace(url: str, event: Event[int]) -> None:
    """Unless the emit says otherwise."""
    following: Event[str] = Event(f"{event.name}-next", str, storage="memory")
    traces: dict[str, str | None] = {}

    def follow(message: str) -> None:
        traces[message] = current_context().trace_id

    async def handle(message: int) -> None:
        await on.events.emit(following, f"{message} carried")
        await on.events.emit(following, f"{message} own", trace_id="own")
        await on.events.emit(following, f"{message} none", trace_id="")
        await on.events.emit_many(following, [f"{message} many"])

    actors = Actor("a", event, handle), Actor("b", following, follow)
    async with running(url, *actors) as on:
        await on.events.emit(event, 1, trace_id="t-1")
        await on.events.emit(event, 2)
        await until(lambda: len(traces) == 8)
    assert traces == {
        "1 carried": "t-1", "1 own": "own", "1 none": None, "1 many": "t-1",
        "2 carried": None, "2 own": "own", "2 none": None, "2 many": None,
    }  # fmt: skip


async def test_a_worker_with_nothing_to_do_keeps_no_message(url: str, event: Event[int]) -> None:
    import gc
    import weakref

    class Kept(list[int]):
        pass

    alive: list[weakref.ref[Kept]] = []
    lists: Event[list[int]] = Event(f"{event.name}-lists", list[int], storage="memory")

    def handle(message: list[int]) -> None:
        kept = Kept(message)
        alive.append(weakref.ref(kept))
        current_context().message.append(kept)

    actor = Actor("a", lists, handle)
    async with running(url, actor) as on:
        await on.emit(*([number] for number in range(20)), event=lists)
        await on.until_done(actor)
        gc.collect()
        assert [ref() for ref in alive] == [None] * 20


async def test_state_is_none_without_a_lifespan(url: str, event: Event[int]) -> None:
    states: list[Any] = []
    actor = Actor("a", event, lambda _: states.append(current_context().state))
    async with stage(url, actor) as on:
        await on.emit(1)
        await on.actors.listen(burst=True)
    assert states == [None]
