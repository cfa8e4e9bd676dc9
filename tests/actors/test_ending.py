"""The ends of `listen`: graceful, cut short, and hard. Nothing is lost by any of them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from functools import partial
from typing import Any, cast

import anyio
import pytest

from tests.actors._stage import listening, stage, until_ticked
from tests.support.errors import OwnBaseError
from tests.support.recorders import Gate, Handled, Recorder
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actor, Actors, Event, ExecuteIn
from walnats_anyio.types import ConnectedActors

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_copies")]

LONG = 120.0
"""An `ack_wait` that no test waits for: what comes back sooner was handed back."""


async def handled_by_another(url: str, actor: Actor[Any, Any], count: int) -> list[Any]:
    """What a second process gets of the actor's events, and soon."""
    handled = Handled()
    same: Event[Any] = cast("Event[Any]", actor.event)
    other = Actor(actor.name, same, handled, ack_wait=actor.ack_wait)
    async with Actors(other).connect(url) as conn, listening(conn):
        await handled.come(count)
    return sorted(handled.messages)


async def test_a_shutdown_lets_running_jobs_finish(url: str, event: Event[int]) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, max_jobs=3, ack_wait=LONG)
    async with stage(url, actor) as on:
        await on.emit(*range(10))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await gate.come(3)
            on.actors.shutdown()
            await on.until_left(actor, 10)
            assert gate.running == 3
            gate.open()
        assert sorted(gate.finished) == [0, 1, 2]
        await on.until_left(actor, 7)
        assert (await on.consumer(actor)).requested == 0


async def test_a_shutdown_hands_back_what_has_not_started(url: str, event: Event[int]) -> None:
    """Two actors share one slot: what waits for it goes to another process at once."""
    gate = Gate()
    actors = [Actor(name, event, gate, ack_wait=LONG) for name in ("a", "b")]
    async with stage(url, *actors) as on:
        async with listening(on.actors, max_jobs=1):
            await on.emit(0)
            await gate.come(1)

            async def both_taken() -> bool:
                return all([(await on.consumer(actor)).taken == 1 for actor in actors])

            await until(both_taken)
            on.actors.shutdown()
            got = Handled()
            others = [Actor(name, event, got, ack_wait=LONG) for name in ("a", "b")]
            async with Actors(*others).connect(url) as conn, listening(conn):
                await got.come(1)
            gate.open()
        await on.until_done(*actors)
    assert len(gate.finished) == 1
    assert len(got.messages) == 1


@pytest.mark.parametrize("shutdown_timeout", [0, 0.3])
async def test_a_shutdown_in_limited_time(
    url: str, event: Event[int], shutdown_timeout: float
) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, max_jobs=3, ack_wait=LONG)
    async with stage(url, actor) as on:
        await on.emit(*range(5))
        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: on.actors.listen(shutdown_timeout=shutdown_timeout))
                await gate.come(3)
                on.actors.shutdown()
        assert gate.running == 0
        assert not gate.finished
        assert await handled_by_another(url, actor, 5) == [0, 1, 2, 3, 4]
        await on.until_done(actor)


async def test_cancelling_is_the_hard_stop(url: str, event: Event[int]) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, max_jobs=3, ack_wait=LONG)
    async with stage(url, actor) as on:
        await on.emit(*range(5))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await gate.come(3)
            tasks.cancel_scope.cancel()
        assert gate.running == 0
        assert await handled_by_another(url, actor, 5) == [0, 1, 2, 3, 4]
        await on.until_done(actor)


async def test_cancelling_while_it_shuts_down(url: str, event: Event[int]) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, max_jobs=3, ack_wait=LONG)
    async with stage(url, actor) as on:
        await on.emit(*range(5))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await gate.come(3)
            on.actors.shutdown()
            await on.link.flush()
            tasks.cancel_scope.cancel()
        assert await handled_by_another(url, actor, 5) == [0, 1, 2, 3, 4]


