"""Requests for events: how many there are, and what happens when they end."""

from __future__ import annotations

import anyio
import pytest

from tests.actors._stage import listening, most_requested, running, stage
from tests.support.recorders import Gate, Handled
from walnats_anyio import Actor, Event

pytestmark = pytest.mark.anyio


async def test_requests_are_made_again_when_they_expire(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled)
    async with running(url, actor, poll_delay=0.1) as on:
        for number in range(1, 5):
            with anyio.move_on_after(0.25):
                await anyio.sleep_forever()  # two or three requests expire
            await on.emit(number)
            await handled.come(number)
        await on.until_done(actor)


async def test_one_request_is_outstanding_after_a_long_job(url: str, event: Event[int]) -> None:
    """Silence while nothing is asked for says nothing about the request that follows."""
    gate = Gate()
    actor = Actor("a", event, gate, max_jobs=1, ack_wait=1)
    async with running(url, actor, poll_delay=1) as on:
        await on.emit(1)
        await gate.come(1)
        await anyio.sleep(3)
        gate.open()
        await on.until_done(actor)
        assert await most_requested(on, actor, 1.5) == 1


@pytest.mark.parametrize("max_polls", [1, 2])
async def test_actors_take_turns_at_asking(url: str, event: Event[int], max_polls: int) -> None:
    """Fewer requests than actors, and all get their events."""
    handled = [Handled() for _ in range(5)]
    actors = [
        Actor(f"a{number}", event, handler, ack_wait=1) for number, handler in enumerate(handled)
    ]
    async with stage(url, *actors) as on:
        await on.emit(*range(40))
        async with listening(on.actors, max_polls=max_polls, poll_delay=0.5):
            await on.until_done(*actors)
            for _ in range(5):
                requested = [(await on.consumer(actor)).requested for actor in actors]
                # Turns may pass on while we look at one after the other.
                assert sum(count > 0 for count in requested) <= max_polls + 1
            await on.emit(*range(40, 50))
            await on.until_done(*actors)
    assert [sorted(handler.messages) for handler in handled] == [list(range(50))] * 5
