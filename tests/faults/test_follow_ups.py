"""What a handler emits with its job is in its stream exactly once, whatever happens to the worker.

`WALNATS_FOLLOW_UPS` says for how many events; `nox -s faults` asks for 10,000.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from pathlib import Path

import anyio
import pytest

from tests.actors._stage import Stage, consumer_of
from tests.faults._follower import EACH, FOLLOW, FOLLOWED, KEEP, NUMBER
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actors, Events
from walnats_anyio._link import Link, api
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

EVENTS = int(os.environ.get("WALNATS_FOLLOW_UPS", "150"))
WORKERS = 2
KILLS = max(3, EVENTS // 100)
ROOT = Path(__file__).parent.parent.parent


def start_worker(url: str, backend: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faults._follower", url, backend]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)


async def kill_at_random(
    workers: list[subprocess.Popen[bytes]], url: str, backend: str, link: Link
) -> None:
    """Kill a worker as soon as some more events are done, and replace it."""
    for kill in range(1, KILLS + 1):
        left = EVENTS - EVENTS * kill // (KILLS + 1)

        async def some_more(left: int = left) -> bool:
            return (await consumer_of(link, FOLLOW)).left <= left

        await until(some_more, within=10 * DEADLINE)
        await anyio.sleep(0.01 * random.random())
        victim = random.choice(workers)
        victim.kill()
        victim.wait()
        workers.remove(victim)
        workers.append(start_worker(url, backend))


async def payloads_of(link: Link) -> Counter[int]:
    """The follow-up events that are stored, and how often each one is."""
    name = FOLLOWED.stream_name
    stored: Counter[int] = Counter()
    state = (await api(link, f"STREAM.INFO.{name}"))["state"]
    for seq in range(state["first_seq"], state["last_seq"] + 1):
        message = (await api(link, f"STREAM.MSG.GET.{name}", {"seq": seq}))["message"]
        stored[int(b64decode(message["data"]))] += 1
    return stored


@pytest.mark.timeout(1800)
async def test_each_follows_exactly_once(anyio_backend_name: str) -> None:
    async with (
        NatsServer() as server,
        Events(NUMBER, FOLLOWED).connect(server.url) as events,
        Actors(FOLLOW, KEEP).connect(server.url) as conn,
    ):
        await events.register()
        await conn.register()
        await events.emit_many(NUMBER, range(EVENTS), sync=True)
        on = Stage(server.url, events, conn, NUMBER)
        workers = [start_worker(server.url, anyio_backend_name) for _ in range(WORKERS)]
        try:
            await kill_at_random(workers, server.url, anyio_backend_name, on.link)
            await until(lambda: _is_done(on), within=10 * DEADLINE)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        stored = await payloads_of(on.link)
    assert set(stored) == set(range(EVENTS * EACH))
    assert set(stored.values()) == {1}


async def _is_done(on: Stage) -> bool:
    return (await on.consumer(FOLLOW)).left == 0
