"""Places for jobs: the time that waits for one is free, and hung threads cost nobody an attempt."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.actors._stage import running
from tests.actors.run._handlers import (
    Sleep,
    cancel,
    fail_for_a_cause,
    generate,
    interrupt,
    leave,
    stop_generation,
)
from tests.support.waiting import until
from walnats_anyio import Actor, Event, ExecuteIn, HandlerError
from walnats_anyio._actors.run._threads import ThreadCall
from walnats_anyio.middlewares import BaseContext, ErrorContext, Middleware

pytestmark = pytest.mark.anyio


class Noted(Middleware):
    """Notes failures, and every attempt that was started."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.attempts: list[int] = []

    def on_start(self, ctx: BaseContext, /) -> None:
        self.attempts.append(ctx.attempts)

    def on_failure(self, ctx: ErrorContext, /) -> None:
        self.errors.append(ctx.exception)


@pytest.mark.parametrize("place", [ExecuteIn.THREAD, ExecuteIn.PROCESS])
async def test_the_time_starts_when_the_handler_does(
    url: str, event: Event[int], tmp_path: Path, place: ExecuteIn
) -> None:
    noted = Noted()
    notes = Sleep(str(tmp_path / "notes"), 0.5)
    actor = Actor(
        "a",
        event,
        notes,
        execute_in=place,
        job_timeout=1.5,
        max_attempts=1,
        ack_wait=2,  # what waits is pulsed, or it would come twice
        middlewares=(noted,),
    )
    async with running(url, actor, max_threads=1, max_processes=1) as on:
        await on.emit(*range(8))
        await on.until_done(actor)
    assert noted.errors == []
    assert notes.messages() == list(range(8))


@pytest.mark.parametrize("place", [ExecuteIn.THREAD, ExecuteIn.PROCESS])
async def test_the_time_is_limited(
    url: str, event: Event[int], tmp_path: Path, place: ExecuteIn
) -> None:
    noted = Noted()
    notes = Sleep(str(tmp_path / "notes"), 1.0)
    actor = Actor(
        "a",
        event,
        notes,
        execute_in=place,
        job_timeout=0.3,
        max_attempts=1,
        middlewares=(noted,),
    )
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    (error,) = noted.errors
    assert isinstance(error, TimeoutError)


async def test_hung_threads_cost_nobody_an_attempt(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    other = Event(f"{event.name}-other", int, storage="memory")
    noted, may_end, handled = Noted(), threading.Event(), list[int]()
    hang = Actor(
        "hang",
        event,
        lambda message: may_end.wait(60),
        execute_in=ExecuteIn.THREAD,
        job_timeout=0.2,
        retry_delay=(3600,),
    )
    work = Actor(
        "work",
        other,
        handled.append,
        execute_in=ExecuteIn.THREAD,
        job_timeout=0.2,
        max_attempts=1,
        max_jobs=4,
        ack_wait=2,
        middlewares=(noted,),
    )
    main = Actor("main", other, handled.append)
    async with running(url, hang, work, main, max_threads=2, poll_delay=1) as on:
        await on.emit(0, 1)
        await until(lambda: "all 2 threads are held" in caplog.text)

        async def asks_for_nothing() -> bool:
            return (await on.consumer(work)).requested == 0

        # The intake stops: once the requests that were there have expired, nothing is taken.
        await until(asks_for_nothing)
        await on.emit(*range(100), event=other)
        await until(lambda: len(handled) == 100)  # by the actor that needs no thread
        await anyio.sleep(1.5)
        consumer = await on.consumer(work)
        assert (consumer.taken, consumer.requested) == (0, 0)
        assert len(handled) == 100
        may_end.set()
        await on.until_done(work)
    assert len(handled) == 200
    assert noted.errors == []
    assert noted.attempts == [1] * 100
    assert caplog.text.count("all 2 threads are held") == 1
    assert "actor 'hang': 2" in caplog.text
    assert "events are taken again" in caplog.text


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (leave, "SystemExit"),
        (interrupt, "KeyboardInterrupt"),
        (cancel, "asyncio.exceptions.CancelledError"),
        (stop_generation, "GeneratorExit"),
    ],
)
async def test_what_ends_a_program_ends_one_attempt_in_a_thread(
    url: str, event: Event[int], handler: Callable[[int], Any], kind: str
) -> None:
    noted = Noted()
    actor = Actor(
        "a",
        event,
        handler,
        execute_in=ExecuteIn.THREAD,
        max_attempts=2,
        retry_delay=(),
        middlewares=(noted,),
    )
    async with running(url, actor) as on:
        await on.emit(1, 2)
        await on.until_done(actor)
    assert sorted(noted.attempts) == [1, 1, 2, 2]
    for error in noted.errors:
        assert isinstance(error, HandlerError)
        assert error.type_name == kind
        assert f"in {handler.__name__}" in error.traceback


async def test_an_exception_of_a_thread_is_itself(url: str, event: Event[int]) -> None:
    noted = Noted()
    actor: Actor[int, Any] = Actor(
        "a",
        event,
        fail_for_a_cause,
        execute_in=ExecuteIn.THREAD,
        max_attempts=1,
        middlewares=(noted,),
    )
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    (error,) = noted.errors
    assert type(error) is RuntimeError
    assert isinstance(error.__cause__, KeyError)


async def test_a_generator_was_never_run(url: str, event: Event[int]) -> None:
    noted = Noted()
    actor = Actor(
        "a",
        event,
        generate,
        execute_in=ExecuteIn.THREAD,
        max_attempts=1,
        middlewares=(noted,),
    )
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    (error,) = noted.errors
    assert "returned a generator of generate" in str(error)


async def test_a_job_cancelled_while_it_waits_for_a_thread_never_runs(
    url: str, event: Event[int]
) -> None:
    may_end, started = threading.Event(), list[int]()

    def handle(message: int) -> None:
        started.append(message)
        may_end.wait(60)

    actor = Actor("a", event, handle, execute_in=ExecuteIn.THREAD, max_attempts=1)
    async with running(url, actor, max_threads=1, shutdown_timeout=0.1) as on:
        await on.emit(1, 2)
        await until(lambda: bool(started))
    may_end.set()
    await anyio.sleep(0.2)
    assert started == [1]
    async with running(url, actor, max_threads=1) as on:
        await on.until_done(actor)
    assert sorted(started) == [1, 1, 2], "handed back, which costs no attempt"


def test_a_call_given_up_before_its_thread_began_never_runs() -> None:
    ran: list[int] = []
    thread = ThreadCall(ran.append, 1, lambda: ran.append(2))
    assert not thread.abandon()
    thread.run()
    assert ran == []


def test_a_call_given_up_later_says_when_it_ends() -> None:
    may_end, started, ended = threading.Event(), threading.Event(), threading.Event()

    def handle(message: int) -> None:
        started.set()
        may_end.wait(30)
        raise SystemExit

    call = ThreadCall(handle, 1, ended.set)
    thread = threading.Thread(target=call.run)
    thread.start()
    assert started.wait(30)
    assert call.abandon()
    assert not ended.is_set()
    may_end.set()
    thread.join(30)
    assert ended.is_set()
    call.raise_error()  # nobody waits for what it raised


def test_a_call_that_has_ended_is_not_running() -> None:
    call = ThreadCall(time.sleep, 0.0, lambda: None)
    call.run()
    assert not call.abandon()
