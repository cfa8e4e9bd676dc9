"""A server for the tests of decorators, and an event for each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from walnats_anyio import Event
from walnats_anyio.testing import NatsServer


@pytest.fixture(scope="session")
def server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
def url(server: NatsServer) -> str:
    return server.url


@pytest.fixture
def event() -> Event[int]:
    return Event(f"numbers-{secrets.token_hex(6)}", int, storage="memory")
