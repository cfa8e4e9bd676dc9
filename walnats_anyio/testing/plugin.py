"""Fixtures for pytest, there as soon as walnats-anyio is installed.

| fixture | is |
| --- | --- |
| `nats_server` | a `NatsServer`, of this test alone |
| `nats_url` | where clients connect to it |
| `nats_cluster` | a `NatsCluster` of three, of this test alone |
| `nats_server_options`, `nats_cluster_options` | their arguments: override them to change them |

They are plain fixtures: they run without an event loop, and so serve tests without one as well as
those of anyio's plugin, pytest-asyncio and pytest-trio, side by side under pytest-xdist, too. When
a test that uses one fails, the end of the server's log is in the report.

Why a server for each test: one starts and stops in about 20 ms, and no cleaning of a shared server
takes away all that a test may leave, be it a subscription of a client never closed, an account, or
a server killed. A test suite that wants to share one writes

    @pytest.fixture(scope="session")
    def shared_server() -> Iterator[NatsServer]:
        with NatsServer() as server:
            yield server
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from walnats_anyio.testing._cluster import NatsCluster
from walnats_anyio.testing._server import NatsServer

_LINES_OF_LOG = 100
"""How much of a log goes into the report of a failed test."""


@pytest.fixture(scope="session")
def nats_server_options() -> dict[str, Any]:
    """The arguments of the `NatsServer` of the fixture `nats_server`: none.

    Override it, in any scope, in a conftest.py, a module or a class:

        @pytest.fixture
        def nats_server_options():
            return {"config": {"max_payload": 4096}}
    """
    return {}


@pytest.fixture
def nats_server(nats_server_options: dict[str, Any]) -> Iterator[NatsServer]:
    """A real nats-server with JetStream and empty storage, of this test alone: a `NatsServer`.

    Its arguments come from the fixture `nats_server_options`. Fails, with the server's log, when it
    does not start, and with what to install when there is no nats-server.
    """
    with NatsServer(**nats_server_options) as server:
        yield server


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    """Where clients connect to the server of this test: `nats://127.0.0.1:PORT`."""
    return nats_server.url


@pytest.fixture(scope="session")
def nats_cluster_options() -> dict[str, Any]:
    """The arguments of the `NatsCluster` of the fixture `nats_cluster`: none. Override it."""
    return {}


@pytest.fixture
def nats_cluster(nats_cluster_options: dict[str, Any]) -> Iterator[NatsCluster]:
    """Three real nats-servers with one JetStream between them, of this test alone: a `NatsCluster`.

    It takes about 0.4 s to start. Its arguments come from the fixture `nats_cluster_options`.
    """
    with NatsCluster(**nats_cluster_options) as cluster:
        yield cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the end of the log of each server that a failed test used into its report."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            servers = value.servers if isinstance(value, NatsCluster) else (value,)
            for server in servers:
                if isinstance(server, NatsServer):
                    end = "\n".join(server.logs.splitlines()[-_LINES_OF_LOG:])
                    report.sections.append((f"nats-server {server.server_name}", end))
    return report
