"""Jobs that take longer than `job_timeout`, wherever they run."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio

from tests.actors._elsewhere import NoteAndSpin
from tests.actors._stage import run_of, running
from tests.support.recorders import Handled, Recorder
from tests.support.waiting import until
from walnats_anyio import Actor, Event, ExecuteIn
from walnats_anyio.middlewares import ErrorContext, Middleware, OkContext

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_copies")]


class CleanUpError(Exception):
    pass


async def hang() -> None:
    await anyio.sleep_forever()


async def hang_in_tasks() -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(anyio.sleep_forever)
        with anyio.CancelScope():
            await anyio.sleep_forever()


async def hang_and_fail_in_a_task() -> None:
    async def child() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise CleanUpError

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(child)
        await anyio.sleep_forever()


async def hang_and_clean_up() -> None:
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.05)


async def hang_behind_a_lock() -> None:
    lock = anyio.Lock()
    async with lock, anyio.create_task_group() as tasks:

        async def wait() -> None:
            async with lock:
                pass

        tasks.start_soon(wait)
        await anyio.sleep_forever()


async def hang_natively_on_asyncio() -> None:
    async with asyncio.timeout(3600), asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.sleep(3600))
        await asyncio.wait_for(asyncio.sleep(3600), 3600)


async def hang_natively_on_trio() -> None:
    with trio.move_on_after(3600):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()


async def hang_natively() -> None:
    if trio.lowlevel.in_trio_run():
        await hang_natively_on_trio()
    else:
        await hang_natively_on_asyncio()


@pytest.mark.parametrize(
    "hanging",
    [
        hang,
        hang_in_tasks,
        hang_and_fail_in_a_task,
        hang_and_clean_up,
        hang_behind_a_lock,
        hang_natively,
    ],
)
async def test_a_job_that_hangs_is_cancelled(
    url: str, event: Event[int], hanging: Callable[[], Awaitable[None]]
) -> None:
    outcomes, handled = Recorder(), Handled()

    async def handle(message: int) -> None:
        if message < 2:
            await hanging()
        await handled(message)

    actor = Actor(
        "a",
        event,
        handle,
        job_timeout=0.3,
        retry_delay=(3600,),
        middlewares=(outcomes,),
        max_jobs=2,
    )
    async with running(url, actor) as on:
        await on.emit(0, 1)
        await until(lambda: len(outcomes.failed) == 2)
        # The slots are free again, and later jobs are not touched by the cancellation.
        await on.emit(*range(2, 20))
        await handled.come(18)
        await on.until_left(actor, 2)
    assert sorted(message for message, _ in outcomes.failed) == [0, 1]
    for _, error in outcomes.failed:
        if hanging is hang_and_fail_in_a_task:
            continue  # the error of its clean-up may be what is told
        assert isinstance(error, TimeoutError)
        assert "job_timeout=0.3" in str(error)


class SomeWait:
    """A handler of odd messages that wait, and of others that take long without waiting."""

    def __init__(self) -> None:
        self.handled: list[int] = []

    async def __call__(self, message: int) -> None:
        if message % 2:
            await anyio.sleep(0.01)
        else:
            time.sleep(0.002)  # noqa: ASYNC251 - more than a worker may take at once
        self.handled.append(message)


async def test_a_deadline_that_passes_while_its_worker_waits_ends_nothing(
    url: str, event: Event[int]
) -> None:
    """It waits in the scope of handlers that never waited; the event loop is blocked."""
    handler = SomeWait()
    actor = Actor("a", event, handler, job_timeout=0.3, max_jobs=1)
    async with running(url, actor) as on:
        workers = run_of(on.actors).workers
        for message in range(0, 6, 2):
            await on.emit(message)
            await on.until_done(actor)
            # What comes while the deadline passes, in the same turn of the event loop.
            await on.events.emit(event, message + 1)
            time.sleep(0.4)  # noqa: ASYNC251 - on purpose, see above
            await on.until_done(actor)
        await on.emit(6)
        # Or nothing comes: then the worker ends, and the next event has a new one.
        await until(lambda: not workers.all)
        await on.emit(7)
        await on.until_done(actor)
        assert on.actors.statistics().actors[0].failed == 0
    assert handler.handled == list(range(8))


async def test_a_deadline_that_passes_while_others_run_ends_nothing(
    url: str, event: Event[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just as the worker goes on: it is too late to end its waiting, which is over."""
    handler, passed = SomeWait(), 0
    actor = Actor("a", event, handler, max_jobs=6)
    async with running(url, actor) as on:
        workers = run_of(on.actors).workers
        breathe = workers.pace.breathe

        async def breathe_for_long() -> None:
            nonlocal passed
            await breathe()
            for worker in workers.all:
                if worker.scope is not None and worker.current is None:
                    worker.scope.cancel()
                    passed += 1

        monkeypatch.setattr(workers.pace, "breathe", breathe_for_long)
        await on.emit(*range(20))
        await on.until_done(actor)
        assert on.actors.statistics().actors[0].failed == 0
    assert passed >= 3
    assert sorted(handler.handled) == list(range(20))


