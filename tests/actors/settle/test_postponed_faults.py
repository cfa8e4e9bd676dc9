"""Retries that are postponed while workers and the server are killed at random.

Not in the suite: `WALNATS_RETRIES=10000` runs it with so many events, of which two thirds fail once
or twice, with three workers of which one is killed every half second, and a server that is killed
every 25 seconds: it takes up to ten until a stream sources again after that (nats-server 2.15.1).
With 10,000 events it takes two minutes.

A server that is killed forgets which deliveries it has made just before, and so delivers them again
as if for the first time. That is not what is tested here: that no attempt is made for two messages.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from tests.actors.settle._faulty import FAILURES, actor_of
from tests.actors.settle.test_postponed_killed import ROOT, is_empty
from walnats_anyio import Actors, Event, Events
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedActors

pytestmark = pytest.mark.anyio

COUNT = int(os.environ.get("WALNATS_RETRIES", "0"))
WORKERS = 3


class Workers:
    """Worker processes, of which one is killed and replaced now and then."""

    def __init__(self, *args: str) -> None:
        self._command = [sys.executable, "-m", "tests.actors.settle._faulty", *args]
        self._processes = [self._start() for _ in range(WORKERS)]

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, cwd=ROOT)

    def kill_one(self) -> None:
        process = self._processes.pop(random.randrange(WORKERS))
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._processes.append(self._start())

    def kill_all(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


class Line(NamedTuple):
    """What a worker has noted."""

    message: int
    attempt: int
    key: str
    place: str
    what: str


def lines_of(path: Path) -> list[Line]:
    found = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [Line(int(message), int(attempt), *rest) for message, attempt, *rest in found]


@pytest.mark.skipif(not COUNT, reason="it takes minutes: set WALNATS_RETRIES to a number of events")
async def test_workers_and_server_are_killed(tmp_path: Path, anyio_backend_name: str) -> None:
    path = tmp_path / "notes"
    event = Event("faulty", int)
    async with (
        NatsServer() as server,
        Events(event).connect(server.url) as events,
        Actors(actor_of(event, str(path))).connect(server.url) as conn,
    ):
        await events.register()
        await conn.register()
        await events.emit_many(event, range(COUNT), sync=True)
        workers = Workers(server.url, event.name, str(path), anyio_backend_name)
        try:
            await _until_done(server, workers, path)
            await _until_empty(conn, event)
        finally:
            workers.kill_all()
    _judge(lines_of(path))


async def _until_done(server: NatsServer, workers: Workers, path: Path) -> None:
    kills = rounds = 0
    with anyio.fail_after(600):
        while True:
            await anyio.sleep(0.5)
            done = {line.message for line in lines_of(path) if line.what == "succeeded"}
            print(len(done), kills, flush=True)
            if len(done) == COUNT:
                return
            rounds += 1
            if rounds % 50:
                workers.kill_one()
            else:
                server.kill()
                await server.restart()
            kills += 1


async def _until_empty(conn: ConnectedActors, event: Event[int]) -> None:
    with anyio.fail_after(120):
        while not await is_empty(conn, event.stream_name):
            await anyio.sleep(0.5)


def _judge(lines: list[Line]) -> None:
    places: dict[tuple[int, int], set[str]] = defaultdict(set)
    keys: dict[int, set[str]] = defaultdict(set)
    last: dict[int, int] = defaultdict(int)
    for line in lines:
        places[line.message, line.attempt].add(line.place)
        keys[line.message].add(line.key)
        last[line.message] = max(last[line.message], line.attempt)
    started = sum(line.what == "started" for line in lines)
    succeeded = [line.message for line in lines if line.what == "succeeded"]
    print(f"{started} runs in {len(places)} attempts, {len(succeeded)} of them succeeded")
    assert set(succeeded) == set(range(COUNT))
    assert all(len(found) == 1 for found in keys.values())
    assert [attempt for attempt, found in places.items() if len(found) > 1] == []
    assert all(attempts > message % FAILURES for message, attempts in last.items())
