"""Cancelled at whatever moment, a test server leaves no process and no file behind."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from anyio import from_thread, to_thread

from tests.support.processes import children
from tests.support.sweep import Scenario, sweep
from tests.testing.conftest import SILENT
from walnats_anyio.testing import NatsCluster, NatsServer

pytestmark = pytest.mark.anyio

SOON = 10.0
"""Seconds: far more than any clean-up takes, far less than the time limits of a server."""


async def a_whole_life() -> None:
    async with NatsServer() as server:
        server.kill()
        await server.start()
        await server.restart()
        await server.reload({"max_payload": 4096})
        await server.stop()


async def a_cluster() -> None:
    async with NatsCluster(2) as cluster:
        await cluster.leader()


EVERY_LOOK = [(a_whole_life, 1), (a_cluster, 7)]
"""Scenarios, and how many looks further each of their cancellations comes than the one before.

A cluster takes long to form, and most of its looks are alike.
"""


@pytest.fixture
def clean(temporary_files: Path) -> Callable[[], Awaitable[None]]:
    before = children()

    async def check() -> None:
        assert children() == before
        assert os.listdir(temporary_files) == []  # noqa: PTH208 - of a path that nobody else has

    return check


class Looks:
    """Counts how often a thread looks whether it goes on, and acts at one of these looks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._check_cancelled = from_thread.check_cancelled
        self._left = 0
        self.acted = math.inf
        """When it acted, on the monotonic clock."""
        self._act: Callable[[], object] = lambda: None
        monkeypatch.setattr(from_thread, "check_cancelled", self._look)

    def at(self, moment: int, act: Callable[[], object]) -> None:
        self._left, self._act = moment, act
        self.acted = math.inf

    @property
    def came(self) -> bool:
        """Whether there were so many looks."""
        return self._left <= 0

    def _look(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.acted = time.monotonic()
            from_thread.run_sync(self._act)
        self._check_cancelled()


@pytest.mark.parametrize(("scenario", "step"), EVERY_LOOK)
async def test_cancelled_at_every_look(
    scenario: Scenario,
    step: int,
    clean: Callable[[], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = Looks(monkeypatch)
    moment = 0
    while looks.came:
        moment += step
        with anyio.CancelScope() as scope:
            looks.at(moment, scope.cancel)
            await scenario()
        assert time.monotonic() - looks.acted < SOON
        await clean()
    assert moment > 10


@pytest.mark.parametrize("scenario", [a_whole_life, a_cluster])
async def test_cancelled_at_every_checkpoint(
    scenario: Scenario, clean: Callable[[], Awaitable[None]]
) -> None:
    # A cluster that loses its first election takes seconds for the next one.
    assert await sweep(scenario, clean, bounded_by=3 * SOON) > 2


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(("scenario", "step"), EVERY_LOOK)
async def test_cancelled_natively_at_every_look(
    scenario: Scenario,
    step: int,
    clean: Callable[[], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cancel of asyncio's own goes through every shield and waits for no thread."""
    looks = Looks(monkeypatch)
    moment = 0
    while looks.came:
        moment += step
        task = asyncio.ensure_future(scenario())
        looks.at(moment, task.cancel)
        with suppress(asyncio.CancelledError):
            await task
        await clean()
    assert moment > 10


async def test_a_wait_that_would_be_long_ends_when_it_is_cancelled(
    fake_server: Callable[[str], Path], clean: Callable[[], Awaitable[None]]
) -> None:
    server = NatsServer(binary=fake_server(SILENT))
    with anyio.fail_after(SOON), anyio.move_on_after(0.2) as scope:
        await server.__aenter__()
    assert scope.cancelled_caught
    await clean()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_wait_that_would_be_long_ends_when_it_is_cancelled_natively(
    fake_server: Callable[[str], Path], clean: Callable[[], Awaitable[None]]
) -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(NatsServer(binary=fake_server(SILENT)).__aenter__(), 0.2)
    assert time.monotonic() - begun < SOON
    await clean()


async def test_a_start_that_is_cancelled_can_be_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = Looks(monkeypatch)
    async with NatsServer() as server:
        await server.stop()
        with anyio.CancelScope() as scope:
            looks.at(3, scope.cancel)
            await server.start()
        assert scope.cancelled_caught
        assert not server.running
        await server.start()
        assert server.running


async def test_a_stop_that_is_cancelled_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the next start would take the dying server for one that runs."""
    looks = Looks(monkeypatch)
    async with NatsServer() as server:
        with anyio.CancelScope() as scope:
            looks.at(2, scope.cancel)
            await server.stop()
        assert scope.cancelled_caught
        assert not server.running
        await server.start()
        assert server.running


async def test_it_waits_for_no_thread_of_the_program() -> None:
    limiter = to_thread.current_default_thread_limiter()
    go = threading.Event()

    async def occupy() -> None:
        await to_thread.run_sync(go.wait)

    async with anyio.create_task_group() as tasks:
        for _ in range(int(limiter.total_tokens)):
            tasks.start_soon(occupy)
        while limiter.available_tokens:
            await anyio.sleep(0.001)
        try:
            with anyio.fail_after(SOON):
                async with NatsServer() as server:
                    await server.restart()
        finally:
            go.set()


async def test_started_by_two_tasks_at_once_it_runs_once() -> None:
    async with NatsServer() as server:
        server.kill()
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(server.start)
        assert server.logs.count("Starting nats-server") == 2