async def test_handlers_that_never_wait_see_the_deadline_of_their_own_job(
    url: str, event: Event[int]
) -> None:
    """They share one, which is moved on now and then: neither too early nor much too late."""
    left: list[float] = []

    async def handle(message: int) -> None:
        left.append(anyio.current_effective_deadline() - anyio.current_time())
        time.sleep(0.01 if message % 4 else 0)  # noqa: ASYNC251 - it is to block

    actor = Actor("a", event, handle, job_timeout=1.5, max_jobs=1)
    async with running(url, actor) as on:
        await on.emit(*range(160))
        await on.until_done(actor)
    assert len(left) == 160
    assert min(left) > 1
    assert max(left) <= 1.5 * 1.02


async def test_without_middlewares_too(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    handled = Handled()

    async def handle(message: int) -> None:
        if message == 0:
            await anyio.sleep_forever()
        await handled(message)

    actor = Actor("a", event, handle, job_timeout=0.2, retry_delay=(3600,), max_jobs=1)
    async with running(url, actor) as on:
        await on.emit(*range(20))
        await handled.come(19)
        await on.until_left(actor, 1)
    assert "attempt 1 timed out" in caplog.text


async def test_each_job_has_its_own_time(url: str, event: Event[int]) -> None:
    """Also one that starts in the middle of another one's, and a second attempt."""
    took: dict[int, list[float]] = {0: [], 1: []}

    async def handle(message: int) -> None:
        began = time.monotonic()
        try:
            await anyio.sleep_forever()
        finally:
            took[message].append(time.monotonic() - began)

    actor = Actor("a", event, handle, job_timeout=0.6, retry_delay=(0, 3600), max_jobs=2)
    async with running(url, actor) as on:
        await on.emit(0)
        await anyio.sleep(0.3)
        await on.emit(1)
        await until(lambda: [len(each) for each in took.values()] == [2, 2])
    assert all(0.59 < each < 0.85 for each in took[0] + took[1]), took


async def test_a_job_that_cleans_up_costs_nothing_meanwhile(url: str, event: Event[int]) -> None:
    """It is cancelled once, and not again in each turn of the event loop."""
    outcomes = Recorder()
    spent: list[float] = []

    async def handle(message: int) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            before = time.process_time()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.6)
            spent.append(time.process_time() - before)

    actor = Actor("a", event, handle, job_timeout=0.1, retry_delay=(3600,), middlewares=(outcomes,))
    async with running(url, actor) as on:
        await on.emit(1)
        await until(lambda: bool(outcomes.failed))
    assert spent[0] < 0.3


async def test_a_job_that_catches_its_cancellation_and_returns(url: str, event: Event[int]) -> None:
    """Its work is done, if late: an event handled is not run again."""
    outcomes = Recorder()

    async def handle(message: int) -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return

    actor = Actor("a", event, handle, job_timeout=0.1, retry_delay=(), middlewares=(outcomes,))
    async with running(url, actor) as on:
        await on.emit(1, 2, 3)
        await on.until_done(actor)
    assert sorted(outcomes.succeeded) == [1, 2, 3]
    assert not outcomes.failed


async def test_a_job_that_returns_late_has_one_outcome(url: str, event: Event[int]) -> None:
    """Also with hooks that wait, in which a deadline that has passed must not end anything."""
    outcomes: list[str] = []

    class Waits(Middleware):
        async def on_success(self, ctx: OkContext, /) -> None:
            await anyio.sleep(0.05)
            outcomes.append("success")

        async def on_failure(self, ctx: ErrorContext, /) -> None:
            outcomes.append("failure")

    async def handle(message: int) -> None:
        with suppress(anyio.get_cancelled_exc_class()):
            await anyio.sleep_forever()

    # A hook has as long as a job, and its 0.05 s may take ten times that on a busy machine.
    actor = Actor("a", event, handle, job_timeout=1, retry_delay=(), middlewares=(Waits(),))
    async with running(url, actor) as on:
        await on.emit(1)
        await until(lambda: outcomes != [])
        await on.until_done(actor)
    assert outcomes == ["success"]


async def test_a_job_that_catches_its_cancellation_and_raises(url: str, event: Event[int]) -> None:
    outcomes = Recorder()

    async def handle(message: int) -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            raise CleanUpError from None

    actor = Actor("a", event, handle, job_timeout=0.1, retry_delay=(3600,), middlewares=(outcomes,))
    async with running(url, actor) as on:
        await on.emit(1)
        await until(lambda: bool(outcomes.failed))
        await on.until_left(actor, 1)
    ((_, error),) = outcomes.failed
    assert isinstance(error, CleanUpError)


async def test_a_job_that_goes_on_after_its_cancellation(url: str, event: Event[int]) -> None:
    """It swallows the cancellation again and again, and returns in the end."""
    handled = Handled()

    async def handle(message: int) -> None:
        for _ in range(5):
            try:
                await anyio.sleep(0.2)
            except anyio.get_cancelled_exc_class():
                continue
        await handled(message)

    actor = Actor("a", event, handle, job_timeout=0.1, retry_delay=())
    async with running(url, actor) as on:
        await on.emit(1, 2)
        await on.until_done(actor)
    assert sorted(handled.messages) == [1, 2]


