"""One job cannot hurt another: handlers that misbehave, beside an actor that misses no event."""

from __future__ import annotations

import asyncio
import contextlib
import decimal
import gc
import inspect
import locale
import logging
import os
import random
import signal
import sys
import threading
import time
import types
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
from anyio.lowlevel import checkpoint

from tests.actors._stage import listening, stage
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actor, Event, Retry

pytestmark = [
    # Some of these handlers make Python itself complain, about what they have left behind.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

Handler = Callable[[int], Any]

KEPT: list[Any] = []
"""What handlers leave open, kept from the garbage collector."""


async def pages(seconds: float | None) -> AsyncIterator[int]:
    with anyio.move_on_after(seconds):
        yield 1
        yield 2


async def abandon(seconds: float | None, *, keep: bool) -> None:
    generator = pages(seconds)
    async for _ in generator:
        break
    if keep:
        KEPT.append(generator)


async def generator_without_deadline(_: int) -> None:
    await abandon(None, keep=True)
    await checkpoint()


async def generator_with_deadline(_: int) -> None:
    await abandon(0.05, keep=True)
    await checkpoint()


async def generator_that_is_over(_: int) -> None:
    await abandon(0.0, keep=True)
    await checkpoint()


async def generator_collected(_: int) -> None:
    await abandon(0.05, keep=False)
    await anyio.sleep(0.01)


async def generator_without_waiting(_: int) -> None:
    await abandon(None, keep=True)


async def generator_over_without_waiting(_: int) -> None:
    await abandon(0.0, keep=True)


async def generator_with_deadline_without_waiting(_: int) -> None:
    await abandon(0.05, keep=True)


async def scope_and_a_long_wait(_: int) -> None:
    await abandon(0.05, keep=True)
    await anyio.sleep_forever()


async def scope_and_its_time_limit(_: int) -> None:
    await abandon(None, keep=True)
    await anyio.sleep_forever()


async def scope_entered(_: int) -> None:
    scope = anyio.CancelScope()
    scope.__enter__()
    KEPT.append(scope)
    await checkpoint()


async def scope_entered_and_cancelled(_: int) -> None:
    scope = anyio.CancelScope()
    scope.__enter__()
    scope.cancel()
    KEPT.append(scope)


async def task_group_left(_: int) -> None:
    tasks = anyio.create_task_group()
    await tasks.__aenter__()
    tasks.start_soon(checkpoint)
    KEPT.append(tasks)
    await checkpoint()


class Panic(BaseException):
    """As an extension raises it that is written in Rust."""


async def panic(_: int) -> None:
    await checkpoint()
    raise Panic("a bug in an extension")


def panic_at_once(_: int) -> None:
    raise Panic


async def system_exit(_: int) -> None:
    await checkpoint()
    sys.exit(3)


def system_exit_at_once(_: int) -> None:
    sys.exit("stop")


async def cancelled_error_raised(_: int) -> None:
    raise asyncio.CancelledError


async def cancelled_error_after_waiting(_: int) -> None:
    await checkpoint()
    raise asyncio.CancelledError


async def generator_exit(_: int) -> None:
    await checkpoint()
    raise GeneratorExit


def generator_exit_at_once(_: int) -> None:
    raise GeneratorExit


def stop_iteration(_: int) -> None:
    raise StopIteration


async def group_of_everything(_: int) -> None:
    await checkpoint()
    raise BaseExceptionGroup("all", [Panic(), SystemExit(), ValueError(), GeneratorExit()])


async def cancels_its_own_task(_: int) -> None:
    if not trio.lowlevel.in_trio_run():
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await checkpoint()
    raise ValueError


async def cancels_its_own_task_and_returns(_: int) -> None:
    if not trio.lowlevel.in_trio_run():
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
    else:
        raise ValueError


async def cancels_its_task_when_it_is_over(_: int) -> None:
    if not trio.lowlevel.in_trio_run():
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(0.001, task.cancel)


async def asyncio_timeout_left_open(_: int) -> None:
    if not trio.lowlevel.in_trio_run():
        await asyncio.timeout(0.01).__aenter__()
        await anyio.sleep(0.1)
    raise ValueError


async def asyncio_tasks_left_open(_: int) -> None:
    if not trio.lowlevel.in_trio_run():
        tasks = asyncio.TaskGroup()
        await tasks.__aenter__()
        KEPT.append(tasks)
        tasks.create_task(asyncio.wait_for(asyncio.Event().wait(), 0.01))
        await anyio.sleep(0.1)
    raise ValueError


async def has_its_own_task_cancelled(_: int) -> None:
    if not trio.lowlevel.in_trio_run():
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        await anyio.sleep(0.1)
    raise ValueError


def a_generator(_: int) -> Any:
    return (each for each in range(3))


def an_async_generator(_: int) -> Any:
    return pages(None)


def a_context_manager(_: int) -> Any:
    return contextlib.nullcontext()


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


async def cannot_be_printed(_: int) -> None:
    raise Unprintable


class Exits(Exception):
    def __str__(self) -> str:
        raise SystemExit("no words")


class CancelsWords(Exception):
    def __str__(self) -> str:
        raise asyncio.CancelledError


def panic_when_asked(_: object) -> Any:
    raise Panic


IsNothing = type("IsNothing", (Exception,), {"__class__": property(panic_when_asked)})

RetryWithoutDelay = type(
    "RetryWithoutDelay",
    (Retry,),
    {"delay": property(panic_when_asked, lambda *_: None)},
)


def exits_when_it_is_printed(_: int) -> None:
    raise Exits


async def panics_when_it_is_looked_at(_: int) -> None:
    await checkpoint()
    raise IsNothing


def cancels_when_it_is_printed(_: int) -> None:
    raise CancelsWords


def panics_when_it_is_asked_for_a_delay(_: int) -> None:
    raise RetryWithoutDelay


async def loops(_: int) -> None:
    await checkpoint()
    raise ExceptionGroup("x", [ExceptionGroup("y", [Unprintable(), RecursionError()])])


async def awaits_a_cancelled_future(_: int) -> None:
    if not trio.lowlevel.in_trio_run():
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.cancel)
        await future
    raise ValueError


