"""What surrounds a handler: hooks for logs, metrics and traces."""

from __future__ import annotations

from walnats_anyio.middlewares._base import Middleware
from walnats_anyio.middlewares._context import BaseContext, Context, ErrorContext, OkContext

__all__ = ["BaseContext", "Context", "ErrorContext", "Middleware", "OkContext"]
