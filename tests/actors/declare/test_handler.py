"""A result that shows that the handler was not run is an error, never an acknowledgement."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from concurrent.futures import Future
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.support.waiting import DEADLINE
from walnats_anyio import Actor, Actors, Event, Events
from walnats_anyio._actors.declare._handler import check_result
from walnats_anyio.middlewares import ErrorContext, Middleware
from walnats_anyio.testing import NatsServer

EVENT = Event("results", int)


def traced(function: Callable[[int], Any]) -> Callable[[int], Any]:
    """What people write to log calls."""

    @functools.wraps(function)
    def call(message: int) -> Any:
        return function(message)

    return call


def traced_async(function: Callable[[int], Any]) -> Callable[[int], Any]:
    @functools.wraps(function)
    async def call(message: int) -> Any:
        await anyio.lowlevel.checkpoint()
        return function(message)

    return call


def generator(message: int) -> Iterator[int]:
    yield message


async def async_generator(message: int) -> AsyncIterator[int]:
    yield message


async def coroutine(message: int) -> None:
    raise AssertionError("nobody awaits it")


class Waiting:
    def __await__(self) -> Generator[None, None, None]:
        yield


async def at_once(message: int) -> Any:
    return generator(message)


def future(message: int) -> Future[int]:
    return Future()


async def awaitable(message: int) -> Awaitable[None]:
    return Waiting()


# What `check_result` says of it, and a handler that returns it.
UNFINISHED: list[tuple[str, Callable[[int], Any]]] = [
    ("a generator of generator, which nobody runs", traced(generator)),
    ("a generator of generator, which nobody runs", traced_async(generator)),
    ("a generator of generator, which nobody runs", at_once),
    ("an async_generator of async_generator, which nobody runs", traced(async_generator)),
    ("a contextlib._GeneratorContextManager, .*`with`", contextlib.contextmanager(generator)),
    ("_AsyncGeneratorContextManager, .*`with`", contextlib.asynccontextmanager(async_generator)),
    ("a coroutine of coroutine, which nobody awaits", traced_async(coroutine)),
    ("a concurrent.futures._base.Future, .*result()", future),
    ("Waiting, which nobody awaits", awaitable),
]

FINE: list[Any] = [
    0, False, "text", b"", [generator(1)], {"a": 1}, (), object(), iter([1]), range(3),
    map(int, []), io.StringIO(), contextlib.suppress(KeyError), contextlib.nullcontext(),
    Exception(), int, generator,
]  # fmt: skip


@pytest.mark.parametrize("result", FINE, ids=lambda value: type(value).__name__)
def test_ordinary_results_pass(result: Any) -> None:
    check_result(result)


@pytest.mark.parametrize("make", [generator, async_generator, coroutine, future])
def test_what_is_refused_is_closed(make: Callable[[int], Any]) -> None:
    with pytest.raises(TypeError, match=r"the handler returned an? "):
        check_result(make(1))
    gc.collect()  # a coroutine that was never awaited would warn, and a warning is an error here


class Errors(Middleware):
    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_failure(self, ctx: ErrorContext, /) -> None:
        self.seen.append(f"{type(ctx.exception).__name__}: {ctx.exception}")


@pytest.mark.anyio
async def test_what_was_never_run_is_not_acknowledged(nats_server: NatsServer) -> None:
    errors = [Errors() for _ in UNFINISHED]
    actors = Actors(
        *[
            Actor(f"a{index}", EVENT, handler, max_attempts=1, middlewares=[errors[index]])
            for index, (_, handler) in enumerate(UNFINISHED)
        ]
    )
    async with (
        Events(EVENT).connect(nats_server.url) as events,
        actors.connect(nats_server.url) as listening,
    ):
        await events.register()
        await listening.register()
        await events.emit(EVENT, 1, sync=True)
        with anyio.fail_after(DEADLINE):
            summary = await listening.listen(burst=True)
    assert summary.handled == 0
    for (told, _), seen in zip(UNFINISHED, errors, strict=True):
        with pytest.raises(TypeError, match=told):
            raise TypeError(*seen.seen)
    gc.collect()


@pytest.mark.anyio
async def test_what_can_be_awaited_is_awaited(
    nats_server: NatsServer, anyio_backend_name: str
) -> None:
    ran: list[int] = []

    async def work(message: int) -> None:
        await anyio.lowlevel.checkpoint()
        ran.append(message)

    class Lazy:
        def __init__(self, message: int) -> None:
            self._message = message

        def __await__(self) -> Generator[Any, None, None]:
            return work(self._message).__await__()

    def task(message: int) -> Any:
        return asyncio.ensure_future(work(message))

    handlers: list[Any] = [traced(work), traced(Lazy)]
    if anyio_backend_name == "asyncio":
        handlers.append(task)
    actors = Actors(*[Actor(f"a{index}", EVENT, handler) for index, handler in enumerate(handlers)])
    async with (
        Events(EVENT).connect(nats_server.url) as events,
        actors.connect(nats_server.url) as listening,
    ):
        await events.register()
        await listening.register()
        await events.emit(EVENT, 1, sync=True)
        with anyio.fail_after(DEADLINE):
            summary = await listening.listen(burst=True)
    assert summary.handled == len(handlers) == len(ran)
