"""Events come to the jobs: each once, to whoever has a slot, never more than there are slots."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from tests.actors._stage import consumer_of, listening, running, stage
from tests.support.recorders import Gate, Handled
from walnats_anyio import Actor, Actors, Event, ExecuteIn

pytestmark = pytest.mark.anyio


async def test_every_event_is_handled_once(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled, max_jobs=100)
    async with running(url, actor, max_jobs=100) as on:
        await on.emit(*range(3000))
        await on.until_done(actor)
    assert Counter(handled.messages) == Counter(range(3000))


async def test_a_backlog_is_handled(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled)
    async with stage(url, actor) as on:
        await on.emit(*range(1000))
        async with listening(on.actors):
            await on.until_done(actor)
    assert Counter(handled.messages) == Counter(range(1000))


async def test_every_actor_of_an_event_gets_all_events(url: str, event: Event[int]) -> None:
    handled = [Handled() for _ in range(3)]
    actors = [Actor(f"a{number}", event, handler) for number, handler in enumerate(handled)]
    async with running(url, *actors, max_jobs=8) as on:
        await on.emit(*range(200))
        await on.until_done(*actors)
    assert [sorted(handler.messages) for handler in handled] == [list(range(200))] * 3


async def test_connections_share_the_events(url: str, event: Event[int]) -> None:
    gates = Gate(), Gate()
    actors = [Actor("a", event, gate, max_jobs=5) for gate in gates]
    async with (
        running(url, actors[0]) as on,
        Actors(actors[1]).connect(url) as other,
        listening(other),
    ):
        await on.emit(*range(10))
        for gate in gates:
            await gate.come(5)
            gate.open()
        await on.emit(*range(10, 100))
        await on.until_done(actors[0])
    assert Counter(gates[0].finished + gates[1].finished) == Counter(range(100))


# as many at once as there are slots


async def test_max_jobs_of_the_actor(url: str, event: Event[int]) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, max_jobs=3)
    async with running(url, actor) as on:
        await on.emit(*range(20))
        await gate.come(3)
        assert (await on.consumer(actor)).taken == 3
        gate.open()
        await on.until_done(actor)
    assert gate.most == 3


async def test_max_jobs_of_listen(url: str, event: Event[int]) -> None:
    gate = Gate()
    actors = [Actor(name, event, gate, max_jobs=16) for name in "abc"]
    async with running(url, *actors, max_jobs=5) as on:
        await on.emit(*range(20))
        await gate.come(5)
        for actor in actors:
            assert (await on.consumer(actor)).taken <= 5
        gate.open()
        await on.until_done(*actors)
    assert gate.most == 5
    assert Counter(gate.finished) == Counter([*range(20)] * 3)


async def test_max_threads(url: str, event: Event[int]) -> None:
    gate = Gate()

    def handle(message: int) -> None:
        anyio.from_thread.run(gate, message)

    actor = Actor("a", event, handle, execute_in=ExecuteIn.THREAD, max_jobs=6)
    async with running(url, actor, max_threads=2) as on:
        await on.emit(*range(6))
        await gate.come(2)
        gate.open()
        await on.until_done(actor)
    assert gate.most == 2


async def test_what_cannot_run_stays_for_others(url: str, event: Event[int]) -> None:
    gate, handled = Gate(), Handled()
    slow, quick = (Actor("a", event, handler, max_jobs=4) for handler in (gate, handled))
    async with running(url, slow) as on:
        await on.emit(*range(50))
        await gate.come(4)
        consumer = await on.consumer(slow)
        assert (consumer.taken, consumer.waiting) == (4, 46)
        async with Actors(quick).connect(url) as other, listening(other):
            await on.until_left(slow, 4)
        gate.open()
        await on.until_done(slow)
    assert gate.most == 4
    assert Counter(gate.finished + handled.messages) == Counter(range(50))
    assert len(handled.messages) == 46


async def test_workers_are_used_again(url: str, event: Event[int]) -> None:
    """However many jobs there were, no more tasks are kept than have run at once."""
    handled = Handled()
    async with running(url, Actor("a", event, handled, max_jobs=2)) as on:
        tasks: list[int] = []
        for number in range(30):
            await on.emit(number)
            await handled.come(number + 1)
            tasks.append(len(anyio.get_running_tasks()))
    assert max(tasks[10:]) <= max(tasks[:10]) + 2


async def test_no_more_is_taken_after_many_jobs(url: str, event: Event[int]) -> None:
    """Each event that is done with makes room for one other."""
    gate, handled = Gate(), Handled()

    async def handle(message: int) -> None:
        await (handled if message < 20 else gate)(message)

    actor = Actor("a", event, handle, max_jobs=4)
    async with running(url, actor) as on:
        await on.emit(*range(20))
        await on.until_done(actor)
        await on.emit(*range(20, 60))
        await gate.come(4)
        consumer = await on.consumer(actor)
        assert (consumer.taken, consumer.waiting) == (4, 36)
        gate.open()
        await on.until_done(actor)


@pytest.mark.parametrize("batch", [None, 1, 3])
async def test_a_free_slot_is_used_at_once(url: str, event: Event[int], batch: int | None) -> None:
    """One job takes for ever, the others go by it."""
    gate, handled = Gate(), Handled()

    async def handle(message: int) -> None:
        await (gate if message == 0 else handled)(message)

    actor = Actor("a", event, handle, max_jobs=2)
    async with running(url, actor, batch=batch) as on:
        await on.emit(*range(100))
        await handled.come(99)
        assert gate.running == 1
        gate.open()
        await on.until_done(actor)


@pytest.mark.parametrize("batch", [1, 7, 1000])
async def test_batches(url: str, event: Event[int], batch: int) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, max_jobs=10)
    async with running(url, actor, batch=batch) as on:
        await on.emit(*range(60))
        await gate.come(10)
        consumer = await on.consumer(actor)
        assert (consumer.taken, consumer.waiting) == (10, 50)
        gate.open()
        await on.until_done(actor)
    assert gate.most == 10
    assert Counter(gate.finished) == Counter(range(60))


async def test_max_ack_pending_holds_over_connections(url: str, event: Event[int]) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, max_ack_pending=3)
    async with running(url, actor) as on, Actors(actor).connect(url) as other, listening(other):
        await on.emit(*range(10))
        await gate.come(3)
        assert (await on.consumer(actor)).taken == 3
        gate.open()
        await on.until_done(actor)
    assert gate.most == 3


async def test_receiving_when_started(url: str, event: Event[int]) -> None:
    """`await task_group.start(conn.listen)` returns when every actor has asked."""
    actors = [Actor(f"a{number}", event, Handled()) for number in range(20)]
    async with stage(url, *actors) as on, anyio.create_task_group() as tasks:
        await tasks.start(on.actors.listen)
        # Over another connection, so that the question cannot wait behind the requests; and the
        # last one first.
        link = on.events._link
        requested = [(await consumer_of(link, actor)).requested for actor in reversed(actors)]
        assert requested == [1] * 20
        on.actors.shutdown()


@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "fails"])
async def test_a_handler_that_never_waits_leaves_others_their_turn(
    url: str, event: Event[int], fails: bool
) -> None:
    """Another task runs while a backlog of plain jobs is worked off."""
    handled: list[int] = []
    all_handled = anyio.Event()
    longest = 0

    def handle(message: int) -> None:
        # The first one waits until the others are here, or a slow server would let others run.
        end = anyio.current_time() + (0.002 if handled else 0.2)
        while anyio.current_time() < end:
            pass
        handled.append(message)
        if fails and message % 2:
            raise ValueError

    async def watch() -> None:
        nonlocal longest
        before = 0
        while len(handled) < 200:
            await anyio.lowlevel.checkpoint()
            longest = max(longest, len(handled) - before)
            before = len(handled)
        all_handled.set()

    actor = Actor("a", event, handle, max_jobs=200, retry_delay=(3600,))
    async with stage(url, actor) as on:
        await on.emit(*range(200))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)  # now: all may be handled before the body of `listening` runs
            async with listening(on.actors, max_jobs=200):
                await all_handled.wait()
    assert longest <= 20
