"""Every kind of handler, wherever it runs."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.actors._elsewhere import (
    Note,
    NoteAndDie,
    note,
    raise_unpicklable,
    reject,
    retry_in_an_hour,
    return_something_unpicklable,
)
from tests.actors._stage import running
from tests.support.recorders import Handled
from tests.support.waiting import until
from walnats_anyio import Actor, Event, ExecuteIn, Reject, Retry
from walnats_anyio.middlewares import ErrorContext, Middleware

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_copies")]


class Failures(Middleware):
    """Notes what went wrong."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def on_failure(self, ctx: ErrorContext, /) -> None:
        self.errors.append(ctx.exception)


class Seen:
    """Handlers of every kind that note their message."""

    def __init__(self) -> None:
        self.messages: list[int] = []

    def plain(self, message: int) -> None:
        self.messages.append(message)

    async def coroutine(self, message: int) -> None:
        self.messages.append(message)

    async def suspending(self, message: int) -> None:
        await anyio.lowlevel.checkpoint()
        self.messages.append(message)

    def returning_a_coroutine(self, message: int) -> Awaitable[None]:
        return self.suspending(message)

    def returning_an_awaitable(self, message: int) -> Awaitable[None]:
        return Later(self.suspending, message)

    def with_more(self, greeting: str, message: int, *, mark: str) -> None:
        assert (greeting, mark) == ("hello", "!")
        self.messages.append(message)


class Later:
    """An awaitable that is no coroutine."""

    def __init__(self, function: Callable[[int], Awaitable[None]], message: int) -> None:
        self._function = function
        self._message = message

    def __await__(self) -> Generator[Any, Any, None]:
        return self._function(self._message).__await__()


class PlainCallable:
    """An object to call."""

    def __init__(self, function: Callable[[int], Any]) -> None:
        self._function = function

    def __call__(self, message: int) -> None:
        self._function(message)


class AsyncCallable:
    """An object to call and await."""

    def __init__(self, function: Callable[[int], Awaitable[None]]) -> None:
        self._function = function

    async def __call__(self, message: int) -> None:
        await self._function(message)


KINDS: dict[str, Callable[[Seen], Callable[[int], Any]]] = {
    "plain method": lambda seen: seen.plain,
    "coroutine method": lambda seen: seen.coroutine,
    "suspending coroutine method": lambda seen: seen.suspending,
    "function that returns a coroutine": lambda seen: seen.returning_a_coroutine,
    "function that returns an awaitable": lambda seen: seen.returning_an_awaitable,
    "lambda": lambda seen: lambda message: seen.plain(message + 0),
    "object": lambda seen: PlainCallable(seen.plain),
    "async object": lambda seen: AsyncCallable(seen.suspending),
    "partial": lambda seen: functools.partial(seen.with_more, "hello", mark="!"),
    "partial of a coroutine function": lambda seen: functools.partial(seen.suspending),
}


async def test_in_the_event_loop(url: str, event: Event[int]) -> None:
    seen = {kind: Seen() for kind in KINDS}
    actors = [Actor(kind.replace(" ", "-"), event, KINDS[kind](seen[kind])) for kind in KINDS]
    async with running(url, *actors) as stage:
        await stage.emit(1, 2, 3)
        await stage.until_done(*actors)
    assert all(sorted(seen[kind].messages) == [1, 2, 3] for kind in KINDS)


async def test_in_threads(url: str, event: Event[int]) -> None:
    kinds = ["plain-method", "lambda", "object", "partial"]
    seen = {kind: Seen() for kind in kinds}
    threads: set[int] = set()

    def noting(message: int, handler: Callable[[int], None]) -> None:
        threads.add(threading.get_ident())
        handler(message)

    handlers = {kind: KINDS[kind.replace("-", " ")](seen[kind]) for kind in kinds}
    actors = [
        Actor(kind, event, functools.partial(noting, handler=handler), execute_in=ExecuteIn.THREAD)
        for kind, handler in handlers.items()
    ]
    async with running(url, *actors) as stage:
        await stage.emit(1, 2, 3)
        await stage.until_done(*actors)
    assert all(sorted(seen[kind].messages) == [1, 2, 3] for kind in kinds)
    assert threading.get_ident() not in threads


