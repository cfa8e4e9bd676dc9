"""What tests are written with: servers, a clock that jumps, and what looks at actors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from walnats_anyio._link import hold_clock, jump_clock, mock_clock
from walnats_anyio.testing._cluster import NatsCluster
from walnats_anyio.testing._drain import NotDrainedError, drain
from walnats_anyio.testing._emitted import EmittedMessage
from walnats_anyio.testing._errors import NatsServerError
from walnats_anyio.testing._job import JobRun, run_job
from walnats_anyio.testing._memory._faults import MemoryMessage
from walnats_anyio.testing._memory._server import MemoryServer
from walnats_anyio.testing._ports import held_port
from walnats_anyio.testing._recording import Recording, dead_letters, record
from walnats_anyio.testing._server import NatsServer

if TYPE_CHECKING:
    from walnats_anyio._link._asyncio import MockClockLoop

__all__ = [
    "EmittedMessage",
    "JobRun",
    "MemoryMessage",
    "MemoryServer",
    "MockClockLoop",
    "NatsCluster",
    "NatsServer",
    "NatsServerError",
    "NotDrainedError",
    "Recording",
    "dead_letters",
    "drain",
    "held_port",
    "hold_clock",
    "jump_clock",
    "mock_clock",
    "record",
    "run_job",
]


def __getattr__(name: str) -> Any:
    if name == "MockClockLoop":  # a program on trio does not import asyncio
        from walnats_anyio._link._asyncio import MockClockLoop

        return MockClockLoop
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
