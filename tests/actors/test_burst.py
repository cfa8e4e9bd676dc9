"""`listen(burst=True)`: handle what is there, and return."""

from __future__ import annotations

import time
from collections import Counter

import anyio
import pytest

from tests.actors._stage import running, stage
from tests.support.recorders import Gate, Handled
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actor, Actors, Event, Retry

pytestmark = pytest.mark.anyio


async def test_nothing_is_there(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled)
    async with stage(url, actor) as on:
        with anyio.fail_after(DEADLINE):
            await on.actors.listen(burst=True, poll_delay=0.1)
    assert not handled.messages


async def test_nothing_is_there_and_it_does_not_wait(url: str, event: Event[int]) -> None:
    actors = [Actor(f"a{number}", event, Handled()) for number in range(5)]
    async with stage(url, *actors) as on:
        with anyio.fail_after(DEADLINE):
            await on.actors.listen(burst=True, poll_delay=0)


@pytest.mark.parametrize("poll_delay", [0, 0.1, None])
@pytest.mark.parametrize("batch", [None, 1, 3])
async def test_more_than_there_are_slots(
    url: str, event: Event[int], poll_delay: float | None, batch: int | None
) -> None:
    handled = Handled()
    actor = Actor("a", event, handled, max_jobs=4)
    async with stage(url, actor) as on:
        await on.emit(*range(50))
        await on.until_known(50, actor)
        with anyio.fail_after(DEADLINE):
            await on.actors.listen(burst=True, poll_delay=poll_delay, batch=batch)
        assert sorted(handled.messages) == list(range(50))
        await on.until_done(actor)


async def test_jobs_that_wait(url: str, event: Event[int]) -> None:
    """It goes on while jobs run, and asks for more when they end."""
    finished: list[int] = []

    async def handle(message: int) -> None:
        await anyio.sleep(0.05 * (message % 3))
        finished.append(message)

    actor = Actor("a", event, handle, max_jobs=4)
    async with stage(url, actor) as on:
        await on.emit(*range(20))
        await on.until_known(20, actor)
        await on.actors.listen(burst=True, poll_delay=0.1)
    assert sorted(finished) == list(range(20))


async def test_several_actors_of_which_some_have_events(url: str, event: Event[int]) -> None:
    other = Event(f"{event.name}-other", int, storage="memory")
    handled, idle = [Handled() for _ in range(3)], [Handled() for _ in range(3)]
    actors = [Actor(f"a{number}", event, handler) for number, handler in enumerate(handled)]
    actors += [Actor(f"a{number}", other, handler) for number, handler in enumerate(idle)]
    async with stage(url, *actors) as on:
        await on.emit(*range(30))
        with anyio.fail_after(DEADLINE):
            await on.actors.listen(burst=True, poll_delay=0.3, max_jobs=4)
    assert [sorted(handler.messages) for handler in handled] == [list(range(30))] * 3
    assert not any(handler.messages for handler in idle)


@pytest.mark.parametrize("max_polls", [1, 2])
async def test_with_turns_at_asking(url: str, event: Event[int], max_polls: int) -> None:
    handled = [Handled() for _ in range(4)]
    actors = [Actor(f"a{number}", event, handler) for number, handler in enumerate(handled)]
    async with stage(url, *actors) as on:
        await on.emit(*range(20))
        await on.until_known(20, *actors)
        with anyio.fail_after(DEADLINE):
            await on.actors.listen(burst=True, poll_delay=0.2, max_polls=max_polls)
    assert [sorted(handler.messages) for handler in handled] == [list(range(20))] * 4


async def test_it_waits_for_the_first_event(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled)
    begun = time.monotonic()
    async with stage(url, actor) as on, anyio.create_task_group() as tasks:

        async def burst() -> None:
            await on.actors.listen(burst=True, poll_delay=DEADLINE)

        tasks.start_soon(burst)

        async def asked() -> bool:
            return (await on.consumer(actor)).requested == 1

        await until(asked)
        await on.emit(1, 2, 3)
        # The group ends when the burst does: long before its `poll_delay`.
        begun = time.monotonic()
    assert time.monotonic() - begun < DEADLINE / 2
    assert 1 in handled.messages


