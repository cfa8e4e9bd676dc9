"""What every middleware is."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from walnats_anyio._actors.declare._contexts import Context, ErrorContext, OkContext


class Middleware:
    """Told of each start, success and failure of an actor's jobs.

    Override what you need; each hook is a plain function or a coroutine function. A job waits for
    its hooks, and they count towards its slot, so keep them short. What a hook raises is logged,
    and changes nothing about the job: to change what becomes of an event, decorate the handler.
    """

    __slots__ = ()

    def on_start(self, ctx: Context, /) -> Awaitable[None] | None:
        """Called before the handler."""

    def on_failure(self, ctx: ErrorContext, /) -> Awaitable[None] | None:
        """Called after a handler that raised or took too long, and for an undecodable message.

        Not called for jobs cancelled because `listen` ends. Called before NATS is told.
        """

    def on_success(self, ctx: OkContext, /) -> Awaitable[None] | None:
        """Called after the handler returned and the event was acknowledged."""
