"""Clocks and actors of one event, of this library and of walnats 1.2.6."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from subprocess import PIPE

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

import walnats_anyio as walnats
from tests.actors._stage import running
from tests.support.waiting import DEADLINE, until
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

PEER = Path(__file__).parent / "clock_peer.py"


@pytest.fixture
def event() -> walnats.Event[datetime]:
    return walnats.Event(f"ticks-{secrets.token_hex(4)}", datetime)


class Said:
    """What a peer prints, line by line."""

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdout is not None
        self._reader = BufferedByteReceiveStream(process.stdout)

    async def line(self) -> object:
        with anyio.fail_after(DEADLINE):
            said: object = json.loads(await self._reader.receive_until(b"\n", 65536))
            return said


@asynccontextmanager
async def peer(server: NatsServer, *arguments: str) -> AsyncIterator[Said]:
    command = [sys.executable, str(PEER), server.url, *arguments]
    async with await anyio.open_process(command, stdout=PIPE, stderr=None) as process:
        said = Said(process)
        assert await said.line() == "ready"
        yield said
        with anyio.move_on_after(DEADLINE):
            await process.wait()


# On one backend, as it is about what goes over the wire, and the peers take their time to start.
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_both_clocks_tick_for_both_actors(
    nats_server: NatsServer, event: walnats.Event[datetime]
) -> None:
    """They do not know of each other. A tick of walnats has no time zone, ours has one."""
    ticks: list[datetime] = []

    async def handle(tick: datetime) -> None:
        ticks.append(tick)

    clock = walnats.Clock(event, period=1)
    async with (
        running(nats_server.url, walnats.Actor(f"{event.name}-ours", event, handle)) as on,
        peer(nats_server, event.name, "listen", "4") as listening,
        peer(nats_server, event.name, "tick", "2"),
        anyio.create_task_group() as tasks,
    ):
        await tasks.start(clock.run, on.events)
        theirs = await listening.line()
        assert isinstance(theirs, list)
        received = [datetime.fromisoformat(tick) for tick in theirs]
        assert {tick.tzinfo is None for tick in received} == {True, False}
        await until(lambda: len({tick.tzinfo is None for tick in ticks}) == 2)
        tasks.cancel_scope.cancel()
    ours = [tick for tick in ticks if tick.tzinfo is not None]
    assert all(tick.microsecond == 0 and tick.utcoffset() == timedelta(0) for tick in ours)
    assert len(ours) == len(set(ours))
