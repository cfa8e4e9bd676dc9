"""Report the same thing only once in a while."""

from __future__ import annotations

from collections.abc import Awaitable, Hashable
from time import monotonic

from walnats_anyio._actors.declare import Context, ErrorContext, Middleware, OkContext
from walnats_anyio._events._arguments import check_seconds
from walnats_anyio.middlewares._job_fields import error_text, error_type
from walnats_anyio.middlewares._wrapper import Wrapper, key_of

MAX_REMEMBERED = 10_000
"""How many calls are remembered; messages of errors may have no end."""


class FrequencyMiddleware(Wrapper):
    """Calls the hooks of another middleware only once in a timeframe.

    - `on_start` and `on_success`: once for each actor.
    - `on_failure`: once for each actor, type of the exception and its message.

    The timeframe begins with the call that is passed on, and the first call after its end is passed
    on again. Calls are remembered in this process: the last 10,000, so more different errors than
    that within a timeframe can come again sooner. `around` is always passed on.

    Args:
        middleware: the middleware that is called.
        timeframe: seconds.

    Raises:
        TypeError: `middleware` is no `Middleware`, or `timeframe` is no number.
        ValueError: `timeframe` is less than a millisecond, or not finite.
    """

    def __init__(self, middleware: Middleware, timeframe: float = 600.0) -> None:
        super().__init__(middleware)
        check_seconds("FrequencyMiddleware: timeframe", timeframe)
        self.timeframe = timeframe
        self._passed: dict[Hashable, float] = {}
        """When a call was last passed on, oldest first."""

    def on_start(self, ctx: Context, /) -> Awaitable[None] | None:
        """Called before the handler."""
        return super().on_start(ctx) if self._is_due("start", *key_of(ctx)) else None

    def on_success(self, ctx: OkContext, /) -> Awaitable[None] | None:
        """Called after a success."""
        return super().on_success(ctx) if self._is_due("success", *key_of(ctx)) else None

    def on_failure(self, ctx: ErrorContext, /) -> Awaitable[None] | None:
        """Called after a failure."""
        error = ctx.exception
        key = ("failure", *key_of(ctx), error_type(error), hash(error_text(error)))
        return super().on_failure(ctx) if self._is_due(*key) else None

    def _is_due(self, *key: Hashable) -> bool:
        now = monotonic()
        passed = self._passed
        last = passed.get(key)
        if last is not None and now - last < self.timeframe:
            return False
        passed.pop(key, None)  # so that it goes to the end
        passed[key] = now
        oldest = next(iter(passed))
        while len(passed) > MAX_REMEMBERED or now - passed[oldest] >= self.timeframe:
            del passed[oldest]
            oldest = next(iter(passed))
        return True
