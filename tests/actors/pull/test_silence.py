"""Servers that say nothing for a while: no request and no pulse too many."""

from __future__ import annotations

import pytest

from tests.actors._stage import most_requested, run_of, running, until_ticked
from tests.support.recorders import Gate, Handled
from tests.support.waiting import until
from walnats_anyio import Actor, Event
from walnats_anyio._link import pub
from walnats_anyio.testing import NatsServer

EVENT: Event[int] = Event("numbers", int)


@pytest.fixture
def url(nats_server: NatsServer) -> str:
    return nats_server.url


pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("poll_delay", [0.2, 1])
async def test_one_request_is_outstanding_while_nothing_comes(
    url: str, event: Event[int], poll_delay: float
) -> None:
    """A look at the clock just after a request says nothing about it."""
    actor = Actor("a", event, Handled())
    async with running(url, actor, poll_delay=poll_delay) as on:
        assert await most_requested(on, actor, 4) == 1


async def test_no_pulses_pile_up_while_the_server_is_away(nats_server: NatsServer) -> None:
    """They would all go out at the reconnect, and say nothing that the next one does not."""
    gate = Gate()
    actor = Actor("a", EVENT, gate, max_jobs=50, ack_wait=0.4)
    async with running(nats_server.url, actor, max_jobs=50) as on:
        await on.emit(*range(50))
        await gate.come(50)
        nats_server.kill()
        await until(lambda: not on.link.connected)
        await until_ticked(on.actors, 5)
        assert len(on.link._outbox.commands) < 50
        gate.open()
        await nats_server.start()
        await on.until_done(actor)


@pytest.mark.parametrize("status", [b"503", b"499 Unheard Of"])
async def test_an_idle_actor_that_is_refused_soon_asks_again(
    url: str, event: Event[int], status: bytes
) -> None:
    """As while a cluster elects a leader; the clock sleeps then, as nothing is held."""
    actor = Actor("a", event, Handled(), ack_wait=60)
    async with running(url, actor) as on:
        listening, subscription = on.actors._listening, run_of(on.actors).consumer._subscription
        assert listening is not None
        assert subscription is not None
        await until(lambda: listening._asleep)
        refusal = b"NATS/1.0 %b\r\n\r\n" % status
        on.link.post(pub(subscription.subject, b"", headers=refusal))
        await until(lambda: on.actors.statistics().actors[0].requested == 0)
        await until(lambda: on.actors.statistics().actors[0].requested > 0, within=8)
