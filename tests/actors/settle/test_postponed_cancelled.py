"""Retries that wait as copies in the server, and are cancelled there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from tests.actors._stage import Stage, run_of, running
from tests.support.waiting import until
from walnats_anyio import Actor, Batch, Event, Retry
from walnats_anyio._actors.settle import Outcome, _conclusion
from walnats_anyio._link import STREAM_NOT_FOUND, ServerError, api, pub
from walnats_anyio.middlewares import Middleware
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import CancelResult, ErrorContext

pytestmark = pytest.mark.anyio

LONG = 0.15
"""Seconds from which on a retry is postponed in these tests."""

ROUNDS = 6
"""Events that are cancelled around the moment at which their retry is due."""


@pytest.fixture
def url(shared_server: NatsServer) -> str:
    return shared_server.url


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Postpone what otherwise waits as a nak."""
    monkeypatch.setattr(_conclusion, "LONG_DELAY", LONG)


class Failing:
    """Fails each attempt, and notes it."""

    def __init__(self, delay: float = LONG) -> None:
        self.tried: list[int] = []
        self._delay = delay

    async def __call__(self, message: int) -> None:
        self.tried.append(message)
        raise Retry(delay=self._delay)


async def emit(on: Stage, message: int) -> None:
    await on.events.emit(on.event, message, uid=f"number-{message}", sync=True)


async def copies_of(on: Stage) -> list[str]:
    """The schedules of the copies of an event that wait."""
    subject = f"walnats.schedules.retry.{on.event.stream_name}.>"
    try:
        answer = await api(on.link, "STREAM.INFO.walnats-schedules", {"subjects_filter": subject})
    except ServerError as error:
        if error.code == STREAM_NOT_FOUND:
            return []  # no test before has had one
        raise
    return list(answer["state"].get("subjects") or ())


def postponed(on: Stage) -> int:
    return sum(actor.postponed for actor in on.actors.statistics().actors)


Cancel = Callable[[Stage], Awaitable[CancelResult]]

WAYS: dict[str, Cancel] = {
    "uid": lambda on: on.events.cancel("number-1"),
    "sequence": lambda on: on.events.cancel(event=on.event, sequence=1),
    "actors": lambda on: on.actors.cancel("number-1", actor="a"),
}


@pytest.mark.parametrize("by", WAYS)
async def test_a_copy_that_waits(url: str, event: Event[int], by: str) -> None:
    failing = Failing(0.5)
    async with running(url, Actor("a", event, failing)) as on:
        await emit(on, 1)
        await until(lambda: postponed(on) == 1)
        assert await WAYS[by](on) is CancelResult.WAITING
        tried = failing.tried.count(1)
        assert await copies_of(on) == []
        assert await WAYS[by](on) is CancelResult.NOT_FOUND
        # A retry that is due later has come, and the one that is cancelled has not.
        await emit(on, 2)
        await until(lambda: failing.tried.count(2) == 2)
        assert failing.tried.count(1) == tried


async def test_a_copy_of_a_copy(url: str, event: Event[int]) -> None:
    failing = Failing(0.4)
    async with running(url, Actor("a", event, failing)) as on:
        await emit(on, 1)
        await until(lambda: postponed(on) == 2)
        assert await on.events.cancel(event=event, sequence=1) is CancelResult.WAITING
        assert await copies_of(on) == []
    assert failing.tried == [1, 1]


async def test_a_copy_that_comes_although_it_was_cancelled(url: str, event: Event[int]) -> None:
    """Such as from whoever gets the event again, as a process has died before it was settled."""
    failing = Failing(60)
    actor = Actor("a", event, failing)
    async with running(url, actor) as on:
        copies: list[bytes] = []
        on.link.subscribe_to("walnats.schedules.retry.>", lambda got: copies.append(got.header))
        await emit(on, 1)
        await until(lambda: postponed(on) == 1)
        assert await on.events.cancel("number-1") is CancelResult.WAITING
        (copy,) = copies
        lines = [line for line in copy.split(b"\r\n") if not line.startswith(b"Nats-")]
        on.link.post(pub(event.subject_name, b"1", headers=b"\r\n".join(lines)))
        await until(lambda: on.actors.statistics().actors[0].redelivered == 1)
        await on.until_done(actor)
    assert failing.tried == [1]