async def test_in_processes(url: str, event: Event[int], tmp_path: Path) -> None:
    notes = {kind: Note(str(tmp_path / kind)) for kind in ("function", "method", "object")}
    handlers: dict[str, Callable[[int], None]] = {
        "function": functools.partial(note, path=notes["function"].path),
        "method": notes["method"].as_method,
        "object": notes["object"],
    }
    actors = [
        Actor(kind, event, handler, execute_in=ExecuteIn.PROCESS)
        for kind, handler in handlers.items()
    ]
    async with running(url, *actors, max_processes=1) as stage:
        await stage.emit(1, 2, 3)
        await stage.until_done(*actors)
    assert all(noted.messages() == [1, 2, 3] for noted in notes.values())
    processes = {line[1] for noted in notes.values() for line in noted.lines()}
    assert str(os.getpid()) not in processes
    assert len(processes) == 1


@pytest.mark.parametrize("place", [ExecuteIn.MAIN, ExecuteIn.THREAD])
async def test_what_is_returned_does_not_matter(
    url: str, event: Event[int], place: ExecuteIn
) -> None:
    values = [None, 1, False, "text", ValueError("returned"), Retry(), Reject(), object()]
    actor = Actor("a", event, values.__getitem__, execute_in=place)
    async with running(url, actor) as stage:
        await stage.emit(*range(len(values)))
        await stage.until_done(actor)


async def test_what_a_process_returns_does_not_matter(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, return_something_unpicklable, execute_in=ExecuteIn.PROCESS)
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(1)
        await stage.until_done(actor)


# what handlers raise


class OwnError(Exception):
    pass


ERRORS: list[Exception] = [
    ValueError("wrong"),
    OwnError("own"),
    KeyError("key"),
    TimeoutError("from the handler"),
    StopIteration("stop"),
    StopAsyncIteration("stop"),
    ExceptionGroup("several", [ValueError("one"), OwnError("two")]),
    OSError(2, "no such file"),
    RecursionError("too deep"),
    MemoryError(),
    Retry(delay=3600),
]


@pytest.mark.parametrize("how", ["plain", "coroutine", "suspended", "thread"])
async def test_an_exception_is_the_end_of_a_job_only(url: str, event: Event[int], how: str) -> None:
    failures, handled = Failures(), Handled()

    def fail(message: int) -> None:
        if message < len(ERRORS):
            raise ERRORS[message]
        handled.messages.append(message)

    async def fail_async(message: int) -> None:
        if how == "suspended":
            await anyio.lowlevel.checkpoint()
        fail(message)

    actor = Actor(
        "a",
        event,
        fail if how in ("plain", "thread") else fail_async,
        execute_in=ExecuteIn.THREAD if how == "thread" else ExecuteIn.MAIN,
        middlewares=(failures,),
        retry_delay=(3600,),
    )
    async with running(url, actor, max_threads=4) as stage:
        await stage.emit(*range(len(ERRORS) + 1))
        await handled.come(1)
        await stage.until_left(actor, len(ERRORS))
    assert len(failures.errors) == len(ERRORS)
    for error in ERRORS:
        # Python makes a RuntimeError of a StopIteration that leaves a coroutine.
        (raised,) = (raised for raised in failures.errors if error in (raised, raised.__cause__))
        if how != "thread":
            assert _last_function(error) == "fail", "the traceback leads to the handler"
        assert raised is error or type(raised) is RuntimeError


def _last_function(error: BaseException) -> str:
    traceback = error.__traceback__
    assert traceback is not None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_name


