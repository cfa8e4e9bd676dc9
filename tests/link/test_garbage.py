"""After a normal exit nothing is left: no cycle, no task, no socket, no warning."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

import walnats_anyio as walnats
from tests.actors._stage import running
from tests.support.leftovers import Leftovers
from tests.support.recorders import Handled
from walnats_anyio._link import Link, open_link
from walnats_anyio.testing import NatsServer

EVENT: walnats.Event[int] = walnats.Event("numbers", int)


@pytest.mark.anyio
async def test_a_link_is_freed_without_the_collector(nats_server: NatsServer) -> None:
    """What holds a connection's buffers must not wait for a collection that may be far away."""

    async def use() -> None:
        async with open_link(nats_server.url) as link:
            await link.flush()
            await link.request("$JS.API.INFO")

    await use()
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            await use()
        await anyio.lowlevel.checkpoint()
        alive = sum(isinstance(one, Link) for one in gc.get_objects())
    finally:
        gc.enable()
    assert alive == 0


@pytest.mark.anyio
async def test_what_the_collector_finds_does_not_grow(nats_server: NatsServer) -> None:
    async def use() -> None:
        handled = Handled()
        async with running(nats_server.url, walnats.Actor("a", EVENT, handled)) as on:
            await on.emit(1, 2, 3)
            await handled.come(3)

    leftovers = Leftovers()
    for _ in range(3):
        await use()
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await use()
        gc.collect()
        ours = [one for one in gc.garbage if type(one).__module__.startswith("walnats_anyio._link")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.collect()
    assert ours == []
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
    assert (done.returncode, done.stderr) == (0, "")
