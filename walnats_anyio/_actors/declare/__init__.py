"""What an actor is, and what a middleware is told about its jobs."""

from __future__ import annotations

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.declare._auto import Auto
from walnats_anyio._actors.declare._choices import (
    Batch,
    BatchError,
    ExecuteIn,
    Priority,
    Reject,
    Retry,
    Snooze,
)
from walnats_anyio._actors.declare._contexts import (
    BaseContext,
    Context,
    ErrorContext,
    OkContext,
    current_context,
)
from walnats_anyio._actors.declare._middleware import Middleware
from walnats_anyio._actors.declare._ratio import Ratio

__all__ = [
    "Actor",
    "Auto",
    "BaseContext",
    "Batch",
    "BatchError",
    "Context",
    "ErrorContext",
    "ExecuteIn",
    "Middleware",
    "OkContext",
    "Priority",
    "Ratio",
    "Reject",
    "Retry",
    "Snooze",
    "current_context",
]
