"""A server for all examples, which a test leaves as it was."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import anyio
import pytest

from tests.support.jetstream import ask
from walnats_anyio.testing import NatsServer


@pytest.fixture(scope="session")
def one_server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
def server(one_server: NatsServer) -> Iterator[NatsServer]:
    yield one_server
    anyio.run(partial(ask, one_server, "$JS.API.STREAM.DELETE.shop-placed"))
