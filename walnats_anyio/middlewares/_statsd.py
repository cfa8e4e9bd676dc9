"""Metrics of jobs for StatsD."""

from __future__ import annotations

import re
from functools import lru_cache

from datadog.dogstatsd.base import DogStatsd

from walnats_anyio._actors.declare import (
    BaseContext,
    Context,
    ErrorContext,
    Middleware,
    OkContext,
)
from walnats_anyio._events._arguments import check_type

SPECIAL = re.compile(r"[:|@#,\s]")
"""What separates the parts of a line of StatsD."""


class StatsdMiddleware(Middleware):
    """Metrics for StatsD, through the client of the package datadog.

    | metric | is |
    | --- | --- |
    | `walnats.<event>.<actor>.started` | count of jobs started, each attempt counted |
    | `walnats.<event>.<actor>.processed` | count of jobs that succeeded |
    | `walnats.<event>.<actor>.failed` | count of jobs that failed, `Retry` and `Reject` included |
    | `walnats.<event>.<actor>.duration` | histogram of the seconds of handlers that succeeded |

    With `tags` the metrics are `walnats.started` and so on, with the tags `event` and `actor`, for
    servers that know tags. What separates the parts of a line (`:|@#,` and spaces) is `_` in names.

    Args:
        client: sends the metrics. Sending never blocks longer than its socket does.
        tags: whether event and actor are tags.

    Raises:
        TypeError: `client` is no `DogStatsd`, or `tags` no bool.
    """

    client: DogStatsd
    """Sends the metrics."""

    def __init__(self, client: DogStatsd, *, tags: bool = False) -> None:
        check_type("StatsdMiddleware: client", client, DogStatsd)
        check_type("StatsdMiddleware: tags", tags, bool)
        self.client = client
        self.tags = tags

    def on_start(self, ctx: Context, /) -> None:
        """Called before the handler."""
        self._count(ctx, "started")

    def on_failure(self, ctx: ErrorContext, /) -> None:
        """Called after a failure."""
        self._count(ctx, "failed")

    def on_success(self, ctx: OkContext, /) -> None:
        """Called after a success."""
        self._count(ctx, "processed")
        name, tags = self._place(ctx)
        self.client.histogram(f"{name}.duration", ctx.duration, tags)

    def _count(self, ctx: BaseContext, what: str) -> None:
        name, tags = self._place(ctx)
        self.client.increment(f"{name}.{what}", tags=tags)

    def _place(self, ctx: BaseContext) -> tuple[str, list[str] | None]:
        """The name before the metric's own, and the tags."""
        event, actor = _clean(ctx.actor.event.name), _clean(ctx.actor.name)
        if self.tags:
            return "walnats", [f"event:{event}", f"actor:{actor}"]
        return f"walnats.{event}.{actor}", None


@lru_cache(maxsize=1024)
def _clean(name: str) -> str:
    return SPECIAL.sub("_", name)
