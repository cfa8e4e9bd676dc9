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
from walnats_anyio._events import (
    BaseEvent,
    CancelResult,
    ConnectedEvents,
    EmitStatistics,
    Feed,
    FeedMessage,
    FeedStatistics,
    SyncEvents,
)
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
    "CancelResult",
    "ConnectedActors",
    "ConnectedEvents",
    "ConnectionStatistics",
    "Context",
    "EmitContext",
    "EmitStatistics",
    "Ended",
    "ErrorContext",
    "Feed",
    "FeedMessage",
    "FeedStatistics",
    "ListenStatistics",
    "OkContext",
    "Summary",
    "SyncEvents",
]
