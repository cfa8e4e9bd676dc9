"""What surrounds a handler: hooks for logs, metrics and traces."""

from __future__ import annotations

from walnats_anyio._actors.declare import (
    BaseContext,
    Context,
    ErrorContext,
    Middleware,
    OkContext,
)
from walnats_anyio._events import EmitContext, EmitMiddleware

__all__ = [
    "BaseContext",
    "Context",
    "EmitContext",
    "EmitMiddleware",
    "ErrorContext",
    "Middleware",
    "OkContext",
]
