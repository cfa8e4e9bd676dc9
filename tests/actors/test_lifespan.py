"""`Actors(lifespan=...)`: entered before the first event, left after the last job."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context as Variables
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.actors._stage import Stage, listening, stage
from tests.support.recorders import Gate, Handled
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actor, Actors, ConnectionLostError, Event, Events, current_context
from walnats_anyio._link._parking import current_backend
from walnats_anyio.middlewares import Context, Middleware
from walnats_anyio.types import ConnectedActors, Ended, Summary

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def connected(url: str, actors: Actors) -> AsyncIterator[Stage]:
    """Like `stage`, with a lifespan."""
    async with stage(url, *actors) as on, actors.connect(url) as conn:
        yield Stage(url, on.events, conn, on.event)


async def summary_of(listen: Callable[[], Awaitable[Summary]], summaries: list[Summary]) -> None:
    summaries.append(await listen())


async def test_it_is_around_all_jobs_in_one_task(url: str, event: Event[int]) -> None:
    said: list[Any] = []
    tasks: list[anyio.TaskInfo] = []

    @asynccontextmanager
    async def lifespan(conn: ConnectedActors) -> AsyncIterator[str]:
        assert conn is on.actors
        tasks.append(anyio.get_current_task())
        await anyio.lowlevel.checkpoint()
        said.append("opened")
        yield "the state"
        await anyio.lowlevel.checkpoint()
        tasks.append(anyio.get_current_task())
        said.append("closed")

    class Asking(Middleware):
        def on_start(self, ctx: Context, /) -> None:
            said.append(f"hook: {ctx.state}")

    def handle(message: int) -> None:
        said.append(f"handler: {current_context().state}")

    actor = Actor("a", event, handle, middlewares=(Asking(),))
    async with connected(url, Actors(actor, lifespan=lifespan)) as on:
        await on.emit(1)
        for _ in range(2):  # each run of `listen` has its own
            await on.actors.listen(burst=True, poll_delay=0.1)
    assert said == [
        "opened", "hook: the state", "handler: the state", "closed", "opened", "closed",
    ]  # fmt: skip
    assert len(set(tasks)) == 1


async def test_its_connection_can_be_shared(url: str, event: Event[int]) -> None:
    """A pool of emits for the handlers, which needs no connection of its own."""
    following: Event[int] = Event(f"{event.name}-next", int, storage="memory")
    handled = Handled()

    @asynccontextmanager
    async def lifespan(conn: ConnectedActors) -> AsyncIterator[Any]:
        async with Events(following).connect(conn) as events:
            yield events

    async def handle(message: int) -> None:
        await current_context().state.emit(following, message + 1)

    actors = Actors(Actor("a", event, handle), Actor("b", following, handled), lifespan=lifespan)
    async with connected(url, actors) as on, listening(on.actors):
        await on.emit(1, event=event)
        await handled.come(1)
    assert handled.messages == [2]


async def test_nothing_is_taken_before_it_is_entered(url: str, event: Event[int]) -> None:
    opened, entered, handled = anyio.Event(), anyio.Event(), Handled()

    @asynccontextmanager
    async def lifespan(conn: ConnectedActors) -> AsyncIterator[None]:
        entered.set()
        await opened.wait()
        yield

    actor = Actor("a", event, handled)
    async with connected(url, Actors(actor, lifespan=lifespan)) as on:
        await on.emit(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await entered.wait()
            assert (await on.consumer(actor)).requested == 0
            assert not on.actors.statistics().running
            opened.set()
            await handled.come(1)
            on.actors.shutdown()


async def test_it_is_left_after_the_last_job(url: str, event: Event[int]) -> None:
    gate, finished = Gate(), list[int]()

    @asynccontextmanager
    async def lifespan(conn: ConnectedActors) -> AsyncIterator[None]:
        yield
        finished.append(len(gate.finished))

    async with connected(url, Actors(Actor("a", event, gate), lifespan=lifespan)) as on:
        await on.emit(1, 2)
        async with listening(on.actors):
            await gate.come(2)
            on.actors.shutdown()
            gate.open()
    assert finished == [2]


class Own(Exception):
    pass


@pytest.mark.parametrize("where", ["entering", "leaving"])
async def test_what_it_raises_listen_raises(url: str, event: Event[int], where: str) -> None:
    handled = Handled()

    @asynccontextmanager
    async def lifespan(conn: ConnectedActors) -> AsyncIterator[None]:
        if where == "entering":
            raise Own
        yield
        raise Own

    async with connected(url, Actors(Actor("a", event, handled), lifespan=lifespan)) as on:
        await on.emit(1)
        with pytest.raises(Own):
            await on.actors.listen(burst=True)
        await on.until_left(on.actors._actors.get("a"), int(where == "entering"))  # type: ignore[arg-type]  # it is there
    assert handled.messages == ([] if where == "entering" else [1])


async def test_a_failure_goes_through_it_and_cannot_be_suppressed(
    url: str, event: Event[int]
) -> None:
    seen: list[BaseException] = []

    @asynccontextmanager
    async def lifespan(conn: ConnectedActors) -> AsyncIterator[None]:
        try:
            yield
        except ConnectionLostError as error:
            seen.append(error)

    async def listen() -> None:
        with pytest.raises(ConnectionLostError):
            await on.actors.listen()

    actors = Actors(Actor("a", event, Handled()), lifespan=lifespan)
    async with connected(url, actors) as on, anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await until(lambda: on.actors.statistics().actors[0].requested > 0)
        on.link._close(ConnectionLostError("for good"))
    assert len(seen) == 1


async def test_cancelling_listen_cancels_it(url: str, event: Event[int]) -> None:
    entered, left = anyio.Event(), list[str]()

    @asynccontextmanager
    async def lifespan(conn: ConnectedActors) -> AsyncIterator[None]:
        try:
            entered.set()
            await anyio.sleep_forever()
            yield
        finally:
            left.append("left")

    actors = Actors(Actor("a", event, Handled()), lifespan=lifespan)
    async with connected(url, actors) as on, anyio.create_task_group() as tasks:
        tasks.start_soon(on.actors.listen)
        await entered.wait()
        tasks.cancel_scope.cancel()
    assert left == ["left"]


@pytest.mark.parametrize("where", ["entering", "leaving"])
async def test_a_shutdown_ends_one_that_hangs(
    url: str, event: Event[int], where: str, caplog: pytest.LogCaptureFixture
) -> None:
    hangs, summaries = anyio.Event(), list[Summary]()

    @asynccontextmanager
    async def lifespan(conn: ConnectedActors) -> AsyncIterator[None]:
        if where == "leaving":
            yield
        hangs.set()
        await anyio.sleep_forever()
        if where == "entering":
            yield

    async with connected(url, Actors(Actor("a", event, Handled()), lifespan=lifespan)) as on:
        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                listen = lambda: on.actors.listen(shutdown_timeout=0.2)  # noqa: E731 - short
                tasks.start_soon(summary_of, listen, summaries)
                if where == "entering":
                    await hangs.wait()
                else:
                    await until(lambda: on.actors.statistics().actors[0].requested > 0)
                on.actors.shutdown()
    assert summaries[0].ended is Ended.SHUTDOWN_TIMEOUT
    assert "the lifespan was cancelled" in caplog.text


async def test_a_shutdown_while_it_is_entered_runs_nothing(url: str, event: Event[int]) -> None:
    entered, opened, handled, summaries = anyio.Event(), anyio.Event(), Handled(), list[Summary]()

    @asynccontextmanager
    async def lifespan(conn: ConnectedActors) -> AsyncIterator[None]:
        entered.set()
        await opened.wait()
        yield

    async with connected(url, Actors(Actor("a", event, handled), lifespan=lifespan)) as on:
        await on.emit(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(summary_of, on.actors.listen, summaries)
            await entered.wait()
            on.actors.shutdown()
            opened.set()
    assert handled.messages == []
    assert summaries[0].ended is Ended.SHUTDOWN


async def test_leaving_the_connection_ends_one_that_is_entered(url: str, event: Event[int]) -> None:
    entered = anyio.Event()

    @asynccontextmanager
    async def lifespan(conn: ConnectedActors) -> AsyncIterator[None]:
        entered.set()
        await anyio.sleep_forever()
        yield

    actors = Actors(Actor("a", event, Handled()), lifespan=lifespan)
    async with anyio.create_task_group() as tasks, connected(url, actors) as on:

        async def listen() -> None:
            with pytest.raises(ConnectionLostError, match="was left"):
                await on.actors.listen()

        tasks.start_soon(listen)
        await entered.wait()


async def generator(conn: ConnectedActors) -> AsyncIterator[None]:
    yield


async def coroutine(conn: ConnectedActors) -> None:
    pass


@pytest.mark.parametrize("wrong", [generator, coroutine, 7, "opened"])
def test_what_is_no_lifespan_is_refused(wrong: Any, event: Event[int]) -> None:
    with pytest.raises(TypeError, match=r"contextlib\.asynccontextmanager"):
        Actors(Actor("a", event, print), lifespan=wrong)


async def test_what_gives_no_context_manager_is_refused(url: str, event: Event[int]) -> None:
    actors = Actors(Actor("a", event, Handled()), lifespan=lambda conn: 7)  # type: ignore[arg-type,return-value]  # that is the point
    async with connected(url, actors) as on:
        with pytest.raises(TypeError, match=r"gave 7: decorate"):
            await on.actors.listen()


@pytest.mark.parametrize("moving", [True, False])
async def test_a_callback_of_the_event_loop_may_stop_it(
    url: str, event: Event[int], moving: bool
) -> None:
    """As `loop.add_signal_handler(SIGTERM, actors.shutdown)` does, outside of any task."""
    entered = anyio.Event()

    @asynccontextmanager
    async def lifespan(conn: ConnectedActors) -> AsyncIterator[None]:
        entered.set()
        if moving:
            await anyio.sleep_forever()
        yield

    actors = Actors(Actor("a", event, Handled()), lifespan=lifespan)
    async with connected(url, actors) as on, anyio.create_task_group() as tasks:
        tasks.start_soon(partial(on.actors.listen, shutdown_timeout=0.1))
        await entered.wait()
        with anyio.fail_after(DEADLINE):
            # A program that `asyncio.run` has started has no context variable of anyio's.
            Variables().run(current_backend().call_from_thread, on.actors.shutdown)
            await until(lambda: not on.actors.statistics().listening)
