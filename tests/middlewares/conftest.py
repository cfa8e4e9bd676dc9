"""A server for the tests of middlewares, an event for each, and a journal."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.actors.conftest import no_copies
from tests.middlewares._journal import Calls
from tests.support.memory import url_for
from walnats_anyio import Event
from walnats_anyio.testing import NatsServer

__all__ = ["no_copies"]


@pytest.fixture(scope="session")
def server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    return url_for(request, "server")


@pytest.fixture
def event() -> Event[int]:
    return Event(f"numbers-{secrets.token_hex(6)}", int, storage="memory")


@pytest.fixture
def journal() -> Calls:
    return []
