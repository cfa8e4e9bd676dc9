"""`run_job`: one job, as `listen` runs it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from tests.support.recorders import Recorder
from walnats_anyio import Actor, Event, ExecuteIn, Reject, Retry, current_context
from walnats_anyio.middlewares import Middleware
from walnats_anyio.testing import JobRun, mock_clock, run_job
from walnats_anyio.types import Context

pytestmark = pytest.mark.anyio

PAID = Event("orders.paid", int)
MAILED = Event("mails.sent", str)
OTHER = Event("other", str)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    backend = str(request.param)
    return backend, mock_clock(backend)


def actor(handler: Callable[[int], Any], **options: Any) -> Actor[int, Any]:
    return Actor("a", PAID, handler, **options)


async def mail(order: int) -> None:
    context = current_context()
    await context.emit(MAILED, f"{order}", uid=f"mail-{order}", meta={"Kind": "receipt"})
    await context.emit(OTHER, "other")


async def fail(order: int) -> None:
    await current_context().emit(MAILED, "never")
    raise ValueError(f"not {order}")


async def test_a_job_that_succeeds() -> None:
    run = await run_job(actor(mail), 7, trace_id="t")
    assert (run.verdict, run.delay, run.error, run.reason) == ("ack", None, None, None)
    assert run.emitted_of(MAILED) == ["7"]
    first, second = run.emitted
    assert (first.uid, first.trace_id, first.headers["Kind"]) == ("mail-7", "t", "receipt")
    assert second.uid == "orders-paid:1:20260101T000000.000000:a:2"
    assert (second.event, second.payload) == (OTHER, b'"other"')


async def test_a_handler_that_never_waits() -> None:
    seen: list[int] = []
    run = await run_job(actor(seen.append), 7)
    assert (run, seen) == (JobRun("ack"), [7])


async def test_an_attempt_that_fails() -> None:
    run = await run_job(actor(fail), 7)
    assert (run.verdict, run.delay, run.emitted) == ("retry", 0.5, ())
    assert str(run.error) == "not 7"
    assert (await run_job(actor(fail), 7, attempt=3)).delay == 2
    assert (await run_job(actor(fail, retry_delay=lambda n: n * 10.0), 7, attempt=4)).delay == 40


async def test_the_last_attempt() -> None:
    run = await run_job(actor(fail, max_attempts=3), 7, attempt=3, uid="u")
    assert (run.verdict, run.reason) == ("dead letter", "exhausted")
    assert run.letter is not None
    assert (run.letter.attempts, run.letter.payload) == (3, b"7")
    assert run.letter.headers == {"Nats-Msg-Id": "u"}
    assert run.letter.error == "not 7"


async def test_what_a_handler_asks_for() -> None:
    def later(_: int) -> None:
        raise Retry(1800)

    def never(_: int) -> None:
        raise Reject("no such order")

    assert (await run_job(actor(later), 7)).delay == 1800
    run = await run_job(actor(never, dead_letters=False), 7)
    assert (run.verdict, run.reason, run.letter) == ("dead letter", "rejected", None)
    assert isinstance(run.error, Reject)


async def test_the_context_is_real() -> None:
    seen: list[Context] = []
    moment = datetime(2024, 5, 17, 12, tzinfo=UTC)

    async def look(_: int) -> None:
        seen.append(current_context())

    state = object()
    told = actor(look)
    await run_job(
        told, 7, attempt=4, state=state, uid="u", trace_id="t", meta={"Kind": "a"}, seq_number=9,
        emitted_at=moment,
    )  # fmt: skip
    (context,) = seen
    assert (context.actor, context.message, context.attempts) == (told, 7, 4)
    assert (context.trace_id, context.seq_number, context.state) == ("t", 9, state)
    assert (context.headers["Kind"], context.metadata.timestamp) == ("a", moment)
    assert context.metadata.num_delivered == 4
    with pytest.raises(LookupError):
        current_context()
    with pytest.raises(RuntimeError, match="job that has ended"):
        await context.emit(MAILED, "late")


async def test_middlewares_surround_it() -> None:
    class Around(Middleware):
        @asynccontextmanager
        async def around(self, context: Context) -> AsyncIterator[None]:
            order.append("enter")
            yield
            order.append("leave")

        async def on_success(self, context: Any) -> None:
            await anyio.sleep(1)
            order.append("success")

    order: list[str] = []
    recorder = Recorder()
    run = await run_job(actor(mail, middlewares=[Around(), recorder]), 7)
    assert run.verdict == "ack"
    assert order == ["enter", "leave", "success"]
    failed = await run_job(actor(fail, middlewares=[recorder]), 7)
    assert recorder.errors == [failed.error]


async def test_a_job_takes_too_long() -> None:
    async def hang(_: int) -> None:
        await anyio.sleep_forever()

    began = anyio.current_time()
    run = await run_job(actor(hang, job_timeout=3600), 7)
    assert (run.verdict, type(run.error)) == ("retry", TimeoutError)
    assert anyio.current_time() - began == pytest.approx(3600)


async def test_a_handler_in_a_thread() -> None:
    threads: list[int] = []

    def handle(order: int) -> None:
        threads.append(threading.get_ident())
        current_context().emit_nowait(MAILED, str(order))

    run = await run_job(actor(handle, execute_in=ExecuteIn.THREAD), 7)
    assert run.emitted_of(MAILED) == ["7"]
    assert threads != [threading.get_ident()]


async def test_an_acknowledgement_that_is_to_be_confirmed() -> None:
    assert (await run_job(actor(mail, ack="confirmed"), 7)).verdict == "ack"


async def test_the_message_is_what_an_actor_gets() -> None:
    seen: list[Any] = []
    event = Event("pairs", tuple[int, str])
    await run_job(Actor("a", event, seen.append), (1, "a"))
    assert seen == [(1, "a")]
    with pytest.raises(TypeError):
        await run_job(Actor("a", event, seen.append), "no pair")  # type: ignore[misc]  # as said


async def test_it_can_be_cancelled() -> None:
    async def hang(_: int) -> None:
        await anyio.sleep_forever()

    with anyio.move_on_after(5) as scope:
        await run_job(actor(hang), 7)
    assert scope.cancelled_caught


async def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="attempt must be 1 to 2, not 3"):
        await run_job(actor(mail, max_attempts=2), 7, attempt=3)
    with pytest.raises(ValueError, match="seq_number"):
        await run_job(actor(mail), 7, seq_number=0)
    with pytest.raises(ValueError, match="time zone"):
        await run_job(actor(mail), 7, emitted_at=datetime(2024, 1, 1))  # noqa: DTZ001 - as said
    with pytest.raises(TypeError, match="the first argument of run_job"):
        await run_job(mail, 7)  # type: ignore[arg-type]  # as said


async def test_jobs_run_beside_each_other() -> None:
    async def wait(order: int) -> None:
        await anyio.sleep(order)

    runs: list[tuple[int, str]] = []

    async def one(order: int) -> None:
        runs.append((order, (await run_job(actor(wait), order)).verdict))

    async with anyio.create_task_group() as tasks:
        for order in (3, 1, 2):
            tasks.start_soon(one, order)
    assert runs == [(1, "ack"), (2, "ack"), (3, "ack")]
