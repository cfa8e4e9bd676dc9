"""Lines about jobs that people and programs can read."""

from __future__ import annotations

import json
import logging
from typing import Any, Protocol

from walnats_anyio._actors.declare import Context, ErrorContext, Middleware, OkContext
from walnats_anyio.middlewares._job_fields import error_text, error_type, fields_of


class TextLogger(Protocol):
    """What is asked of a logger: those of `logging` and of structlog have it."""

    def debug(self, line: str, /) -> Any:
        """Log a line of level DEBUG."""

    def warning(self, line: str, /) -> Any:
        """Log a line of level WARNING."""


class TextLogMiddleware(Middleware):
    """A line for each start, success (both DEBUG) and failure (WARNING) of a job.

        job started: actor=send-email event=users.created sequence=7 attempt=1
        job succeeded: actor=send-email event=users.created sequence=7 attempt=1 duration=0.012
        job failed: actor=send-email event=users.created sequence=7 attempt=1 duration=0.003
            error="ValueError: no such user"

    The line of a failure has no traceback: the actor's own line about it has one. `trace_id` and
    `uid` are there if the event has them. Values with spaces, quotes or line breaks are quoted, so
    a line is one line.

    Args:
        logger: a `logging.Logger`, a `logging.LoggerAdapter`, or a logger of structlog. It is
            called with the whole line and nothing else.

    Raises:
        TypeError: `logger` has no `debug` or no `warning`.
    """

    logger: TextLogger
    """Where the lines go."""

    def __init__(self, logger: TextLogger | None = None) -> None:
        for level in ("debug", "warning"):
            if logger is not None and not callable(getattr(logger, level, None)):
                raise TypeError(
                    f"TextLogMiddleware: logger must be a logger of logging or structlog with a "
                    f"method {level!r}, not {logger!r}"
                )
        self.logger = logging.getLogger("walnats_anyio.middlewares") if logger is None else logger

    def on_start(self, ctx: Context, /) -> None:
        """Called before the handler."""
        self.logger.debug(_line("job started", fields_of(ctx)))

    def on_failure(self, ctx: ErrorContext, /) -> None:
        """Called after a failure."""
        error = f"{error_type(ctx.exception)}: {error_text(ctx.exception)}"
        fields = fields_of(ctx) | {"duration": round(ctx.duration, 6), "error": error}
        self.logger.warning(_line("job failed", fields))

    def on_success(self, ctx: OkContext, /) -> None:
        """Called after a success."""
        fields = fields_of(ctx) | {"duration": round(ctx.duration, 6)}
        self.logger.debug(_line("job succeeded", fields))


def _line(what: str, fields: dict[str, object]) -> str:
    shown = (f"{name}={_value(value)}" for name, value in fields.items() if value is not None)
    return f"{what}: {' '.join(shown)}"


def _value(value: object) -> str:
    text = str(value)
    plain = text.isprintable() and text and not set(text) & set(' "=')
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())
