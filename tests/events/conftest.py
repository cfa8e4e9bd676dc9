"""With `--memory`, the server of these tests is one in memory."""

from __future__ import annotations

import pytest

from tests.support.memory import OPTION
from walnats_anyio.testing import MemoryServer, NatsServer


@pytest.fixture
def nats_server(request: pytest.FixtureRequest) -> NatsServer | MemoryServer:
    name = "memory_server" if request.config.getoption(OPTION) else "nats_server"
    server: NatsServer | MemoryServer = request.getfixturevalue(name)
    return server
