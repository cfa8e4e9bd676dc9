"""Retries that are postponed: whoever is killed in the middle of it, nothing is lost or doubled."""

from __future__ import annotations

import secrets
import sys
from functools import partial
from pathlib import Path

import anyio
import pytest

from tests.actors._stage import listening
from tests.actors.settle._killed import LONG, STEPS, actor_of, event_of
from tests.support.waiting import until
from walnats_anyio import Actors, Events
from walnats_anyio._actors.settle import _conclusion
from walnats_anyio._link import api
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedActors

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]


def runs(path: Path) -> list[tuple[int, str]]:
    """The attempts that were run, and what identified the event in each."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(line.split()[0]), line.split()[1]) for line in lines]


async def is_empty(conn: ConnectedActors, stream: str) -> bool:
    """Whether nothing of an event is left: neither in its stream, nor a copy that waits."""
    link = conn._link
    of_event = await api(link, f"STREAM.INFO.{stream}")
    wanted = {"subjects_filter": f"walnats.schedules.retry.{stream}.>"}
    schedules = await api(link, "STREAM.INFO.walnats-schedules", wanted)
    return not of_event["state"]["messages"] and not schedules["state"].get("subjects")


async def test_a_worker_is_killed_at_each_step(
    shared_server: NatsServer,
    tmp_path: Path,
    anyio_backend_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_conclusion, "LONG_DELAY", LONG)
    url, name, notes = shared_server.url, f"killed-{secrets.token_hex(4)}", tmp_path / "notes"
    events = [event_of(name, number) for number in range(len(STEPS))]
    paths = [Path(f"{notes}.{number}") for number in range(len(STEPS))]
    actors = [actor_of(event, str(path)) for event, path in zip(events, paths, strict=True)]
    async with Events(*events).connect(url) as emitting, Actors(*actors).connect(url) as conn:
        await emitting.register()
        await conn.register()
        for event in events:
            await emitting.emit(event, 1, sync=True)
        command = [sys.executable, "-m", "tests.actors.settle._killed", url, name, str(notes)]
        await anyio.run_process([*command, anyio_backend_name], cwd=ROOT)
        assert all(len(runs(path)) == 1 for path in paths)
        async with listening(conn):
            await until(lambda: all(len(runs(path)) == 2 for path in paths))
            for event in events:
                await until(partial(is_empty, conn, event.stream_name))
    for step, path in zip(STEPS, paths, strict=True):
        attempts, keys = zip(*runs(path), strict=True)
        assert list(attempts) == STEPS[step], step.__name__
        assert len(set(keys)) == 1, step.__name__
