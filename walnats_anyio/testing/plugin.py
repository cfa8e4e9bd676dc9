"""Fixtures for pytest, there as soon as walnats-anyio is installed.

| fixture | is |
| --- | --- |
| `nats_server` | a `NatsServer`, of this test alone |
| `nats_url` | where clients connect to it |
| `nats_cluster` | a `NatsCluster` of three, of this test alone |
| `memory_server` | a `MemoryServer`, of this test alone |
| `walnats_server` | a `MemoryServer`, or a `NatsServer` with `--walnats-server=nats` |
| `walnats_url` | where clients connect to it |
| `walnats_clock` | gives backend options: with a mock clock, unless the server is a real one |
| `instant_time` | the test has a mock clock; with a real server it is skipped |
| `nats_server_options`, `nats_cluster_options`, `memory_server_options` | their arguments: override
  them to change them |

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

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from walnats_anyio._link import mock_clock
from walnats_anyio.testing._cluster import NatsCluster
from walnats_anyio.testing._memory._server import MemoryServer
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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Choose the server of a test run."""
    parser.getgroup("walnats-anyio").addoption(
        "--walnats-server",
        choices=("memory", "nats"),
        default="memory",
        help="what the fixture walnats_server is: a MemoryServer (the default) or a NatsServer",
    )


@pytest.fixture(scope="session")
def memory_server_options() -> dict[str, Any]:
    """The arguments of the `MemoryServer` of the fixture `memory_server`: none. Override it."""
    return {}


@pytest.fixture
def memory_server(memory_server_options: dict[str, Any]) -> Iterator[MemoryServer]:
    """An empty `MemoryServer` of this test alone: no process, no sockets, no waiting.

    Its arguments come from the fixture `memory_server_options`. Whatever is connected to it must
    be in the event loop of the test.
    """
    with MemoryServer(**memory_server_options) as server:
        yield server


@pytest.fixture
def walnats_server(request: pytest.FixtureRequest) -> MemoryServer | NatsServer:
    """A `MemoryServer` of this test alone, or with `--walnats-server=nats` a real `NatsServer`.

    The same test runs on both. The server is that of the fixture `memory_server` or `nats_server`.
    """
    server: MemoryServer | NatsServer = request.getfixturevalue(
        "nats_server" if _is_real(request.config) else "memory_server"
    )
    return server


@pytest.fixture
def walnats_url(walnats_server: MemoryServer | NatsServer) -> str:
    """Where clients connect to the server of the fixture `walnats_server`."""
    return walnats_server.url


@pytest.fixture(scope="session")
def walnats_clock(pytestconfig: pytest.Config) -> Callable[[str], dict[str, Any]]:
    """Gives the backend options of anyio for a backend: a mock clock, where nothing takes time.

    With `--walnats-server=nats` there is none, as a real server lives in real time. For anyio's
    plugin:

        @pytest.fixture(params=["asyncio", "trio"])
        def anyio_backend(request, walnats_clock):
            return request.param, walnats_clock(request.param)
    """
    return _no_options if _is_real(pytestconfig) else mock_clock


@pytest.fixture
def instant_time(request: pytest.FixtureRequest) -> object:
    """The test has a mock clock. With `--walnats-server=nats` there is none, and it is skipped.

    Have it as an argument of the test. With pytest-trio it is the clock. With anyio's plugin the
    fixture `anyio_backend` makes it (see `walnats_clock`), with pytest-asyncio the hook
    `pytest_asyncio_loop_factories`.
    """
    if _is_real(request.config):
        pytest.skip("it would take its time: --walnats-server=nats has no mock clock")
    if request.node.get_closest_marker("trio") is not None:
        return mock_clock("trio")["clock"]  # pytest-trio takes it from the arguments of the test
    if request.node.get_closest_marker("anyio") is not None:
        backend = request.getfixturevalue("anyio_backend")
        if isinstance(backend, str) or not {"clock", "loop_factory"} & set(backend[1]):
            pytest.fail(
                "instant_time needs a mock clock: let the fixture anyio_backend return "
                "(backend, walnats_clock(backend))",
                pytrace=False,
            )
    return None


def _is_real(config: pytest.Config) -> bool:
    return bool(config.getoption("--walnats-server") == "nats")


def _no_options(_: str) -> dict[str, Any]:
    return {}


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
