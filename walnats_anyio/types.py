"""Types for annotations: what is made by the framework rather than by its users."""

from __future__ import annotations

from walnats_anyio._actors import (
    ActorStatistics,
    ActorSummary,
    AutoStatistics,
    ConnectedActors,
    Ended,
    ListenStatistics,
    Summary,
)
from walnats_anyio._events import BaseEvent, ConnectedEvents, EmitStatistics, SyncEvents
from walnats_anyio._link import ConnectionStatistics
from walnats_anyio.middlewares import (
    BaseContext,
    Context,
    EmitContext,
    ErrorContext,
    OkContext,
)

__all__ = [
    "ActorStatistics",
    "ActorSummary",
    "AutoStatistics",
    "BaseContext",
    "BaseEvent",
    "ConnectedActors",
    "ConnectedEvents",
    "ConnectionStatistics",
    "Context",
    "EmitContext",
    "EmitStatistics",
    "Ended",
    "ErrorContext",
    "ListenStatistics",
    "OkContext",
    "Summary",
    "SyncEvents",
]
