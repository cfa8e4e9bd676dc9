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
from walnats_anyio.testing._memory._stream_config import UNKNOWN_HERE

OPTION = "--memory"

NEEDS_MORE = {
    "test_hung_worker.py": "a process of its own connects",
    "events/test_delays.py": "MemoryServer does not know schedules",
    "events/test_schedules.py": "the same",
    "test_it_is_a_first_delivery": "the same",
    "test_what_is_delayed_costs_actors_nothing": "the same",
    "priority_": "MemoryServer does not know priority groups",
    "test_a_client_that_is_pinned": "the same",
    "-stored]": "it does not know consumers that push",
    "test_monitor_stored.py": "the same",
    "test_a_thread_emits_one": "the event loop of another thread connects",
    "test_server_clock.py": "it does not know schedules",
    "test_what_delays_and_expiry_need": "the same",
    "test_what_failed_is_logged": "the same, and the log says so",
    "test_requests_in_a_namespace_and_from_a_thread": "the event loop of another thread connects",
    "test_refusals.py::test_an_update": "it has no disk that could be too small",
    "test_many_processes": "a process of its own connects",
    "test_what_was_refused_for_now_goes_out_once": "a server without JetStream is needed",
} | {
    f"test_a_stream_that_somebody_else_made[{backend}-{field}]": f"it does not know {field}"
    for backend in ("asyncio", "trio")
    for field in UNKNOWN_HERE
}
"""Parts of the names of tests that cannot run in memory, and why."""


@pytest.fixture
async def memory_server() -> AsyncIterator[MemoryServer]:
    """A server in memory, of this test alone. Its time is ours, as tests compare the two."""
    async with MemoryServer(begin=datetime.now(UTC)) as server:
        yield server


@pytest.fixture
def memory_url(memory_server: MemoryServer) -> str:
    """Where clients connect to it."""
    return memory_server.url


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
    events = "tests/events/" in item.nodeid
    return (
        inspect.iscoroutinefunction(item.obj)
        and "anyio_backend" in asked
        and ("nats_server" if events else "url") in asked
        and not {"nats_url", "tmp_path", "" if events else "nats_server"} & asked
        and not any(each in item.nodeid for each in NEEDS_MORE)
    )
