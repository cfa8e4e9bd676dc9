"""`listen` stopped at any moment: whichever it is, no event is lost and nothing is left behind.

Two ways to every moment: at each checkpoint of `listen` itself (`sweep`), and after each number of
turns of the event loop, whatever its tasks are doing then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.actors._stage import Stage, listening, stage
from tests.support.leftovers import Leftovers
from tests.support.sweep import sweep
from tests.support.waiting import DEADLINE
from walnats_anyio import Actor, Event, ExecuteIn
from walnats_anyio._actors import _connection
from walnats_anyio._actors._listen import Listening
from walnats_anyio._link import api
from walnats_anyio.middlewares import Context, ErrorContext, Middleware, OkContext

pytestmark = pytest.mark.anyio

LONG = 120.0
EVENTS = 8
MOST_TURNS = 4000


class Jobs:
    """Handlers of several kinds, that note which of their runs came to an end."""

    def __init__(self) -> None:
        self.finished: list[int] = []
        self.tried: Counter[int] = Counter()
        self.running = 0

    async def suspending(self, message: int) -> None:
        self.running += 1
        try:
            await checkpoint()
            await anyio.sleep(0.001)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(checkpoint)
                tasks.start_soon(anyio.sleep, 0)
            with anyio.move_on_after(0):
                await anyio.sleep_forever()
            await checkpoint()
        finally:
            self.running -= 1
        self.finished.append(message)

    def plain(self, message: int) -> None:
        self.finished.append(message)

    async def failing_at_first(self, message: int) -> None:
        self.tried[message] += 1
        if message % 2:
            await checkpoint()
        if self.tried[message] == 1:
            raise ValueError
        self.finished.append(message)

    async def hanging_at_first(self, message: int) -> None:
        self.tried[message] += 1
        if self.tried[message] == 1:
            await anyio.sleep_forever()
        await checkpoint()
        self.finished.append(message)


class Hooks(Middleware):
    """Hooks that take a few turns of the loop."""

    async def on_start(self, ctx: Context, /) -> None:
        await checkpoint()

    async def on_failure(self, ctx: ErrorContext, /) -> None:
        await checkpoint()

    async def on_success(self, ctx: OkContext, /) -> None:
        await checkpoint()
        await anyio.sleep(0.001)


KINDS: dict[str, dict[str, Any]] = {
    "suspending": {},
    "plain": {},
    "failing_at_first": {"retry_delay": ()},
    "hanging_at_first": {"retry_delay": (), "job_timeout": 0.01},
    "with hooks": {"middlewares": (Hooks(),)},
    "in threads": {"execute_in": ExecuteIn.THREAD},
}


def actor_of(event: Event[int], jobs: Jobs, kind: str) -> Actor[int, Any]:
    handlers: dict[str, Callable[[int], Any]] = {
        "with hooks": jobs.suspending,
        "in threads": jobs.plain,
    }
    handler = handlers.get(kind) or getattr(jobs, kind)
    return Actor("a", event, handler, max_jobs=3, ack_wait=LONG, **KINDS[kind])


@pytest.fixture
def listenings(monkeypatch: pytest.MonkeyPatch) -> list[Listening]:
    """Every run of `listen`, to look at what it leaves."""
    made: list[Listening] = []

    class Noted(Listening):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

        def release(self) -> None:
            """Keep what `nothing_is_held` looks at."""

    monkeypatch.setattr(_connection, "Listening", Noted)
    return made


@asynccontextmanager
async def stopped_after(turns: int, stop: Callable[[], None]) -> AsyncIterator[None]:
    """Call `stop` after so many turns of the event loop, unless the body is over before."""

    async def count() -> None:
        for _ in range(turns):
            await checkpoint()
        stop()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        yield
        tasks.cancel_scope.cancel()


async def handle_the_rest(on: Stage, actor: Actor[int, Any], jobs: Jobs) -> None:
    """Nothing is lost: what was not finished is there at once, long before `ack_wait`."""
    with anyio.fail_after(DEADLINE):
        async with listening(on.actors):
            while set(jobs.finished) != set(range(EVENTS)):
                await anyio.sleep(0.005)
            await on.until_done(actor)


def nothing_is_held(listenings: list[Listening]) -> None:
    for listening_ in listenings:
        assert listening_.budget.held == 0
        assert listening_.scheduler.idle
        for run in listening_.runs:
            assert not run.deliveries.held
            assert not run.workers.waiting
            assert not run.workers.limiter.borrowed_tokens
            assert run.consumer._intake.held == 0
    listenings.clear()


def turns() -> Iterator[int]:
    """Each of the first turns, then wider and wider apart."""
    turn = 0.0
    while turn < MOST_TURNS:
        turn = max(turn + 1, turn * 1.2)
        yield int(turn)


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        *[("cancelled", kind) for kind in KINDS],
        *[("shut down", kind) for kind in ("suspending", "failing_at_first", "with hooks")],
        *[("shut down in no time", kind) for kind in ("suspending", "plain", "in threads")],
    ],
)
async def test_stopped_after_any_number_of_turns(
    url: str, event: Event[int], how: str, kind: str, listenings: list[Listening]
) -> None:
    jobs = Jobs()
    actor = actor_of(event, jobs, kind)
    timeout = None if how == "shut down" else 0
    async with stage(url, actor) as on:
        leftovers = Leftovers()
        for turn in turns():
            jobs.finished.clear()
            jobs.tried.clear()
            await on.emit(*range(EVENTS))
            with anyio.fail_after(DEADLINE), anyio.CancelScope() as scope:
                stop = scope.cancel if how == "cancelled" else on.actors.shutdown
                async with stopped_after(turn, stop):
                    await on.actors.listen(shutdown_timeout=timeout)
            assert jobs.running == 0
            nothing_is_held(listenings)
            over = len(jobs.finished) == EVENTS
            await handle_the_rest(on, actor, jobs)
            if kind != "in threads":
                # What returned was acknowledged, and is not run again.
                assert Counter(jobs.finished) == Counter(range(EVENTS))
            if over:
                break
        assert not on.link._watchers
        if kind != "in threads":  # threads are kept for the next job
            await leftovers.none()


async def test_listen_cancelled_at_each_checkpoint(
    url: str, event: Event[int], listenings: list[Listening]
) -> None:
    jobs = Jobs()
    actor = actor_of(event, jobs, "suspending")
    async with stage(url, actor) as on:
        await on.emit(*range(EVENTS))

        async def scenario() -> None:
            await on.actors.listen(burst=True, poll_delay=0.05)

        async def check() -> None:
            assert jobs.running == 0
            nothing_is_held(listenings)
            await handle_the_rest(on, actor, jobs)
            assert Counter(jobs.finished) == Counter(range(EVENTS))
            jobs.finished.clear()
            await on.emit(*range(EVENTS))
            listenings.clear()

        assert await sweep(scenario, check, bounded_by=DEADLINE) > 5


async def test_register_cancelled_at_each_checkpoint(url: str, event: Event[int]) -> None:
    """The consumer is there or not, and can be registered again."""
    actors = [Actor(f"a{number}", event, Jobs().plain) for number in range(3)]
    async with stage(url, *actors) as on:

        async def scenario() -> None:
            await on.actors.register()

        async def check() -> None:
            await on.actors.register()
            names = (await api(on.link, f"CONSUMER.NAMES.{event.stream_name}"))["consumers"]
            assert sorted(names) == ["a0", "a1", "a2"]
            for name in names:
                await api(on.link, f"CONSUMER.DELETE.{event.stream_name}.{name}")

        await check()
        assert await sweep(scenario, check, bounded_by=DEADLINE) >= 1