async def awaits_its_own_task(_: int) -> None:
    if not trio.lowlevel.in_trio_run():
        await asyncio.current_task()  # type: ignore[misc]  # it is one
    raise ValueError


@types.coroutine
def _yield_nonsense() -> Generator[object, None, None]:
    yield 42


async def yields_what_no_event_loop_knows(_: int) -> None:
    if not trio.lowlevel.in_trio_run():  # trio gives up then, and says that it is our bug
        await _yield_nonsense()
    raise ValueError


def is_its_own_cause(_: int) -> None:
    error, other = ValueError(), KeyError()
    error.__cause__, error.__context__ = error, other
    other.__context__ = error
    raise error


BAD: list[Handler] = [
    awaits_its_own_task,
    yields_what_no_event_loop_knows,
    is_its_own_cause,
    generator_without_deadline,
    generator_with_deadline,
    generator_that_is_over,
    generator_collected,
    generator_without_waiting,
    generator_over_without_waiting,
    generator_with_deadline_without_waiting,
    scope_and_a_long_wait,
    scope_and_its_time_limit,
    scope_entered,
    scope_entered_and_cancelled,
    task_group_left,
    panic,
    panic_at_once,
    system_exit,
    system_exit_at_once,
    cancelled_error_raised,
    cancelled_error_after_waiting,
    generator_exit,
    generator_exit_at_once,
    stop_iteration,
    group_of_everything,
    cancels_its_own_task,
    cancels_its_own_task_and_returns,
    cancels_its_task_when_it_is_over,
    a_generator,
    an_async_generator,
    a_context_manager,
    cannot_be_printed,
    exits_when_it_is_printed,
    panics_when_it_is_looked_at,
    cancels_when_it_is_printed,
    panics_when_it_is_asked_for_a_delay,
    asyncio_timeout_left_open,
    asyncio_tasks_left_open,
    has_its_own_task_cancelled,
    loops,
    awaits_a_cancelled_future,
]


class Healthy:
    """Notes its runs; one in two waits."""

    def __init__(self) -> None:
        self.runs: Counter[int] = Counter()

    async def __call__(self, number: int) -> None:
        if number % 2:
            await anyio.sleep(0.001)
        self.runs[number] += 1


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_a_bad_handler_beside_a_healthy_one(
    url: str, event: Event[int], bad: Handler, anyio_backend: str
) -> None:
    """The healthy actor gets each event once, with the bad one before, beside and after it."""
    # With an event loop of its own, which ends with what such a handler leaves behind.
    anyio.run(_beside_a_healthy_one, url, event, bad, backend=anyio_backend)