async def test_jobs_that_clean_up_when_they_are_cancelled(url: str, event: Event[int]) -> None:
    """They may take a moment for it, and the event is handed back when they are done."""
    cleaned: list[int] = []
    gate = Gate()

    async def handle(message: int) -> None:
        try:
            await gate(message)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.1)
            cleaned.append(message)

    actor = Actor("a", event, handle, ack_wait=LONG)
    async with stage(url, actor) as on:
        await on.emit(1, 2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await gate.come(2)
            tasks.cancel_scope.cancel()
        assert sorted(cleaned) == [1, 2]
        assert await handled_by_another(url, actor, 2) == [1, 2]


@pytest.mark.parametrize("how", ["shut down", "cancelled"])
async def test_the_pulse_goes_on_until_a_job_has_cleaned_up(
    url: str, event: Event[int], how: str
) -> None:
    """A clean-up that takes longer than `ack_wait` has the event for itself."""
    story: list[str] = []
    begun = anyio.Event()

    async def cleans_up(message: int) -> None:
        try:
            begun.set()
            await anyio.sleep_forever()
        finally:
            story.append("cancelled")
            with anyio.CancelScope(shield=True):
                # A round is a quarter of `ack_wait` here.
                await until_ticked(on.actors, 9)
            story.append("cleaned up")

    async def elsewhere(message: int) -> None:
        story.append("run again")

    scope = anyio.CancelScope()

    async def listen() -> None:
        with scope:
            await on.actors.listen(shutdown_timeout=0.01)

    actor = Actor("a", event, cleans_up, ack_wait=0.8)
    other = Actor("a", event, elsewhere, ack_wait=0.8)
    async with stage(url, actor) as on, Actors(other).connect(url) as conn:
        await on.emit(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await begun.wait()
            async with listening(conn):
                if how == "cancelled":
                    scope.cancel()
                else:
                    on.actors.shutdown()
                await until(lambda: "run again" in story)
                await on.until_done(actor)
    assert story == ["cancelled", "cleaned up", "run again"]


async def test_a_slow_clean_up_holds_up_no_other_event(url: str, event: Event[int]) -> None:
    """What its job has let go of is elsewhere while another one still cleans up."""
    begun, elsewhere = Gate(), Handled()
    cleaned = anyio.Event()

    async def handle(message: int) -> None:
        try:
            await begun(message)
        finally:
            if message == 1:
                with anyio.CancelScope(shield=True), anyio.fail_after(DEADLINE):
                    await cleaned.wait()

    actor = Actor("a", event, handle, ack_wait=LONG)
    other = Actor("a", event, elsewhere, ack_wait=LONG)
    async with stage(url, actor) as on, Actors(other).connect(url) as conn:
        await on.emit(1, 2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(on.actors.listen, shutdown_timeout=0.01))
            await begun.come(2)
            on.actors.shutdown()
            async with listening(conn):
                await elsewhere.come(1)
                assert elsewhere.messages == [2]
                cleaned.set()
                await elsewhere.come(2)
                await on.until_done(actor)
    assert elsewhere.messages == [2, 1]


async def test_a_job_that_fails_when_it_is_cancelled(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()

    async def child(message: int) -> None:
        try:
            await gate(message)
        finally:
            raise ValueError("in the clean-up")

    async def handle(message: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child, message)
            await anyio.sleep_forever()

    actor = Actor("a", event, handle, ack_wait=LONG, retry_delay=())
    async with stage(url, actor) as on:
        await on.emit(1, 2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await gate.come(2)
            tasks.cancel_scope.cancel()
        assert await handled_by_another(url, actor, 2) == [1, 2]
    assert "in the clean-up" in caplog.text


async def test_a_job_that_returns_when_it_is_cancelled(url: str, event: Event[int]) -> None:
    """It has done its work: it is not run again."""
    gate = Gate()

    async def handle(message: int) -> None:
        try:
            await gate(message)
        except anyio.get_cancelled_exc_class():
            if message == 1:
                return
            raise

    actor = Actor("a", event, handle, ack_wait=LONG)
    async with stage(url, actor) as on:
        await on.emit(1, 2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await gate.come(2)
            tasks.cancel_scope.cancel()
        assert await handled_by_another(url, actor, 1) == [2]
        await on.until_done(actor)


async def test_threads_are_not_waited_for(url: str, event: Event[int]) -> None:
    """A hard stop abandons them; what they were doing is handed back."""
    gate = Gate()

    def handle(message: int) -> None:
        try:
            anyio.from_thread.run(gate, message)
        except BaseException:  # noqa: BLE001 - the loop may be gone: it is nobody's error
            return

    actor = Actor("a", event, handle, execute_in=ExecuteIn.THREAD, ack_wait=LONG)
    async with stage(url, actor) as on:
        await on.emit(1, 2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await gate.come(2)
            tasks.cancel_scope.cancel()
        assert await handled_by_another(url, actor, 2) == [1, 2]
        gate.open()


# acknowledgements


@pytest.mark.parametrize("burst", [False, True])
async def test_no_acknowledgement_is_lost_at_the_end(
    url: str, event: Event[int], burst: bool
) -> None:
    """All jobs that returned are done with when `listen` returns, also on the server."""
    handled = Handled()
    actor = Actor("a", event, handled, max_jobs=100, ack_wait=LONG)
    async with stage(url, actor) as on:
        await on.emit(*range(500))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: on.actors.listen(burst=burst, max_jobs=100))
            if not burst:
                await handled.come(250)
                on.actors.shutdown()
        await on.until_left(actor, 500 - len(handled.messages))
    assert len(set(handled.messages)) == len(handled.messages)


async def test_no_acknowledgement_is_lost_with_the_connection(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled, ack_wait=LONG)
    async with stage(url, actor) as on:
        await on.emit(*range(50))
        async with Actors(actor).connect(url) as conn, anyio.create_task_group() as tasks:
            tasks.start_soon(conn.listen)
            await handled.come(50)
            tasks.cancel_scope.cancel()
        await on.until_done(actor)


# when


async def test_shutdown_while_listen_begins(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Handled())
    async with stage(url, actor) as on:
        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(on.actors.listen)
                await anyio.lowlevel.checkpoint()
                on.actors.shutdown()


async def test_shutdown_twice(url: str, event: Event[int]) -> None:
    gate = Gate()
    actor = Actor("a", event, gate)
    async with stage(url, actor) as on:
        await on.emit(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await gate.come(1)
            on.actors.shutdown()
            on.actors.shutdown()
            gate.open()
        await on.until_done(actor)


async def test_listen_again_and_again(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled)
    async with stage(url, actor) as on:
        for number in range(5):
            async with listening(on.actors):
                await on.emit(number)
                await handled.come(number + 1)
        await on.until_done(actor)
        assert not on.link._watchers
    assert handled.messages == [0, 1, 2, 3, 4]


async def test_two_at_once(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Handled())
    async with stage(url, actor) as on, listening(on.actors):
        with pytest.raises(RuntimeError, match=r"listening already.*connect"):
            await on.actors.listen()


async def test_two_that_begin_at_once(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Handled())
    errors: list[RuntimeError] = []

    async def listen(conn: ConnectedActors) -> None:
        try:
            await conn.listen()
        except RuntimeError as error:
            errors.append(error)

    async with stage(url, actor) as on, anyio.create_task_group() as tasks:
        tasks.start_soon(listen, on.actors)
        tasks.start_soon(listen, on.actors)
        await until(lambda: len(errors) == 1)
        on.actors.shutdown()


async def test_events_that_come_while_it_stops(url: str, event: Event[int]) -> None:
    """They are there for the next one, first attempt or not."""
    gate, handled = Gate(), Handled()

    async def handle(message: int) -> None:
        await (gate if message < 2 else handled)(message)

    actor = Actor("a", event, handle, max_jobs=50, ack_wait=LONG)
    async with stage(url, actor) as on:
        await on.emit(0, 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await gate.come(2)
            async with anyio.create_task_group() as emitting:
                emitting.start_soon(on.emit, *range(2, 200))
                on.actors.shutdown()
            gate.open()
        async with listening(on.actors):
            await on.until_done(actor)
    assert Counter(gate.finished + handled.messages) == Counter(range(200))


async def test_a_stop_takes_no_attempt_of_what_was_not_asked_for(
    url: str, event: Event[int]
) -> None:
    """Stopping many actors one after another does not make the later ones ask once more."""
    gate, recorder = Gate(), Recorder()
    actors = [
        Actor(f"a{number}", event, gate, ack_wait=LONG, middlewares=(recorder,))
        for number in range(10)
    ]
    async with stage(url, *actors) as on:
        await on.emit(*range(10))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: on.actors.listen(max_jobs=2, max_polls=2))
            await gate.come(2)
            on.actors.shutdown()
            gate.open()
        recorder.attempts.clear()
        async with listening(on.actors):
            await on.until_done(*actors)
    # Only what was taken and did not run came twice: one event of each actor, and the slots.
    assert sum(attempt > 1 for attempt in recorder.attempts) <= len(actors) + 2


# what handlers may do to `listen`


@pytest.mark.parametrize("suspended", [False, True])
@pytest.mark.parametrize("error", [OwnBaseError(), SystemExit(3)], ids=repr)
async def test_a_base_exception_is_the_failure_of_its_job(
    url: str, event: Event[int], suspended: bool, error: BaseException
) -> None:
    """Also where it is meant to end a program; no other job knows of it."""
    gate = Gate()

    async def handle(message: int) -> None:
        if message != 1:
            await gate(message)
            return
        if suspended:
            await anyio.lowlevel.checkpoint()
        raise error

    recorder = Recorder()
    actor = Actor("a", event, handle, max_attempts=2, retry_delay=(), middlewares=(recorder,))
    async with stage(url, actor) as on, listening(on.actors):
        await on.emit(2, 3)
        await gate.come(2)
        await on.emit(1)
        await until(lambda: len(recorder.failed) == 2)
        assert recorder.failed == [(1, error)] * 2
        assert gate.running == 2
        gate.open()
        await on.until_done(actor)
    assert sorted(gate.finished) == [2, 3]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_of_the_jobs_own(
    url: str, event: Event[int], anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """On asyncio anybody can raise CancelledError: it is an error of the job."""

    async def handle(message: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        match message:
            case 0:
                raise asyncio.CancelledError
            case 1:
                future.cancel()
                await future
            case 2:
                asyncio.get_running_loop().call_soon(future.cancel)
                await future
            case 3 | 4:
                if message == 4:
                    await asyncio.sleep(0.001)
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(0)
            case _:
                await handled(message)

    handled = Handled()
    actor = Actor("a", event, handle, retry_delay=(3600,))
    caplog.set_level(logging.ERROR)
    async with stage(url, actor) as on, listening(on.actors):
        await on.emit(*range(5))
        await until(lambda: caplog.text.count("attempt 1 raised") == 5)
        await on.emit(*range(5, 20))
        await handled.come(15)
        await on.until_left(actor, 5)


async def test_shutdown_before_listen(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled)
    async with stage(url, actor) as on:
        await on.emit(1)
        on.actors.shutdown()
        with anyio.fail_after(DEADLINE):
            await on.actors.listen()
        assert not handled.messages
        # It was for one `listen`.
        async with listening(on.actors):
            await on.until_done(actor)
    assert handled.messages == [1]
