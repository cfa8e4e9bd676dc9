"""`around`: an async context manager of a middleware, which is a part of the job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.actors._stage import letters_of, running
from tests.support.recorders import Recorder
from tests.support.waiting import until
from walnats_anyio import Actor, Event, ExecuteIn, current_context
from walnats_anyio.middlewares import Context, Middleware

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_copies")]

session: ContextVar[str] = ContextVar("session")


class Around(Middleware):
    """Writes down what happens inside of it."""

    def __init__(self, name: str, said: list[str]) -> None:
        self.name = name
        self.said = said

    def on_start(self, ctx: Context, /) -> None:
        self.said.append(f"{self.name} start")

    def on_success(self, ctx: Any, /) -> None:
        self.said.append(f"{self.name} success")

    def on_failure(self, ctx: Any, /) -> None:
        self.said.append(f"{self.name} failure")

    @asynccontextmanager
    async def around(self, ctx: Context, /) -> AsyncIterator[None]:
        assert current_context() == ctx
        await anyio.lowlevel.checkpoint()
        session.set(self.name)
        try:
            yield
        except BaseException as error:
            self.said.append(f"{self.name} {type(error).__name__}")
            raise
        finally:
            self.said.append(f"{self.name} out")


@pytest.mark.parametrize("place", [ExecuteIn.MAIN, ExecuteIn.THREAD])
async def test_it_is_around_the_handler(url: str, event: Event[int], place: ExecuteIn) -> None:
    said: list[str] = []

    def handle(message: int) -> None:
        said.append(f"handler in {session.get()}")

    middlewares = Around("outer", said), Around("inner", said)
    async with running(
        url, Actor("a", event, handle, middlewares=middlewares, execute_in=place)
    ) as on:
        await on.emit(1)
        await until(lambda: len(said) == 7)
        await on.until_done(*on.actors._actors)
    assert said == [
        "outer start", "inner start", "handler in inner", "inner out", "outer out",
        "inner success", "outer success",
    ]  # fmt: skip


def double(message: int) -> None:
    if message != 1:
        raise ValueError(message)


async def test_it_is_around_a_handler_in_a_process(url: str, event: Event[int]) -> None:
    said: list[str] = []
    actor = Actor(
        "a", event, double, middlewares=(Around("m", said),), execute_in=ExecuteIn.PROCESS,
        max_attempts=1,
    )  # fmt: skip
    async with running(url, actor) as on:
        await on.emit(1)
        await until(lambda: len(said) == 3)
        await on.emit(2)
        await until(lambda: len(said) == 7)
    assert said == [
        "m start",
        "m out",
        "m success",
        "m start",
        "m ValueError",
        "m out",
        "m failure",
    ]


async def test_it_hears_of_a_timeout(url: str, event: Event[int]) -> None:
    said: list[str] = []
    actor = Actor(
        "a", event, lambda _: anyio.sleep(3600), job_timeout=0.1, max_attempts=1,
        middlewares=(Around("m", said),),
    )  # fmt: skip
    async with running(url, actor) as on:
        await on.emit(1)
        await until(lambda: len(said) == 4)
    assert said[1] in ("m CancelledError", "m Cancelled")
    assert said[2:] == ["m out", "m failure"]


@pytest.mark.parametrize("where", ["entering", "leaving"])
async def test_what_it_raises_is_the_failure_of_the_job(
    url: str, event: Event[int], where: str
) -> None:
    class Failing(Middleware):
        @asynccontextmanager
        async def around(self, ctx: Context, /) -> AsyncIterator[None]:
            if where == "entering":
                raise ValueError("commit failed")
            yield
            raise ValueError("commit failed")

    notes, handled = Recorder(), list[int]()
    actor = Actor("a", event, handled.append, max_attempts=2, retry_delay=(),
                  middlewares=(Failing(), notes))  # fmt: skip
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
        (letter,) = await letters_of(url, event)
    assert letter.error == "commit failed"
    assert [str(error) for error in notes.errors] == ["commit failed"] * 2
    assert handled == ([] if where == "entering" else [1, 1])


async def test_one_that_suppresses_makes_the_job_a_success(url: str, event: Event[int]) -> None:
    class Suppressing(Middleware):
        @asynccontextmanager
        async def around(self, ctx: Context, /) -> AsyncIterator[None]:
            try:
                yield
            except KeyError:
                await anyio.lowlevel.checkpoint()

    async def handle(message: int) -> None:
        raise KeyError

    notes = Recorder()
    actor = Actor("a", event, handle, middlewares=(Suppressing(), notes))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert notes.succeeded == [1]


async def test_durations_are_told_of_successes_and_failures(url: str, event: Event[int]) -> None:
    durations: list[float] = []

    class Durations(Middleware):
        def on_success(self, ctx: Any, /) -> None:
            durations.append(ctx.duration)

        on_failure = on_success

    async def handle(message: int) -> None:
        await anyio.sleep(3600 if message == 3 else 0.05)
        if message == 2:
            raise ValueError

    actor = Actor("a", event, handle, max_attempts=1, job_timeout=0.3, middlewares=(Durations(),),
                  max_jobs=1)  # fmt: skip
    async with running(url, actor) as on:
        await on.emit(1, 2, 3)
        await on.emit_raw(b"?")
        await until(lambda: len(durations) == 4)
    assert all(0.05 <= duration < 0.3 for duration in durations[:2])
    assert durations[2] >= 0.3
    assert durations[3] == 0.0


@pytest.mark.parametrize("place", [ExecuteIn.MAIN, ExecuteIn.THREAD])
async def test_what_a_hook_sets_the_handler_sees(
    url: str, event: Event[int], place: ExecuteIn
) -> None:
    class Setting(Middleware):
        def on_start(self, ctx: Context, /) -> None:
            session.set(f"session {ctx.message}")

    seen: list[tuple[int, str]] = []
    actor = Actor("a", event, lambda message: seen.append((message, session.get())),
                  execute_in=place, middlewares=(Setting(),))  # fmt: skip
    async with running(url, actor) as on:
        await on.emit(*range(10))
        await on.until_done(actor)
    assert sorted(seen) == [(number, f"session {number}") for number in range(10)]


async def test_what_was_never_run_inside_of_it_is_a_failure(url: str, event: Event[int]) -> None:
    """A handler that returns work still to be done has not done it."""
    recorder = Recorder()

    def handle(message: int) -> object:
        return (each for each in (message,))

    middlewares = Around("one", []), recorder
    actor = Actor("a", event, handle, middlewares=middlewares, retry_delay=(3600,))
    async with running(url, actor) as on:
        await on.emit(1)
        await until(lambda: bool(recorder.failed))
        await on.until_left(actor, 1)
    (error,) = recorder.errors
    assert isinstance(error, TypeError)
    assert "generator" in str(error)
