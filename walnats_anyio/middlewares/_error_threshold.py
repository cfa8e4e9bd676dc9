"""Report failures only when there are many."""

from __future__ import annotations

from collections.abc import Awaitable

from walnats_anyio._actors.declare import ErrorContext, Middleware, OkContext
from walnats_anyio._events._arguments import check_count
from walnats_anyio.middlewares._wrapper import Wrapper, key_of


class ErrorThresholdMiddleware(Wrapper):
    """Calls `on_failure` of another middleware only when failures accumulate.

    A failure is passed on when, itself included, it is at least

    - the `total_failures`-th failure in a row, over all actors that share this middleware,
    - the `actor_failures`-th failure in a row of its actor,
    - or the `message_failures`-th attempt of its event.

    A success of an actor ends the row of that actor and the row over all. Each call of `on_failure`
    is a failure, so `Retry` and `Reject` are. Rows are counted in this process; attempts are those
    of all processes. Everything but `on_failure` is always passed on.

    Args:
        middleware: the middleware that is called.
        total_failures: failures in a row over all actors; None for no such limit.
        actor_failures: failures in a row of one actor; None for no such limit.
        message_failures: attempts of one event; None for no such limit.

    Raises:
        TypeError: `middleware` is no `Middleware`, or a number is no int.
        ValueError: a number is less than 1.
    """

    def __init__(
        self,
        middleware: Middleware,
        total_failures: int | None = 20,
        actor_failures: int | None = 20,
        message_failures: int | None = 20,
    ) -> None:
        super().__init__(middleware)
        limits = {
            "total_failures": total_failures,
            "actor_failures": actor_failures,
            "message_failures": message_failures,
        }
        for name, limit in limits.items():
            check_count(f"ErrorThresholdMiddleware: {name}", limit, optional=True)
        self.total_failures = total_failures
        self.actor_failures = actor_failures
        self.message_failures = message_failures
        self._total = 0
        self._by_actor: dict[tuple[str, str], int] = {}

    def on_success(self, ctx: OkContext, /) -> Awaitable[None] | None:
        """Called after a success: it ends the rows."""
        self._total = 0
        self._by_actor.pop(key_of(ctx), None)
        return super().on_success(ctx)

    def on_failure(self, ctx: ErrorContext, /) -> Awaitable[None] | None:
        """Called after a failure: it is counted, and passed on from a limit on."""
        key = key_of(ctx)
        self._total += 1
        in_actor = self._by_actor[key] = self._by_actor.get(key, 0) + 1
        if (
            _reaches(self._total, self.total_failures)
            or _reaches(in_actor, self.actor_failures)
            or _reaches(ctx.attempts, self.message_failures)
        ):
            return super().on_failure(ctx)
        return None


def _reaches(count: int, limit: int | None) -> bool:
    return limit is not None and count >= limit
