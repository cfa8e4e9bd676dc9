"""More to do than an actor may hold: `max_ack_pending`, and few slots for many actors."""

from __future__ import annotations

import secrets
from collections import Counter

import anyio
import pytest

from tests.actors._stage import listening, running, stage, until_ticked
from tests.support.recorders import Gate, Handled
from tests.support.waiting import until
from walnats_anyio import Actor, Actors, Event
from walnats_anyio.testing import NatsServer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_copies")]


async def test_events_that_wait_for_their_retry_count(url: str, event: Event[int]) -> None:
    """Five of them stop the actor until they come again, and nothing is lost over it."""
    runs: Counter[int] = Counter()

    async def fail_once(message: int) -> None:
        runs[message] += 1
        if runs[message] == 1:
            raise ValueError("not yet")

    actor = Actor("a", event, fail_once, max_ack_pending=5, retry_delay=(0.3,))
    most = 0
    async with running(url, actor) as on:
        await on.emit(*range(20))

        async def done() -> bool:
            nonlocal most
            consumer = await on.consumer(actor)
            most = max(most, consumer.taken)
            return consumer.left == 0

        await until(done)
    assert most <= 5
    assert runs == dict.fromkeys(range(20), 2)


async def test_that_nothing_else_comes_is_said_once(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    handled = Handled()

    async def fail(message: int) -> None:
        await handled(message)
        raise ValueError("not yet")

    actor = Actor("a", event, fail, max_ack_pending=3, retry_delay=(3600,), ack_wait=0.4)
    async with running(url, actor) as on:
        await on.emit(1, 2)
        await handled.come(2)
        await until_ticked(on.actors, 3)
        assert "max_ack_pending" not in caplog.text
        await on.emit(3, 4)
        await until(lambda: "3 events wait for their next attempt" in caplog.text)
        await until_ticked(on.actors, 3)
    assert "raise max_ack_pending and register the actor, retry sooner" in caplog.text
    assert caplog.text.count("wait for their next attempt") == 1
    assert sorted(handled.messages) == [1, 2, 3]


async def test_it_bounds_all_processes_together(url: str, event: Event[int]) -> None:
    gates = Gate(), Gate()
    one, other = (Actor("a", event, gate, max_ack_pending=5, max_jobs=4) for gate in gates)
    async with running(url, one) as on, Actors(other).connect(url) as conn, listening(conn):
        await on.emit(*range(30))
        await until(lambda: sum(gate.running for gate in gates) == 5)
        assert (await on.consumer(one)).taken == 5
        for gate in gates:
            gate.open()
        await on.until_done(one)
    messages = [message for gate in gates for message in gate.finished]
    assert sorted(messages) == list(range(30))


async def test_a_slow_actor_beside_a_fast_one(url: str, event: Event[int]) -> None:
    """The slow one has all the slots it may have, and the fast one works off its backlog."""
    slow, fast = Gate(), Handled()
    actors = Actor("slow", event, slow, max_jobs=2), Actor("fast", event, fast, max_jobs=2)
    async with stage(url, *actors) as on:
        await on.emit(*range(200))
        async with listening(on.actors, max_jobs=3):
            await fast.come(200)
            assert (slow.running, slow.finished) == (2, [])
            slow.open()
            await on.until_done(*actors)
    assert sorted(slow.finished) == sorted(fast.messages) == list(range(200))


async def test_few_slots_hold_few_events(url: str, event: Event[int]) -> None:
    """Twenty actors on two slots: at most one event for each actor waits beside the two."""
    running_now = most = held = 0

    async def handle(message: int) -> None:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await anyio.lowlevel.checkpoint()
        running_now -= 1

    actors = [Actor(f"a{number}", event, handle) for number in range(20)]
    async with stage(url, *actors) as on:
        await on.emit(*range(20))
        async with listening(on.actors, max_jobs=2):
            assert on.actors._listening is not None
            budget = on.actors._listening.budget

            async def done() -> bool:
                nonlocal held
                held = max(held, budget.held)
                return (await on.consumer(actors[-1])).left == 0

            await until(done)
            await on.until_done(*actors)
    assert most <= 2
    assert held <= 2 + len(actors)


async def test_large_events_are_not_asked_for_all_at_once(shared_server: NatsServer) -> None:
    """A server cuts a connection off for which it holds over 64 MB, and what it held is lost."""
    blobs: Event[bytes] = Event(f"blobs-{secrets.token_hex(6)}", bytes, storage="memory")
    gate, count = Gate(), 40
    actor = Actor("a", blobs, gate, max_jobs=200)
    async with stage(shared_server.url, actor) as on:
        await on.emit(*[bytes(1_000_000)] * count)
        async with listening(on.actors, max_jobs=200):
            await gate.come(count)
            (asked,) = on.actors.statistics().actors
            # 32 MB, or twice as many for one request with a limit of its own, and not 160.
            assert 1 <= asked.requested <= 64
            gate.open()
            await until(lambda: on.actors.statistics().actors[0].handled == count)
    assert on.link.statistics().reconnects == 0
