"""One server for the tests of actors in a process; each test has events of its own."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator

import pytest

import walnats_anyio as walnats
from tests.support.memory import url_for
from walnats_anyio._actors.settle import _conclusion
from walnats_anyio.testing import NatsServer


@pytest.fixture(scope="session")
def shared_server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    return url_for(request, "shared_server")


@pytest.fixture
def event() -> walnats.Event[int]:
    """An event of this test alone, kept in memory as nothing here restarts the shared server."""
    return walnats.Event(f"numbers-{secrets.token_hex(6)}", int, storage="memory")


@pytest.fixture
def no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for its retry keeps its place, so that a test can count what is left."""
    monkeypatch.setattr(_conclusion, "LONG_DELAY", math.inf)
    monkeypatch.setattr(_conclusion, "CROWDED_DELAY", math.inf)
