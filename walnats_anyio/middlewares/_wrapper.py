"""A middleware around another one."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Any

from walnats_anyio._actors.declare import Context, ErrorContext, Middleware, OkContext
from walnats_anyio._events import EmitContext, EmitMiddleware
from walnats_anyio._events._arguments import check_type


class Wrapper(Middleware, EmitMiddleware):
    """Passes everything on to another middleware; subclasses pass on less.

    Args:
        middleware: the middleware that is called.
    """

    middleware: Middleware
    """The middleware that is called."""

    def __init__(self, middleware: Middleware) -> None:
        check_type(f"{type(self).__name__}: middleware", middleware, Middleware)
        self.middleware = middleware
        self.reports_failures = middleware.reports_failures

    def on_start(self, ctx: Context, /) -> Awaitable[None] | None:
        return self.middleware.on_start(ctx)

    def on_failure(self, ctx: ErrorContext, /) -> Awaitable[None] | None:
        return self.middleware.on_failure(ctx)

    def on_success(self, ctx: OkContext, /) -> Awaitable[None] | None:
        return self.middleware.on_success(ctx)

    def around(self, ctx: Context, /) -> AbstractAsyncContextManager[Any]:
        if type(self.middleware).around is Middleware.around:
            return nullcontext()
        return self.middleware.around(ctx)

    def around_emit(self, ctx: EmitContext, /) -> AbstractContextManager[Any]:
        if isinstance(self.middleware, EmitMiddleware):
            return self.middleware.around_emit(ctx)
        return nullcontext()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.middleware!r})"


def key_of(ctx: Context | ErrorContext | OkContext) -> tuple[str, str]:
    """What actors are told apart by: names of actors are unique for an event only."""
    return ctx.actor.event.name, ctx.actor.name
