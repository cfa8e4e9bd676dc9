"""Fields of the job in log records."""

from __future__ import annotations

import logging

from walnats_anyio._actors.declare import (
    Context,
    ErrorContext,
    Middleware,
    OkContext,
    current_context,
)
from walnats_anyio._events._arguments import check_type
from walnats_anyio.middlewares._job_fields import error_text, error_type, fields_of


class ExtraLogMiddleware(Middleware):
    """Log records with fields of the job, for formatters that show them (JSON, logfmt).

    Each job is logged when it starts and succeeds (DEBUG) and when it fails (WARNING: the line of
    the actor itself is the error), with `actor`, `event`, `sequence`, `attempt`, `trace_id` and
    `uid` as fields (`extra`), at the end with `duration`, after a failure with `error` and
    `error_type`.

    It is a filter as well: added to a handler of `logging`, it gives the fields to every record
    that is logged during a job, by whatever logger. A field that a record has already is kept;
    records outside of a job get none.

        EXTRA = ExtraLogMiddleware()
        handler.addFilter(EXTRA)
        ACTOR = Actor(..., middlewares=(EXTRA,))

    Args:
        logger: where the three lines go.

    Raises:
        TypeError: `logger` is no `logging.Logger`; an adapter would drop the fields.
    """

    logger: logging.Logger
    """Where the three lines go."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        if logger is not None:
            check_type("ExtraLogMiddleware: logger", logger, logging.Logger)
        self.logger = logger or logging.getLogger("walnats_anyio.middlewares")

    def on_start(self, ctx: Context, /) -> None:
        """Called before the handler."""
        if self.logger.isEnabledFor(logging.DEBUG):
            self.logger.debug("job started", extra=fields_of(ctx))

    def on_failure(self, ctx: ErrorContext, /) -> None:
        """Called after a failure."""
        if self.logger.isEnabledFor(logging.WARNING):
            error = ctx.exception
            fields = fields_of(ctx)
            fields["duration"] = ctx.duration
            fields["error"] = error_text(error)
            fields["error_type"] = error_type(error)
            self.logger.warning("job failed", extra=fields)

    def on_success(self, ctx: OkContext, /) -> None:
        """Called after a success."""
        if self.logger.isEnabledFor(logging.DEBUG):
            fields = fields_of(ctx)
            fields["duration"] = ctx.duration
            self.logger.debug("job succeeded", extra=fields)

    def filter(self, record: logging.LogRecord) -> bool:
        """Give a record the fields of the job that runs; it is never dropped."""
        try:
            ctx = current_context()
        except LookupError:
            return True
        for name, value in fields_of(ctx).items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True
