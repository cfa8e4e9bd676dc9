"""`current_context().emit`: what a handler emits leaves once, and only if the handler succeeds."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from tests.actors._stage import Stage, letters_of, listening, running, stage
from tests.support.recorders import Handled
from tests.support.waiting import until
from walnats_anyio import (
    Actor,
    Actors,
    EmitError,
    Event,
    Events,
    ExecuteIn,
    Limits,
    MessageTooLargeError,
    Reject,
    Retry,
    current_context,
)
from walnats_anyio._link import api
from walnats_anyio.middlewares import ErrorContext, Middleware
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def following(event: Event[int]) -> Event[str]:
    return Event(f"{event.name}-next", str, storage="memory")


def listener(event: Event[Any]) -> Actor[Any, Any]:
    """Keeps the event in its stream: it is registered and does not listen."""
    return Actor("listener", event, print)


async def kept(on: Stage, event: Event[Any]) -> list[str]:
    """The payloads in the stream of an event, in order."""
    name = event.stream_name
    state = (await api(on.link, f"STREAM.INFO.{name}"))["state"]
    payloads: list[str] = []
    for seq in range(state["last_seq"] - state["messages"] + 1, state["last_seq"] + 1):
        message = (await api(on.link, f"STREAM.MSG.GET.{name}", {"seq": seq}))["message"]
        payloads.append(b64decode(message["data"]).decode())
    return payloads


@asynccontextmanager
async def on_stage(url: str, actor: Actor[Any, Any], following: Event[Any]) -> AsyncIterator[Stage]:
    """Run one actor, and keep what it emits."""
    async with (
        stage(url, actor, listener(following)) as on,
        listening(on.actors, actors=[actor.name]),
    ):
        yield on


async def test_they_leave_when_the_handler_has_returned(
    url: str, event: Event[int], following: Event[str]
) -> None:
    before: list[int] = []

    async def handle(message: int) -> None:
        context = current_context()
        await context.emit(following, f"{message} a")
        context.emit_nowait(following, f"{message} b")
        await anyio.sleep(0.01)
        before.append(len(await kept(on, following)))

    actor = Actor("a", event, handle, max_jobs=1)
    async with on_stage(url, actor, following) as on:
        await on.emit(1, 2)
        await on.until_done(actor)
        assert before == [0, 2]
        assert await kept(on, following) == ['"1 a"', '"1 b"', '"2 a"', '"2 b"']


@pytest.mark.parametrize("place", [ExecuteIn.MAIN, ExecuteIn.THREAD])
async def test_plain_handlers_emit_as_well(
    url: str, event: Event[int], following: Event[str], place: ExecuteIn
) -> None:
    def handle(message: int) -> None:
        current_context().emit_nowait(following, f"{message} a")
        if place is ExecuteIn.THREAD:
            anyio.from_thread.run(current_context().emit, following, f"{message} b")

    actor = Actor("a", event, handle, execute_in=place)
    async with on_stage(url, actor, following) as on:
        await on.emit(1)
        await on.until_done(actor)
        expected = ['"1 a"', '"1 b"'] if place is ExecuteIn.THREAD else ['"1 a"']
        assert await kept(on, following) == expected


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("failure", [ValueError("no"), Retry(delay=0), "timeout"])
async def test_a_failed_attempt_sends_nothing(
    url: str, event: Event[int], following: Event[str], failure: Exception | str, waits: bool
) -> None:
    attempts: list[int] = []

    async def handle(message: int) -> None:
        attempts.append(current_context().attempts)
        await current_context().emit(following, f"attempt {attempts[-1]}")
        if waits:
            await anyio.lowlevel.checkpoint()
        if attempts[-1] < 3:
            if isinstance(failure, Exception):
                raise failure
            await anyio.sleep(3600)

    actor = Actor("a", event, handle, retry_delay=(), job_timeout=0.2)
    async with on_stage(url, actor, following) as on:
        await on.emit(1)
        await on.until_done(actor)
        assert attempts == [1, 2, 3]
        assert await kept(on, following) == ['"attempt 3"']


async def test_a_rejected_event_sends_nothing(
    url: str, event: Event[int], following: Event[str]
) -> None:
    async def handle(message: int) -> None:
        await current_context().emit(following, "no")
        raise Reject("not for us")

    actor = Actor("a", event, handle)
    async with on_stage(url, actor, following) as on:
        await on.emit(1)
        await on.until_done(actor)
        assert await kept(on, following) == []


async def test_a_second_attempt_repeats_what_was_stored(
    url: str, event: Event[int], following: Event[str]
) -> None:
    """The first one had a part of its emits stored, and failed for the rest."""
    missing: Event[str] = Event(f"{event.name}-missing", str, storage="memory")
    attempts: list[int] = []

    async def handle(message: int) -> None:
        attempts.append(current_context().attempts)
        for number in range(3):
            await current_context().emit(following, f"{message} {number}")
        await current_context().emit(missing, "at last")

    async with (
        on_stage(url, Actor("a", event, handle, retry_delay=(0.2,)), following) as on,
        Events(missing).connect(url) as late,
        Actors(listener(missing)).connect(url) as listens,
    ):
        await on.emit(1)
        await until(lambda: len(attempts) == 2)
        assert await kept(on, following) == ['"1 0"', '"1 1"', '"1 2"']
        await late.register()
        await listens.register()
        await on.until_done(Actor("a", event, handle))
        assert await kept(on, following) == ['"1 0"', '"1 1"', '"1 2"']
        assert await kept(on, missing) == ['"at last"']


async def test_the_trace_goes_on_unless_told_otherwise(
    url: str, event: Event[int], following: Event[str]
) -> None:
    traces: dict[str, str | None] = {}

    async def handle(message: int) -> None:
        emit = current_context().emit
        await emit(following, "carried")
        await emit(following, "own", trace_id="own")
        await emit(following, "none", trace_id="", meta={"More": "yes"})

    def follow(message: str) -> None:
        traces[message] = current_context().trace_id

    async with running(url, Actor("a", event, handle), Actor("b", following, follow)) as on:
        await on.events.emit(event, 1, trace_id="t-1")
        await until(lambda: len(traces) == 3)
    assert traces == {"carried": "t-1", "own": "own", "none": None}


async def test_a_uid_of_ones_own(url: str, event: Event[int], following: Event[str]) -> None:
    async def handle(message: int) -> None:
        await current_context().emit(following, f"from {message}", uid="the-only-one")

    actor = Actor("a", event, handle, max_jobs=1)
    async with on_stage(url, actor, following) as on:
        await on.emit(1, 2, 3)
        await on.until_done(actor)
        assert await kept(on, following) == ['"from 1"']


async def test_what_cannot_be_sent_is_refused_at_the_call(url: str, event: Event[int]) -> None:
    small: Event[str] = Event(
        f"{event.name}-small", str, storage="memory", limits=Limits(message_size=300)
    )
    errors: list[BaseException] = []

    async def handle(message: int) -> None:
        emit: Any = current_context().emit
        for wrong in ((small, 7), ("small", "x"), (small, "x" * 1000)):
            with pytest.raises((TypeError, MessageTooLargeError)) as caught:
                await emit(*wrong)
            errors.append(caught.value)
        with pytest.raises(ValueError, match="header") as caught:
            await emit(small, "x", meta={"no name": "x"})
        errors.append(caught.value)

    actor = Actor("a", event, handle)
    async with on_stage(url, actor, small) as on:
        await on.emit(1)
        await on.until_done(actor)
        assert await kept(on, small) == []
    kinds = (TypeError, TypeError, MessageTooLargeError, ValueError)
    assert all(map(isinstance, errors, kinds))
    assert len(errors) == 4


async def test_without_its_stream_the_attempt_fails(
    url: str, event: Event[int], following: Event[str]
) -> None:
    failures: list[BaseException] = []

    class Failures(Middleware):
        def on_failure(self, ctx: ErrorContext, /) -> None:
            failures.append(ctx.exception)

    async def handle(message: int) -> None:
        await current_context().emit(following, "to nobody")

    actor = Actor("a", event, handle, max_attempts=2, retry_delay=(), middlewares=(Failures(),))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert len(failures) == 2
    assert all(isinstance(error, EmitError) for error in failures)
    assert "register the event" in str(failures[0])
    (letter,) = await letters_of(url, event)
    assert letter.reason == "exhausted"


async def test_it_is_too_late_when_the_job_has_ended(
    url: str, event: Event[int], following: Event[str]
) -> None:
    errors: list[str] = []
    over = anyio.Event()

    async with anyio.create_task_group() as outside:

        async def later() -> None:
            context = current_context()
            await over.wait()
            try:
                await context.emit(following, "late")
            except RuntimeError as error:
                errors.append(str(error))

        async def handle(message: int) -> None:
            outside.start_soon(later)
            await anyio.lowlevel.checkpoint()

        actor = Actor("a", event, handle)
        async with on_stage(url, actor, following) as on:
            await on.emit(1)
            await on.until_done(actor)
            over.set()
            await until(lambda: bool(errors))
            assert await kept(on, following) == []
    assert "a job that has ended" in errors[0]


async def test_a_stop_in_the_middle_hands_the_event_back(
    event: Event[int], following: Event[str]
) -> None:
    """While the emits wait for their acknowledgement: no attempt is lost, nothing comes twice."""
    handled = Handled()

    async def handle(message: int) -> None:
        if not handled.messages:
            server.pause()
        handled.messages.append(message)
        await current_context().emit(following, "once")

    actor = Actor("a", event, handle, max_attempts=1)
    with NatsServer() as server:
        async with stage(server.url, actor, listener(following)) as on:
            await on.emit(1)
            async with listening(on.actors, actors=["a"]) as tasks:
                await handled.come(1)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            server.resume()
            async with listening(on.actors, actors=["a"]):
                await on.until_done(actor)
            assert handled.messages == [1, 1]
            assert await kept(on, following) == ['"once"']
            assert await letters_of(server.url, event) == []
