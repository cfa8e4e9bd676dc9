"""The real nats-server for tests and demonstrations, started in milliseconds."""

from __future__ import annotations

from walnats_anyio.testing._cluster import NatsCluster
from walnats_anyio.testing._errors import NatsServerError
from walnats_anyio.testing._memory._faults import MemoryMessage
from walnats_anyio.testing._memory._server import MemoryServer
from walnats_anyio.testing._ports import held_port
from walnats_anyio.testing._server import NatsServer

__all__ = [
    "MemoryMessage",
    "MemoryServer",
    "NatsCluster",
    "NatsServer",
    "NatsServerError",
    "held_port",
]