async def test_what_is_raised_in_a_process(url: str, event: Event[int]) -> None:
    handlers = [raise_unpicklable, retry_in_an_hour, reject]
    failures = [Failures() for _ in handlers]
    actors: list[Actor[int, Any]] = [
        Actor(
            handler.__name__,
            event,
            handler,
            execute_in=ExecuteIn.PROCESS,
            middlewares=(noting,),
            retry_delay=(3600,),
        )
        for handler, noting in zip(handlers, failures, strict=True)
    ]
    async with running(url, *actors, max_processes=1) as stage:
        await stage.emit(7)
        await until(lambda: all(noting.errors for noting in failures))
        await stage.until_left(actors[0], 1)
        await stage.until_left(actors[1], 1)
        await stage.until_done(actors[2])
    (unpicklable,), (retried,), (rejected,) = (noting.errors for noting in failures)
    assert isinstance(unpicklable, Exception)
    assert isinstance(retried, Retry)
    assert retried.delay == 3600
    assert isinstance(rejected, Reject)
    assert rejected.reason == "no 7"


async def test_a_process_that_dies_is_replaced(url: str, event: Event[int], tmp_path: Path) -> None:
    failures = Failures()
    notes = NoteAndDie(str(tmp_path / "notes"))
    actor = Actor(
        "a",
        event,
        notes,
        execute_in=ExecuteIn.PROCESS,
        middlewares=(failures,),
        retry_delay=(),
    )
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(1, 2)
        await stage.until_done(actor)
    assert sorted(set(notes.messages())) == [1, 2]
    assert len(failures.errors) == 1


async def test_an_awaitable_that_nobody_awaits_is_no_success(url: str, event: Event[int]) -> None:
    failures, seen = Failures(), Seen()
    actor = Actor(
        "a",
        event,
        seen.returning_an_awaitable,
        execute_in=ExecuteIn.THREAD,
        middlewares=(failures,),
        retry_delay=(3600,),
    )
    async with running(url, actor) as stage:
        await stage.emit(1)
        await until(lambda: len(failures.errors) == 1)
        assert (await stage.consumer(actor)).taken == 1
    (raised,) = failures.errors
    assert isinstance(raised, TypeError)
    assert "in a thread or a process cannot" in str(raised)


# what handlers do


async def test_tasks_of_a_handler_end_with_it(url: str, event: Event[int]) -> None:
    ended: list[int] = []

    async def child(number: int) -> None:
        await anyio.lowlevel.checkpoint()
        ended.append(number)

    async def handle(message: int) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(child, message * 10 + number)

    actor = Actor("a", event, handle)
    async with running(url, actor) as stage:
        await stage.emit(1, 2)
        await stage.until_done(actor)
    assert sorted(ended) == [10, 11, 12, 20, 21, 22]


async def test_an_error_in_a_task_of_a_handler(url: str, event: Event[int]) -> None:
    failures = Failures()

    async def child() -> None:
        raise OwnError

    async def handle(message: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child)
            tasks.start_soon(anyio.sleep_forever)

    actor = Actor("a", event, handle, middlewares=(failures,), retry_delay=(3600,))
    async with running(url, actor) as stage:
        await stage.emit(1)
        await until(lambda: len(failures.errors) == 1)
    (raised,) = failures.errors
    assert isinstance(raised, ExceptionGroup)
    assert raised.subgroup(OwnError) is not None


async def test_cancel_scopes_of_a_handler_are_its_own(url: str, event: Event[int]) -> None:
    cut_short = Handled()

    async def handle(message: int) -> None:
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError), anyio.fail_after(0.01):
            await anyio.sleep_forever()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep_forever()
        await cut_short(message)

    actor = Actor("a", event, handle)
    async with running(url, actor) as stage:
        await stage.emit(*range(20))
        await stage.until_done(actor)
    assert sorted(cut_short.messages) == list(range(20))


async def test_a_handler_may_emit(url: str, event: Event[int]) -> None:
    handled = Handled()
    follow = Event(f"{event.name}-follow", int, storage="memory")

    async def handle(message: int) -> None:
        await stage.emit(message + 100, event=follow)

    actors = Actor("a", event, handle), Actor("b", follow, handled)
    async with running(url, *actors) as stage:
        await stage.emit(1, 2, 3)
        await handled.come(3)
        await stage.until_done(*actors)
    assert sorted(handled.messages) == [101, 102, 103]