async def _beside_a_healthy_one(url: str, event: Event[int], bad: Handler) -> None:
    tries: Counter[int] = Counter()

    def spoil(number: int) -> Any:
        tries[number] += 1
        return bad(number)

    healthy = Healthy()
    options: dict[str, Any] = {"max_jobs": 3, "job_timeout": 0.3, "retry_delay": (0.01,)}
    actor = Actor("bad", event, spoil, max_attempts=2, dead_letters=False, **options)
    other = Actor("healthy", event, healthy, max_jobs=3, max_attempts=1)
    async with stage(url, actor, other) as staged:
        async with listening(staged.actors, max_jobs=4):
            for start in range(0, 20, 5):
                await staged.emit(*range(start, start + 5))
                await until(lambda upto=start + 5: len(healthy.runs) == upto)  # type: ignore[misc]
            await staged.until_done(actor, other)
        assert healthy.runs == dict.fromkeys(range(20), 1)
        assert set(tries) == set(range(20))
        assert max(tries.values()) <= 2 or bad in LATE


LATE = [
    cancels_its_own_task_and_returns,
    cancels_its_task_when_it_is_over,
    # Where the machine is busy, what they have left open is late as well.
    asyncio_timeout_left_open,
    asyncio_tasks_left_open,
]
"""Handlers that cancel another job of the same actor: that is no attempt."""


@pytest.fixture
def restored() -> Iterator[None]:
    """What belongs to the whole process is as before when the test is over."""
    files = [os.dup(number) for number in range(3)]
    limit, disabled, number_format = (
        sys.getrecursionlimit(), logging.root.manager.disable, locale.setlocale(locale.LC_ALL)
    )  # fmt: skip
    with (
        warnings.catch_warnings(),
        contextlib.chdir("."),
        pytest.MonkeyPatch.context() as patch,
    ):
        for module, name in (
            (sys, "stdout"), (sys, "stderr"), (sys, "excepthook"), (threading, "excepthook"),
            (sys, "unraisablehook"),
        ):  # fmt: skip
            patch.setattr(module, name, getattr(module, name))
        yield
    gc.enable()
    sys.setrecursionlimit(limit)
    logging.disable(disabled)
    locale.setlocale(locale.LC_ALL, number_format)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)


def test_a_handler_that_changes_what_all_share(
    url: str, event: Event[int], anyio_backend: str, restored: None, tmp_path: Path
) -> None:
    """The library needs none of it as it was: not to go on, and not to say what happened."""

    def change(_: int) -> None:
        gone = tmp_path / f"gone-{time.monotonic_ns()}"
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()
        gc.disable()
        warnings.simplefilter("error")
        logging.disable(logging.CRITICAL)
        locale.setlocale(locale.LC_ALL, "C")
        decimal.getcontext().prec = 1
        decimal.getcontext().traps[decimal.Inexact] = True
        random.seed(0)
        os.closerange(0, 3)
        sys.stdout = sys.stderr = None
        sys.excepthook = sys.unraisablehook = threading.excepthook = panic_when_asked  # type: ignore[assignment]  # they raise
        sys.setrecursionlimit(len(inspect.stack(0)) + 100)
        signal.setitimer(signal.ITIMER_REAL, 0)
        warnings.warn("as a library may", DeprecationWarning, stacklevel=1)

    anyio.run(_beside_a_healthy_one, url, event, change, backend=anyio_backend)


@pytest.mark.anyio
@pytest.mark.parametrize("leaf", [Panic, ValueError])
async def test_a_group_that_is_nested_deeply(
    url: str, event: Event[int], leaf: type[BaseException]
) -> None:
    """Neither what looks into it nor what logs it may give up."""

    async def nest(_: int) -> None:
        error = leaf()
        for _ in range(2000):
            error = BaseExceptionGroup("again", [error])
        raise error

    async with stage(url, Actor("a", event, nest, max_attempts=1)) as on:
        await on.emit(1)
        assert (await on.actors.listen(burst=True)).dead_lettered == 1


def test_an_innocent_job_of_the_same_actor(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture, anyio_backend: str
) -> None:
    """A scope left open by a job that never waited is no failure of the job that comes next."""
    runs: Counter[int] = Counter()
    anyio.run(_an_innocent_job, url, event, runs, backend=anyio_backend)
    assert runs.keys() == set(range(1, 6))
    assert not [each for each in caplog.records if "attempt" in each.getMessage()]
    assert "it is not known which" in caplog.text


