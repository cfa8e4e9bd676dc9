"""`max_jobs="auto"` beside fixed numbers, over a load that changes, on a real server.

Not in the suite: `WALNATS_AUTO_LOAD=1` runs it. All of them handle the same at the same time, each
with a dependency of its own: a pool of ten connections, whose answers take 50 ms, and four times as
long for 15 of the 45 seconds that are measured. It takes a minute on each backend, prints what each
has done (`pytest -s`), and fails if auto has done less than 0.9 of the best fixed number, or less
than 0.85 in a part after its first five seconds.
"""

from __future__ import annotations

import os

import anyio
import pytest

import walnats_anyio as walnats
from walnats_anyio import Actor, Auto, Event
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

FIXED = (4, 10, 20, 40)
BEFORE, PART, REACTS_WITHIN = 10.0, 15.0, 5.0
CONNECTIONS, TAKES, SLOWER = 10, 0.05, 4.0
EVENTS = 15_000
"""More than ten connections can do in that time."""


class Dependency:
    """A pool of connections, as a handler has it."""

    def __init__(self) -> None:
        self.takes = TAKES
        self.done = 0
        self._connections = anyio.CapacityLimiter(CONNECTIONS)

    async def __call__(self, _: int) -> None:
        async with self._connections:
            await anyio.sleep(self.takes)
        self.done += 1


@pytest.mark.skipif("WALNATS_AUTO_LOAD" not in os.environ, reason="WALNATS_AUTO_LOAD=1 runs it")
async def test_a_dependency_that_slows_down_and_recovers(anyio_backend_name: str) -> None:
    dependencies = [Dependency() for _ in range(len(FIXED) + 1)]
    actors = [
        Actor(
            f"actor-{number}",
            Event(f"load-{number}", int, storage="memory"),
            dependency,
            max_jobs=Auto(most=64) if not number else FIXED[number - 1],
        )
        for number, dependency in enumerate(dependencies)
    ]
    parts: list[list[int]] = []
    events = walnats.Events(*(actor.event for actor in actors))
    with NatsServer() as server:
        async with (
            events.connect(server.url) as emitting,
            walnats.Actors(*actors).connect(server.url) as conn,
        ):
            await emitting.register()
            await conn.register()
            for actor in actors:
                await emitting.emit_many(actor.event, range(EVENTS))
            await emitting.flush()
            async with anyio.create_task_group() as tasks:

                async def listen(*, task_status: anyio.abc.TaskStatus[None]) -> None:
                    await conn.listen(max_jobs=500, shutdown_timeout=0, task_status=task_status)

                await tasks.start(listen)
                await anyio.sleep(BEFORE)
                for slower in (1.0, SLOWER, 1.0):
                    for dependency in dependencies:
                        dependency.takes = TAKES * slower
                    for seconds in (REACTS_WITHIN, PART - REACTS_WITHIN):
                        before = [dependency.done for dependency in dependencies]
                        await anyio.sleep(seconds)
                        after = [dependency.done for dependency in dependencies]
                        parts.append([b - a for a, b in zip(before, after, strict=True)])
                    found = conn.statistics().actors[0].auto
                    assert found is not None
                    print(f"{anyio_backend_name}: x{slower:g}: {parts[-2:]}, limit {found.limit}")
                conn.shutdown()
    totals = [sum(each) for each in zip(*parts, strict=True)]
    ratios = [part[0] / max(part[1:]) for part in (*parts[1::2], totals)]
    print(f"{anyio_backend_name}: auto beside the best: {', '.join(f'{r:.2f}' for r in ratios)}")
    assert ratios[-1] >= 0.9
    assert min(ratios) >= 0.85