async def test_around_the_moment_at_which_it_is_due(url: str, event: Event[int]) -> None:
    """It is cancelled while it waits, is on its way, runs, or fails: there is no attempt more."""
    failing = Failing()
    results: set[CancelResult] = set()

    async def cancel(on: Stage, number: int) -> None:
        await emit(on, number)
        await until(lambda: number in failing.tried)
        await anyio.sleep(LONG + (number - ROUNDS / 2) * 0.03)
        results.add(await on.events.cancel(f"number-{number}"))
        tried = failing.tried.count(number)
        await anyio.sleep(3 * LONG)
        assert failing.tried.count(number) == tried

    async with running(url, Actor("a", event, failing)) as on:
        async with anyio.create_task_group() as tasks:
            for number in range(ROUNDS):
                tasks.start_soon(cancel, on, number)
        assert await copies_of(on) == []
    assert results <= {CancelResult.WAITING, CancelResult.RUNNING}


async def test_actors_that_do_different_things(url: str, event: Event[int]) -> None:
    """One is done, one runs, and the retries of two others wait, as a copy and by nak."""
    copied, given_back = Failing(30), Failing(0.1)
    started: list[int] = []

    async def waits(message: int) -> None:
        started.append(message)
        await anyio.sleep_forever()

    actors = [
        Actor("copied", event, copied),
        Actor("done", event, started.append),
        Actor("given-back", event, given_back),
        Actor("runs", event, waits),
    ]
    async with running(url, *actors, shutdown_timeout=0) as on:
        await emit(on, 1)
        await until(lambda: postponed(on) == 1 and len(given_back.tried) > 1 and len(started) == 2)
        assert await on.events.cancel("number-1") is CancelResult.RUNNING
        tried = len(given_back.tried)
        assert await copies_of(on) == []
        await on.until_done(*actors)
        assert await on.events.cancel("number-1") is CancelResult.NOT_FOUND
    assert len(copied.tried) == 1
    assert len(given_back.tried) == tried


async def test_a_message_of_a_batch(url: str, event: Event[int]) -> None:
    """What fails with its batch is handled alone, and then waits as a copy."""
    tried: list[list[int]] = []

    async def handle(messages: list[int]) -> None:
        tried.append(messages)
        if 1 in messages:
            raise Retry(delay=30)

    actor = Actor("a", event, handle, batch=Batch(size=2, wait=0.05))
    async with running(url, actor) as on:
        await emit(on, 1)
        await until(lambda: postponed(on) == 1)
        assert await on.events.cancel("number-1") is CancelResult.WAITING
        assert await copies_of(on) == []
        await on.until_done(actor)
    assert tried == [[1]]


async def test_one_that_is_failing_while_it_is_cancelled(url: str, event: Event[int]) -> None:
    """The handler has ended, and a hook runs: no copy is written after that."""
    in_hook, go_on = anyio.Event(), anyio.Event()

    class Slow(Middleware):
        async def on_failure(self, ctx: ErrorContext, /) -> None:
            in_hook.set()
            await go_on.wait()

    failing = Failing(30)
    actor = Actor("a", event, failing, middlewares=(Slow(),))
    async with running(url, actor) as on:
        await emit(on, 1)
        await in_hook.wait()
        results: list[CancelResult] = []
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                results.append(await on.events.cancel("number-1"))

            tasks.start_soon(cancel)
            held = run_of(on.actors).deliveries.held
            await until(lambda: all(each.ends is Outcome.CANCELLED for each in held))
            go_on.set()
        assert results == [CancelResult.RUNNING]
        assert (postponed(on), await copies_of(on)) == (0, [])
