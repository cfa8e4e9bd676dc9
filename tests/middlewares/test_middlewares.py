"""Hooks: when they are called, what they are told, and that they change nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import anyio
import pytest

from tests.actors._stage import running, stage
from tests.middlewares._journal import Calls, Journal, both, told
from tests.support.recorders import Gate, Handled
from tests.support.waiting import until
from walnats_anyio import Actor, Event, ExecuteIn, Reject
from walnats_anyio.middlewares import (
    BaseContext,
    Context,
    ErrorContext,
    Middleware,
    OkContext,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_copies")]


async def test_hooks_are_called_in_order(url: str, event: Event[int], journal: Calls) -> None:
    async def handle(message: int) -> None:
        journal.append(("handler", str(message), journal[-1][2]))

    actor = Actor("a", event, handle, middlewares=both(journal))
    async with running(url, actor) as on:
        await on.emit(1)
        await until(lambda: len(journal) == 5)
        await on.until_done(actor)
    assert told(journal) == [
        "first start",
        "second start",
        "handler 1",
        "second success",
        "first success",
    ]


async def test_hooks_of_a_failure(url: str, event: Event[int], journal: Calls) -> None:
    async def handle(message: int) -> None:
        raise ValueError(message)

    actor = Actor("a", event, handle, middlewares=both(journal), retry_delay=(3600,))
    async with running(url, actor) as on:
        await on.emit(7)
        await until(lambda: len(journal) == 4)
        await on.until_left(actor, 1)
    assert told(journal) == ["first start", "second start", "second failure", "first failure"]
    (context,) = {
        id(context): context for _, hook, context in journal if hook == "failure"
    }.values()
    assert isinstance(context, ErrorContext)
    assert isinstance(context.exception, ValueError)
    assert context.exception.args == (7,)
    assert context.message == 7


async def test_what_a_context_tells(url: str, event: Event[int], journal: Calls) -> None:
    handled = Handled()
    actor = Actor("a", event, handled, middlewares=(Journal("", journal),))
    async with running(url, actor) as on:
        await on.emit(10)
        await on.events.emit(event, 11, uid="u-1", trace_id="t-1", meta={"X-Mine": "yes"})
        await until(lambda: len(journal) == 4)
    by_message: dict[int, dict[str, Any]] = {}
    for _, hook, context in journal:
        assert isinstance(context, Context | OkContext)
        by_message.setdefault(context.message, {})[hook] = context
    for message, contexts in by_message.items():
        for context in contexts.values():
            assert context.actor is actor
            assert context.seq_number == message - 9
            assert context.attempts == 1
            assert context.metadata.stream == event.stream_name
            assert context.metadata.consumer == "a"
        assert 0 <= contexts["success"].duration < 30
    plain, full = by_message[10]["start"], by_message[11]["success"]
    assert plain.trace_id is None
    assert plain.headers == {}
    assert full.trace_id == "t-1"
    assert full.headers["X-Mine"] == "yes"
    assert full.headers["Nats-Msg-Id"] == "u-1"
    with pytest.raises(dataclasses.FrozenInstanceError):
        full.message = 1
    full.headers["X-Mine"] = "changed"
    assert full.headers["X-Mine"] == "yes"


async def test_the_duration_is_that_of_the_handler(
    url: str, event: Event[int], journal: Calls
) -> None:
    async def handle(message: int) -> None:
        await anyio.sleep(0.2)

    actor = Actor("a", event, handle, middlewares=(Journal("", journal),))
    async with running(url, actor) as on:
        await on.emit(1)
        await until(lambda: len(journal) == 2)
    context = journal[-1][2]
    assert isinstance(context, OkContext)
    assert context.duration >= 0.19


async def test_attempts_count_from_one(url: str, event: Event[int], journal: Calls) -> None:
    async def handle(message: int) -> None:
        if len(journal) < 6:
            raise ValueError

    actor = Actor("a", event, handle, middlewares=(Journal("", journal),), retry_delay=())
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
        await until(lambda: len(journal) == 8)
    assert [context.attempts for _, _, context in journal] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert {context.seq_number for _, _, context in journal} == {1}


async def test_a_timeout_is_a_failure(url: str, event: Event[int], journal: Calls) -> None:
    async def handle(message: int) -> None:
        await anyio.sleep_forever()

    actor = Actor(
        "a", event, handle, job_timeout=0.2, middlewares=both(journal), retry_delay=(3600,)
    )
    async with running(url, actor) as on:
        await on.emit(7)
        await until(lambda: len(journal) == 4)
    assert told(journal) == ["first start", "second start", "second failure", "first failure"]
    context = journal[-1][2]
    assert isinstance(context, ErrorContext)
    assert isinstance(context.exception, TimeoutError)
    assert context.message == 7


async def test_what_cannot_be_decoded_is_a_failure(
    url: str, event: Event[int], journal: Calls
) -> None:
    handled = Handled()
    actor = Actor("a", event, handled, middlewares=both(journal), retry_delay=(3600,))
    async with running(url, actor) as on:
        await on.emit_raw(b"{")
        await until(lambda: len(journal) == 2)
    assert told(journal) == ["second failure", "first failure"]
    context = journal[-1][2]
    assert isinstance(context, ErrorContext)
    assert context.message is None
    assert context.attempts == 1
    assert not handled.messages


async def test_a_rejection_is_a_failure(url: str, event: Event[int], journal: Calls) -> None:
    async def handle(message: int) -> None:
        raise Reject("no")

    actor = Actor("a", event, handle, middlewares=both(journal))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert told(journal)[2:] == ["second failure", "first failure"]


async def test_nats_is_told_of_a_failure_after_the_hooks(
    url: str, event: Event[int], journal: Calls
) -> None:
    """Who looks from a hook sees the event as still being worked on."""
    gate = Gate()

    class Waiting(Middleware):
        async def on_failure(self, ctx: ErrorContext, /) -> None:
            await gate(ctx.attempts)

    async def handle(message: int) -> None:
        if not gate.started:
            raise ValueError

    actor = Actor("a", event, handle, middlewares=(Waiting(),), retry_delay=(), ack_wait=2)
    async with running(url, actor) as on:
        await on.emit(1)
        await gate.come(1)
        await anyio.sleep(3)  # longer than `ack_wait`: the pulse holds it
        assert (await on.consumer(actor)).taken == 1
        gate.open()
        await on.until_done(actor)
    assert gate.started == [1]


class Raising(Middleware):
    """Every hook raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_start(self, ctx: Context, /) -> None:
        raise self.error

    async def on_failure(self, ctx: ErrorContext, /) -> None:
        await anyio.lowlevel.checkpoint()
        raise self.error

    async def on_success(self, ctx: OkContext, /) -> None:
        await anyio.lowlevel.checkpoint()
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("from a hook"),
        Reject("from a hook"),
        TimeoutError(),
        SystemExit("from a hook"),
        BaseException("a panic of an extension"),
    ],
)
async def test_what_a_hook_raises_changes_nothing(
    url: str,
    event: Event[int],
    journal: Calls,
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handle(message: int) -> None:
        if message == 1:
            raise KeyError
        await handled(message)

    handled = Handled()
    actor = Actor(
        "a",
        event,
        handle,
        middlewares=(Raising(error), Journal("next", journal)),
        retry_delay=(3600,),
    )
    async with running(url, actor) as on:
        await on.emit(0, 1, 2)
        await until(lambda: len(journal) == 6)
        await on.until_left(actor, 1)
    assert sorted(handled.messages) == [0, 2]
    for hook in ("on_start", "on_failure", "on_success"):
        assert f"event {event.name!r}: Raising: {hook} raised" in caplog.text


@pytest.mark.parametrize("hook", ["on_start", "on_failure", "on_success"])
async def test_a_hook_slower_than_the_job_timeout(
    url: str, event: Event[int], hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is cut short, and nothing else changes; no slot is lost."""

    async def hang(ctx: BaseContext) -> None:
        assert isinstance(ctx, Context | ErrorContext | OkContext)
        if ctx.message < 2:
            await anyio.sleep_forever()

    async def handle(message: int) -> None:
        if message < 2 and hook == "on_failure":
            raise ValueError
        await handled(message)

    slow = type("Slow", (Middleware,), {hook: lambda _, ctx: hang(ctx)})()
    handled = Handled()
    actor = Actor(
        "a",
        event,
        handle,
        middlewares=(slow,),
        job_timeout=0.2,
        retry_delay=(3600,),
        max_jobs=2,
    )
    left = 2 if hook == "on_failure" else 0
    async with running(url, actor) as on:
        await on.emit(*range(10))
        await handled.come(10 - left)
        await on.until_left(actor, left)
        await until(lambda: f"{hook} took longer than job_timeout" in caplog.text)
    assert sorted(handled.messages) == list(range(left, 10))


async def test_hooks_around_handlers_in_threads(
    url: str, event: Event[int], journal: Calls
) -> None:
    def handle(message: int) -> None:
        if message == 1:
            raise ValueError

    actor = Actor(
        "a",
        event,
        handle,
        execute_in=ExecuteIn.THREAD,
        middlewares=(Journal("", journal),),
        retry_delay=(3600,),
    )
    async with running(url, actor) as on:
        await on.emit(0, 1)
        await until(lambda: len(journal) == 4)
    assert sorted(told(journal)) == [" failure", " start", " start", " success"]


async def test_hooks_of_jobs_that_overlap(url: str, event: Event[int], journal: Calls) -> None:
    """A slow `on_start` does not keep other jobs from starting."""
    gate = Gate()

    class Waiting(Middleware):
        async def on_start(self, ctx: Context, /) -> None:
            await gate(ctx.message)

    handled = Handled()
    actor = Actor("a", event, handled, middlewares=(Waiting(),), max_jobs=5)
    async with running(url, actor) as on:
        await on.emit(*range(10))
        await gate.come(5)
        assert gate.running == 5
        gate.open()
        await on.until_done(actor)
    assert gate.most == 5
    assert len(handled.messages) == 10


async def test_no_failure_is_told_when_listen_ends(
    url: str, event: Event[int], journal: Calls
) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, middlewares=(Journal("", journal),))
    async with stage(url, actor) as on:
        await on.emit(1, 2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await gate.come(2)
            tasks.cancel_scope.cancel()
    assert told(journal) == [" start", " start"]


async def test_a_middleware_may_leave_hooks_out(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled, middlewares=(Middleware(),))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert handled.messages == [1]
