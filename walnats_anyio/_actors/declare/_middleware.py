"""What every middleware is."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from walnats_anyio._actors.declare._contexts import Context, ErrorContext, OkContext


class Middleware:
    """Told of each start, success and failure of an actor's jobs, and may surround its handler.

    Override what you need; each hook is a plain function or a coroutine function. Hooks of the
    start are called in the order of `Actor.middlewares`, those of the end in reverse order. They
    run in the context of the job: what one sets in a context variable, the handler sees. A job
    waits for its hooks, and they count towards its slot, so keep them short. What a hook raises is
    logged, and changes nothing about the job; only `around` is a part of it.
    """

    __slots__ = ()

    reports_failures: bool = False
    """Whether it brings failures to an error tracker.

    The log's line about a failure of such an actor has the field `reported`: a tracker that reads
    the log as well, as Sentry does, leaves that line out.
    """

    def around(self, ctx: Context, /) -> AbstractAsyncContextManager[Any]:
        """Gives an async context manager around the handler: a span, a session of a database.

            @asynccontextmanager
            async def around(self, ctx: Context) -> AsyncIterator[None]:
                async with self.pool.acquire() as session:
                    yield

        It is a part of the job: it runs in its context and within `job_timeout`, what the handler
        raises is raised in it, and what it raises is the job's failure. It is entered after the
        hooks of the start, and left before those of the end. Only called if it is overridden.
        """
        raise NotImplementedError

    def on_start(self, ctx: Context, /) -> Awaitable[None] | None:
        """Called before the handler."""

    def on_failure(self, ctx: ErrorContext, /) -> Awaitable[None] | None:
        """Called after a handler that raised or took too long, and for an undecodable message.

        Not called for jobs cancelled because `listen` ends. Called before NATS is told.
        """

    def on_success(self, ctx: OkContext, /) -> Awaitable[None] | None:
        """Called after the handler returned and the event was acknowledged."""