async def _an_innocent_job(url: str, event: Event[int], runs: Counter[int]) -> None:
    async def handler(number: int) -> None:
        runs[number] += 1
        if number == 1 and runs[1] == 1:
            await abandon(0.05, keep=True)
            return
        await anyio.sleep(0.1)

    actor = Actor("mixed", event, handler, max_jobs=1, max_attempts=1)
    async with stage(url, actor) as staged:
        await staged.emit(*range(1, 6))
        async with listening(staged.actors):
            await staged.until_done(actor)


async def test_an_interrupt_as_a_handler_enters_a_scope(
    url: str, event: Event[int], anyio_backend: str
) -> None:
    """It leaves the scope open, and is not taken for the failure of the handler."""
    if anyio_backend != "trio":
        return  # asyncio raises it out of the event loop itself

    async def handle(message: int) -> None:
        anyio.CancelScope().__enter__()
        raise KeyboardInterrupt

    async with stage(url, Actor("a", event, handle)) as on:
        await on.emit(1)
        with anyio.fail_after(DEADLINE), pytest.raises(KeyboardInterrupt):
            await on.actors.listen()


def count_of_tasks() -> int:
    """How many tasks the event loop has."""
    if not trio.lowlevel.in_trio_run():
        return len(asyncio.all_tasks())
    count, found = 0, [trio.lowlevel.current_root_task()]
    while found:
        task = found.pop()
        assert task is not None
        count += 1
        for nursery in task.child_nurseries:
            found += nursery.child_tasks
    return count


async def scope_and_sleep(_: int) -> None:
    await scope_entered(0)
    await anyio.sleep_forever()


async def task_group_and_sleep(_: int) -> None:
    tasks = anyio.create_task_group()
    await tasks.__aenter__()
    tasks.start_soon(anyio.sleep_forever)
    KEPT.append(tasks)
    await anyio.sleep_forever()


@pytest.mark.parametrize("bad", [scope_entered, task_group_left])
def test_spoilt_tasks_are_few(
    url: str, event: Event[int], bad: Handler, anyio_backend: str
) -> None:
    """One that cannot end without harm waits for the end of `listen`, but not one for each job."""
    counts = anyio.run(_spoil_often, url, event, bad, backend=anyio_backend)
    before, during, after = counts
    assert during <= before + 16
    assert after == before


async def _spoil_often(url: str, event: Event[int], bad: Handler) -> tuple[int, int, int]:
    seen: list[int] = []

    async def spoil(number: int) -> None:
        seen.append(number)
        await bad(number)

    actor = Actor("bad", event, spoil, max_jobs=3, max_attempts=1, dead_letters=False)
    async with stage(url, actor) as on:
        await on.emit(*range(60))
        before = count_of_tasks()
        async with listening(on.actors):
            await until(lambda: len(seen) == 60)
            await on.until_done(actor)
            during = count_of_tasks()
        return before, during, count_of_tasks()


@pytest.mark.parametrize("how", ["cancel", "shutdown", "deadline"])
@pytest.mark.parametrize("bad", [scope_and_sleep, task_group_and_sleep])
def test_the_end_beside_a_spoilt_task(
    url: str, event: Event[int], bad: Handler, how: str, anyio_backend: str
) -> None:
    """What is left open by a job that is cut short does not show at the end of `listen`."""
    anyio.run(_end_while_spoilt, url, event, bad, how, backend=anyio_backend)


async def _end_while_spoilt(url: str, event: Event[int], bad: Handler, how: str) -> None:
    runs = 0

    async def spoil(number: int) -> None:
        nonlocal runs
        runs += 1
        await (bad(number) if runs > 1 else task_group_left(number))

    options: dict[str, Any] = {"max_jobs": 1, "retry_delay": (0,), "dead_letters": False}
    async with stage(url, Actor("bad", event, spoil, **options)) as on:
        await on.emit(1)
        with anyio.fail_after(DEADLINE), anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: on.actors.listen(shutdown_timeout=0.01))
                await until(lambda: runs == 2)
                if how == "shutdown":
                    on.actors.shutdown()
                elif how == "cancel":
                    tasks.cancel_scope.cancel()
                else:
                    scope.deadline = anyio.current_time()
        assert scope.cancelled_caught == (how == "deadline")
