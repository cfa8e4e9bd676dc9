"""Wrappers: which calls they pass on, to the last one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from tests.actors._stage import Stage, running
from tests.middlewares._journal import AsyncJournal, Calls, Journal, told
from tests.support.recorders import Recorder
from tests.support.waiting import until
from walnats_anyio import Actor, Event, Events, current_context
from walnats_anyio.middlewares import (
    Context,
    EmitContext,
    EmitMiddleware,
    ErrorThresholdMiddleware,
    FrequencyMiddleware,
    Middleware,
)

pytestmark = pytest.mark.anyio

MANY = 1000


async def handle(message: int) -> None:
    """Fail on what is negative."""
    if message < 0:
        raise ValueError(f"no {message}")


def actor_of(event: Event[int], wrapper: Middleware, **options: Any) -> Actor[int, None]:
    name = options.pop("name", "a")
    options = {"max_attempts": 1, "max_jobs": 1} | options
    return Actor(name, event, handle, middlewares=(wrapper,), **options)


async def do(on: Stage, actor: Actor[int, None], *messages: int) -> None:
    await on.emit(*messages, event=actor.event)
    await on.until_done(actor)


@pytest.mark.parametrize("threshold", [1, 2, 3])
async def test_failures_in_a_row_of_an_actor(url: str, event: Event[int], threshold: int) -> None:
    recorder = Recorder()
    wrapper = ErrorThresholdMiddleware(recorder, MANY, threshold, MANY)
    actor = actor_of(event, wrapper)
    async with running(url, actor) as on:
        await do(on, actor, -1, -2, -3, -4, 5, -6, -7, -8)
        await until(lambda: len(recorder.attempts) == 8)
    passed = [message for message, _ in recorder.failed]
    rows = [[-1, -2, -3, -4], [-6, -7, -8]]
    assert passed == [message for row in rows for message in row[threshold - 1 :]]
    assert recorder.succeeded == [5]


async def test_failures_in_a_row_over_all_actors(url: str, event: Event[int]) -> None:
    recorder = Recorder()
    wrapper = ErrorThresholdMiddleware(recorder, total_failures=3)
    other = Event(f"{event.name}-other", int, storage="memory")
    one, two = actor_of(event, wrapper), actor_of(other, wrapper, name="b")
    async with running(url, one, two) as on:
        await do(on, one, -1)
        await do(on, two, -2)
        await do(on, one, -3, -4)
        await do(on, two, 5)
        await until(lambda: recorder.succeeded == [5])
        await do(on, one, -6, -7)
        await do(on, two, -8)
    assert [message for message, _ in recorder.failed] == [-3, -4, -8]


async def test_the_row_of_an_actor_is_its_own(url: str, event: Event[int]) -> None:
    recorder = Recorder()
    wrapper = ErrorThresholdMiddleware(recorder, actor_failures=3)
    other = Event(f"{event.name}-other", int, storage="memory")
    one, two = actor_of(event, wrapper), actor_of(other, wrapper)
    async with running(url, one, two) as on:
        await do(on, one, -1, -2)
        await do(on, two, -3, 4)
        await until(lambda: recorder.succeeded == [4])
        await do(on, one, -5)
    assert [message for message, _ in recorder.failed] == [-5]


async def test_attempts_of_a_message(url: str, event: Event[int]) -> None:
    recorder = Recorder()
    wrapper = ErrorThresholdMiddleware(recorder, None, None, message_failures=3)
    actor = actor_of(event, wrapper, max_attempts=4, retry_delay=())
    async with running(url, actor) as on:
        await do(on, actor, -1)
    assert recorder.failed_attempts == [3, 4]


async def test_without_limits_no_failure_is_passed_on(url: str, event: Event[int]) -> None:
    recorder = Recorder()
    actor = actor_of(event, ErrorThresholdMiddleware(recorder, None, None, None))
    async with running(url, actor) as on:
        await do(on, actor, *range(-30, 0))
    assert len(recorder.attempts) == 30
    assert recorder.failed == []


async def test_once_in_a_timeframe(url: str, event: Event[int], journal: Calls) -> None:
    actor = actor_of(event, FrequencyMiddleware(Journal("", journal)))
    async with running(url, actor) as on:
        await do(on, actor, 1, 2, -3, -3, -4, 5)
    failed = [getattr(ctx, "message", None) for _, hook, ctx in journal if hook == "failure"]
    assert told(journal) == [" start", " success", " failure", " failure"]
    assert failed == [-3, -4]


async def test_again_after_the_timeframe(
    url: str, event: Event[int], journal: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("walnats_anyio.middlewares._frequency.monotonic", lambda: clock[0])
    actor = actor_of(event, FrequencyMiddleware(Journal("", journal), timeframe=60))
    async with running(url, actor) as on:
        for now, passed in ((1000, 1), (1059.9, 1), (1060, 2), (1119.9, 2), (1120, 3)):
            clock[0] = now
            await do(on, actor, -1)
            assert told(journal).count(" failure") == passed
    assert told(journal) == [" start", " failure"] * 3


async def test_each_actor_has_a_timeframe(url: str, event: Event[int], journal: Calls) -> None:
    wrapper = FrequencyMiddleware(Journal("", journal))
    actors = actor_of(event, wrapper), actor_of(event, wrapper, name="b")
    async with running(url, *actors) as on:
        await on.emit(1, 2, -3, -3)
        await on.until_done(*actors)
        await until(lambda: len(journal) == 6)
    assert sorted(told(journal)) == [" failure"] * 2 + [" start"] * 2 + [" success"] * 2


class Around(Middleware):
    """Notes what is around the handler."""

    def __init__(self) -> None:
        self.entered: list[Any] = []

    @asynccontextmanager
    async def around(self, ctx: Context, /) -> AsyncIterator[None]:
        self.entered.append(ctx.message)
        yield


@pytest.mark.parametrize("kind", [ErrorThresholdMiddleware, FrequencyMiddleware])
async def test_around_is_passed_on(
    url: str, event: Event[int], kind: type[ErrorThresholdMiddleware | FrequencyMiddleware]
) -> None:
    around = Around()
    actor = actor_of(event, kind(around))
    async with running(url, actor) as on:
        await do(on, actor, 1, 2)
    assert around.entered == [1, 2]


class Signs(Middleware, EmitMiddleware):
    """Puts a header on what is emitted."""

    @contextmanager
    def around_emit(self, ctx: EmitContext, /) -> Iterator[None]:
        ctx.headers["Signed"] = "yes"
        yield


@pytest.mark.parametrize("kind", [ErrorThresholdMiddleware, FrequencyMiddleware])
async def test_around_emit_is_passed_on(
    url: str, event: Event[int], kind: type[ErrorThresholdMiddleware | FrequencyMiddleware]
) -> None:
    recorder = Recorder()
    signed: list[bool] = []

    async def note(message: int) -> None:
        signed.append("Signed" in current_context().headers)

    actor = Actor("a", event, note, max_jobs=1)
    async with running(url, actor) as on:
        for inner in (Signs(), recorder):
            async with Events(event, middlewares=(kind(inner),)).connect(url) as events:
                await events.emit(event, 1, sync=True)
        await on.until_done(actor)
    assert signed == [True, False]


@pytest.mark.parametrize("kind", [ErrorThresholdMiddleware, FrequencyMiddleware])
async def test_coroutine_hooks_are_awaited(
    url: str,
    event: Event[int],
    journal: Calls,
    kind: type[ErrorThresholdMiddleware | FrequencyMiddleware],
) -> None:
    actor = actor_of(event, kind(AsyncJournal("", journal)))
    async with running(url, actor) as on:
        await do(on, actor, 1)
        await until(lambda: told(journal) == [" start", " success"])


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("walnats_anyio.middlewares._frequency.MAX_REMEMBERED", 3)
    wrapper = FrequencyMiddleware(Middleware())
    assert [wrapper._is_due(key) for key in (1, 2, 3, 1, 4, 1)] == [True] * 3 + [False] + [True] * 2
    assert len(wrapper._passed) == 3


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"total_failures": 0}, ValueError, "total_failures must be at least 1, or None"),
        ({"actor_failures": 1.5}, TypeError, "actor_failures must be an int or None, not float"),
        ({"message_failures": True}, TypeError, "message_failures must be an int or None"),
        ({"middleware": Middleware}, TypeError, "middleware must be of Middleware, not <class"),
    ],
    ids=["zero", "float", "bool", "class"],
)
def test_bad_input(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    defaults: dict[str, Any] = {"middleware": Middleware()}
    with pytest.raises(error, match=text):
        ErrorThresholdMiddleware(**defaults | arguments)


def test_a_bad_timeframe() -> None:
    with pytest.raises(ValueError, match=r"timeframe must be 0\.001 to"):
        FrequencyMiddleware(Middleware(), 0)
