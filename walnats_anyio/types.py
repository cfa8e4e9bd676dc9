"""Types for annotations: what is made by the framework rather than by its users."""

from __future__ import annotations

from walnats_anyio._actors import ActorSummary, ConnectedActors, Ended, Summary
from walnats_anyio._events import BaseEvent, ConnectedEvents
from walnats_anyio.middlewares import BaseContext, Context, ErrorContext, OkContext

__all__ = [
    "ActorSummary",
    "BaseContext",
    "BaseEvent",
    "ConnectedActors",
    "ConnectedEvents",
    "Context",
    "Ended",
    "ErrorContext",
    "OkContext",
    "Summary",
]