async def test_jobs_that_end_at_their_deadline(url: str, event: Event[int]) -> None:
    """Each is done with or failed, whichever came first; none is lost, none breaks `listen`."""
    outcomes = Recorder()

    async def handle(message: int) -> None:
        await anyio.sleep(0.2 + (message % 11 - 5) * 0.002)

    actor = Actor(
        "a",
        event,
        handle,
        job_timeout=0.2,
        retry_delay=(3600,),
        max_jobs=100,
        middlewares=(outcomes,),
    )
    async with running(url, actor, max_jobs=100) as on:
        await on.emit(*range(300))
        await until(lambda: len(outcomes.failed) + len(outcomes.succeeded) == 300)
        await on.until_left(actor, len(outcomes.failed))
    failed = {message for message, _ in outcomes.failed}
    assert failed.isdisjoint(outcomes.succeeded)
    assert failed | set(outcomes.succeeded) == set(range(300))


@pytest.mark.parametrize("told", [False, True])
async def test_time_spent_before_the_first_await_counts(
    url: str, event: Event[int], told: bool
) -> None:
    """Whether a hook is told of the outcome, or nobody."""
    outcomes = Recorder()
    waited: list[float] = []

    async def handle(message: int) -> None:
        time.sleep(0.7)  # noqa: ASYNC251 - it is what a handler should not do
        began = time.monotonic()
        try:
            await anyio.sleep_forever()
        finally:
            waited.append(time.monotonic() - began)

    middlewares = (outcomes,) if told else ()
    options: Any = {"job_timeout": 0.8, "retry_delay": (3600,), "middlewares": middlewares}
    async with running(url, Actor("a", event, handle, **options)) as on:
        await on.emit(1)
        await until(lambda: on.actors.statistics().actors[0].failed == 1)
    assert [type(error) for error in outcomes.errors] == [TimeoutError] * told
    assert waited[0] < 0.5


async def test_a_thread_is_given_up_and_counts_until_it_returns(
    url: str, event: Event[int]
) -> None:
    outcomes = Recorder()
    may_end = threading.Event()
    running_now: list[int] = []
    started: list[int] = []

    def handle(message: int) -> None:
        started.append(message)
        running_now.append(message)
        assert len(running_now) <= 2
        if message < 2:
            may_end.wait(60)
        running_now.remove(message)

    actor = Actor(
        "a",
        event,
        handle,
        execute_in=ExecuteIn.THREAD,
        job_timeout=1,  # event 2 has to have returned by then, also on a busy machine
        retry_delay=(0.3,),
        middlewares=(outcomes,),
    )
    async with running(url, actor, max_threads=2) as on:
        await on.emit(0, 1)
        await until(lambda: len(outcomes.failed) >= 2)
        await on.emit(2)
        # No thread is free. Nothing starts, and nothing is taken for a failure.
        await anyio.sleep(1)
        assert sorted(started) == [0, 1]
        may_end.set()
        await on.until_done(actor)
    assert not running_now
    assert 2 in outcomes.succeeded
    assert 2 not in [message for message, _ in outcomes.failed]


async def test_a_thread_outlives_listen(url: str, event: Event[int]) -> None:
    """Nothing breaks when an abandoned thread returns after the loop that started it."""
    may_end, ended = threading.Event(), threading.Event()
    outcomes = Recorder()

    def handle(message: int) -> None:
        may_end.wait(60)
        ended.set()

    actor = Actor(
        "a",
        event,
        handle,
        execute_in=ExecuteIn.THREAD,
        job_timeout=0.2,
        retry_delay=(3600,),
        middlewares=(outcomes,),
    )
    async with running(url, actor) as on:
        await on.emit(1)
        await until(lambda: bool(outcomes.failed))
    may_end.set()
    await until(ended.is_set)


async def test_a_process_is_killed(url: str, event: Event[int], tmp_path: Path) -> None:
    outcomes = Recorder()
    notes = NoteAndSpin(str(tmp_path / "notes"))
    actor = Actor(
        "a",
        event,
        notes,
        execute_in=ExecuteIn.PROCESS,
        job_timeout=0.5,  # the start of the process does not count
        retry_delay=(3600,),
        middlewares=(outcomes,),
    )
    async with running(url, actor, max_processes=1, shutdown_timeout=0) as on:
        await on.emit(1)
        await until(lambda: bool(notes.lines()))
        pid = int(notes.lines()[0][1])
        await until(lambda: not Path(f"/proc/{pid}").exists())
        await until(lambda: bool(outcomes.failed))
        await on.emit(2)
        await until(lambda: bool(outcomes.succeeded))
    assert all(isinstance(error, TimeoutError) for _, error in outcomes.failed)
    assert outcomes.succeeded == [2]
