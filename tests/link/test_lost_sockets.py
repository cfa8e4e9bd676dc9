"""Writing on a connection that was lost a moment ago, before anybody has noticed."""

from __future__ import annotations

import anyio
import pytest

from tests.link._probe import DEADLINE
from walnats_anyio._link import open_link, pub
from walnats_anyio._link._client import abort
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio


async def test_what_is_written_meanwhile_breaks_nothing(nats_server: NatsServer) -> None:
    """From Python 3.12 on asyncio waits to write to the closed socket, whosever that is by then."""
    async with open_link(nats_server.url) as link:
        for turns in range(40):
            for _ in range(100):
                link.post(pub("anywhere", b"x" * 10_000))
            for _ in range(turns % 8):
                await anyio.lowlevel.checkpoint()
            abort(link._client)
            await link.flush(timeout=DEADLINE)
        assert link.closed is None