async def test_a_short_ack_wait_does_not_shorten_the_wait(url: str, event: Event[int]) -> None:
    """Each request is over within `ack_wait`, and another one follows until `poll_delay`."""
    handled = Handled()
    actor = Actor("a", event, handled, ack_wait=0.4)
    async with stage(url, actor) as on, anyio.create_task_group() as tasks:
        asked = await on.overhear(f"$JS.API.CONSUMER.MSG.NEXT.{event.stream_name}.>")

        async def burst() -> None:
            await on.actors.listen(burst=True, poll_delay=DEADLINE)

        tasks.start_soon(burst)
        await until(lambda: len(asked) >= 3)
        await on.emit(1)
    assert handled.messages == [1]


async def test_a_burst_can_be_repeated(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled)
    async with stage(url, actor) as on:
        for number in range(5):
            await on.emit(number)
            await on.actors.listen(burst=True, poll_delay=1)
            assert handled.messages == list(range(number + 1))


# failures


async def test_handlers_that_always_fail(url: str, event: Event[int]) -> None:
    """Without a delay they would come round for ever; it ends nevertheless."""
    tried: list[int] = []

    async def handle(message: int) -> None:
        tried.append(message)
        raise ValueError

    actor = Actor("a", event, handle, retry_delay=())
    async with stage(url, actor) as on:
        await on.emit(*range(5))
        await on.until_known(5, actor)
        with anyio.fail_after(DEADLINE):
            await on.actors.listen(burst=True, poll_delay=0.2)
        await on.until_left(actor, 5)
    counts = Counter(tried)
    assert set(counts) == set(range(5))
    assert max(counts.values()) <= 2


async def test_the_only_event_fails(url: str, event: Event[int]) -> None:
    """With one slot, each request is over as soon as the event has come."""
    tried: list[int] = []

    async def handle(message: int) -> None:
        tried.append(message)
        raise ValueError

    actor = Actor("a", event, handle, retry_delay=(), max_jobs=1)
    async with stage(url, actor) as on:
        await on.emit(1)
        with anyio.fail_after(DEADLINE):
            await on.actors.listen(burst=True, poll_delay=0.2)
        await on.until_left(actor, 1)
    assert len(tried) <= 2


async def test_a_failure_with_a_delay_is_for_the_next_burst(url: str, event: Event[int]) -> None:
    tried: list[int] = []

    async def handle(message: int) -> None:
        tried.append(message)
        if len(tried) == 1:
            raise Retry(delay=1)

    actor = Actor("a", event, handle, max_jobs=1)
    async with stage(url, actor) as on:
        await on.emit(1, 2)
        await on.until_known(2, actor)
        await on.actors.listen(burst=True, poll_delay=0)
        await on.until_left(actor, 1)
        await on.actors.listen(burst=True, poll_delay=DEADLINE)
        await on.until_done(actor)
    assert len(tried) == 3


async def test_others_hold_what_is_there(url: str, event: Event[int]) -> None:
    """Events that another process is working on are not waited for."""
    gate = Gate()
    actor = Actor("a", event, gate, max_ack_pending=2)
    async with running(url, actor) as on, Actors(actor).connect(url) as conn:
        await on.emit(1, 2, 3)
        await gate.come(2)
        with anyio.fail_after(DEADLINE):
            await conn.listen(burst=True, poll_delay=0)
            await conn.listen(burst=True, poll_delay=0.1)
        gate.open()
        await on.until_done(actor)
    assert sorted(gate.finished) == [1, 2, 3]


async def test_shutdown_of_a_burst(url: str, event: Event[int]) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, max_jobs=2)
    async with stage(url, actor) as on:
        await on.emit(*range(10))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: on.actors.listen(burst=True))
            await gate.come(2)
            on.actors.shutdown()
            gate.open()
        await on.until_left(actor, 8)
    assert gate.most == 2


async def test_task_status_of_a_burst(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled)
    async with stage(url, actor) as on:
        await on.emit(1)
        async with anyio.create_task_group() as tasks:

            async def burst(*, task_status: anyio.abc.TaskStatus[None]) -> None:
                await on.actors.listen(burst=True, task_status=task_status)

            await tasks.start(burst)
    assert handled.messages == [1]


async def test_one_that_fails_among_many(url: str, event: Event[int]) -> None:
    """The others are all handled, whenever the failing one comes round."""
    handled = Handled()

    async def handle(message: int) -> None:
        if message == 0:
            raise ValueError
        await handled(message)

    actor = Actor("a", event, handle, retry_delay=(), max_jobs=2)
    async with stage(url, actor) as on:
        await on.emit(*range(40))
        await on.until_known(40, actor)
        with anyio.fail_after(DEADLINE):
            await on.actors.listen(burst=True, poll_delay=0.2)
    assert sorted(handled.messages) == list(range(1, 40))
