"""What surrounds a handler: hooks for logs, metrics and traces."""

from __future__ import annotations

from walnats_anyio._actors.declare import (
    BaseContext,
    Context,
    ErrorContext,
    Middleware,
    OkContext,
)

__all__ = ["BaseContext", "Context", "ErrorContext", "Middleware", "OkContext"]
