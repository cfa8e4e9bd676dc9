"""After a normal exit nothing is left: no cycle, no task, no socket, no warning."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

import walnats_anyio as walnats
from tests.actors._stage import running
from tests.support.development_mode import complaints
from tests.support.leftovers import Leftovers
from tests.support.recorders import Handled
from walnats_anyio._link import Link
from walnats_anyio.testing import NatsServer

EVENT: walnats.Event[int] = walnats.Event("numbers", int)


def links_alive() -> int:
    """How many links there are; an earlier test's failure may keep some."""
    gc.collect()
    return sum(type(one) is Link for one in gc.get_objects())


@pytest.mark.anyio
async def test_connections_that_were_left_are_freed(nats_server: NatsServer) -> None:
    leftovers = Leftovers()

    async def use() -> None:
        handled = Handled()
        async with running(nats_server.url, walnats.Actor("a", EVENT, handled)) as on:
            await on.emit(1, 2, 3)
            await handled.come(3)

    before = links_alive()
    for _ in range(3):
        await use()
    assert links_alive() <= before
    assert not gc.garbage
    await leftovers.none()


PROGRAM = """
import gc, sys
import anyio
import walnats_anyio as walnats

EVENT = walnats.Event("numbers", int)
handled = []

async def handle(message):
    handled.append(message)

async def main():
    async with (
        walnats.Events(EVENT).connect() as conn,
        walnats.Actors(walnats.Actor("a", EVENT, handle)).connect() as actors,
    ):
        await conn.register()
        await actors.register()
        await conn.emit_many(EVENT, range(10))
        await conn.flush()
        await actors.listen(burst=True)

for _ in range(3):
    anyio.run(main, backend=sys.argv[1])
gc.collect()
assert len(handled) == 30
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_nothing_warns_in_development_mode(nats_url: str, backend: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, backend],
        env={**os.environ, "NATS_SERVER": nats_url, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, complaints(done.stderr)) == (0, [])
