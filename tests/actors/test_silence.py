from __future__ import annotations

import pytest

from tests.actors._stage import Handled, running
from tests.actors.test_asking import most_requested
from walnats_anyio import Actor, Event
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
