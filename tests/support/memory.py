"""`pytest --memory`: tests of behaviour on a `MemoryServer` rather than a real one.

It runs the tests that ask for the fixture `url` and for no server of their own. Those on a list
below need something that only a process has, and are left out.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from walnats_anyio.testing import MemoryServer, NatsServer

OPTION = "--memory"

NEEDS_MORE = {
    "test_hung_worker.py": "a process of its own connects",
    "priority_": "MemoryServer does not know priority groups",
    "test_a_client_that_is_pinned": "the same",
}
"""Parts of the names of tests that cannot run in memory, and why."""


@pytest.fixture
async def memory_url() -> AsyncIterator[str]:
    """A server in memory, of this test alone. Its time is ours, as tests compare the two."""
    async with MemoryServer(begin=datetime.now(UTC)) as server:
        yield server.url


def url_for(request: pytest.FixtureRequest, server: str) -> str:
    """Where a test connects: to the server of a fixture, or to one in memory."""
    if request.config.getoption(OPTION):
        url: str = request.getfixturevalue("memory_url")
        return url
    shared: NatsServer = request.getfixturevalue(server)
    return shared.url


def add_option(parser: pytest.Parser) -> None:
    """Make the option known."""
    parser.addoption(OPTION, action="store_true", help="run what can be on a MemoryServer")


def keep_what_runs_in_memory(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that say nothing about a server in memory."""
    if not config.getoption(OPTION):
        return
    kept = [item for item in items if isinstance(item, pytest.Function) and _runs(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _runs(item: pytest.Function) -> bool:
    asked = set(item.fixturenames)
    return (
        inspect.iscoroutinefunction(item.obj)
        and {"url", "anyio_backend"} <= asked
        and not {"nats_server", "nats_url"} & asked
        and not any(each in item.nodeid for each in NEEDS_MORE)
    )
