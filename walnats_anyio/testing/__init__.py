"""What tests are written with: servers, a clock that jumps, and what looks at actors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from walnats_anyio._link import hold_clock, jump_clock, mock_clock
from walnats_anyio.testing._cluster import NatsCluster
from walnats_anyio.testing._errors import NatsServerError
from walnats_anyio.testing._memory._faults import MemoryMessage
from walnats_anyio.testing._memory._server import MemoryServer
from walnats_anyio.testing._ports import held_port
from walnats_anyio.testing._server import NatsServer

if TYPE_CHECKING:
    from walnats_anyio._link._mock_loop import MockClockLoop

__all__ = [
    "MemoryMessage",
    "MemoryServer",
    "MockClockLoop",
    "NatsCluster",
    "NatsServer",
    "NatsServerError",
    "held_port",
    "hold_clock",
    "jump_clock",
    "mock_clock",
]


def __getattr__(name: str) -> Any:
    if name == "MockClockLoop":  # a program on trio does not import asyncio
        from walnats_anyio._link._mock_loop import MockClockLoop

        return MockClockLoop
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
