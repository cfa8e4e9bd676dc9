"""Metrics of jobs for Prometheus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from walnats_anyio._actors.declare import (
    BaseContext,
    Context,
    ErrorContext,
    Middleware,
    OkContext,
)
from walnats_anyio._events._arguments import check_type
from walnats_anyio.middlewares._job_fields import has_started, note_start

LABELS = ("event", "actor")

BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""Seconds: from a handler that only computes to one that takes as long as it may."""


@dataclass(frozen=True)
class _Metrics:
    """The metrics of one registry."""

    buckets: tuple[float, ...]
    started: Counter
    failed: Counter
    succeeded: Counter
    duration: Histogram
    in_flight: Gauge
    waiting: Gauge
    newest: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """The newest delivery of each actor: jobs may start in another order."""


_by_registry: WeakKeyDictionary[CollectorRegistry, _Metrics] = WeakKeyDictionary()


class PrometheusMiddleware(Middleware):
    """Metrics for Prometheus, each with the labels `event` and `actor`.

    | metric | is |
    | --- | --- |
    | `walnats_handler_started_total` | jobs started, each attempt counted |
    | `walnats_handler_succeeded_total` | jobs that succeeded |
    | `walnats_handler_failed_total` | jobs that failed, `Retry` and `Reject` included |
    | `walnats_handler_duration_seconds` | how long handlers ran, whether they failed or not |
    | `walnats_handler_in_flight` | handlers that run |
    | `walnats_events_waiting` | events in the stream that the actor has not been given yet, as the server said with the newest event that came |

    A message that cannot be decoded is a failure that was never started.

    All middlewares with one registry share its metrics, so each actor may have a middleware of its
    own. In the multiprocess mode of prometheus-client the gauges are the sum over the processes
    that live (`in_flight`) and the newest value (`waiting`).

    Args:
        registry: where the metrics are. None: the registry of prometheus-client.
        buckets: upper bounds in seconds of the buckets of the duration. None: 1 ms to 60 s.

    Raises:
        TypeError: `registry` is no `CollectorRegistry`.
        ValueError: the metrics of this registry have other buckets already, or another collector
            has their names.
    """  # noqa: E501 - a row of a table is a line

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        buckets: Sequence[float] | None = None,
    ) -> None:
        if registry is not None:
            check_type("PrometheusMiddleware: registry", registry, CollectorRegistry)
        self.registry = REGISTRY if registry is None else registry
        self._metrics = _metrics_of(self.registry, None if buckets is None else tuple(buckets))

    def on_start(self, ctx: Context, /) -> None:
        """Called before the handler."""
        note_start(ctx)
        self._metrics.started.labels(*_labels(ctx)).inc()
        self._note_waiting(ctx)

    @asynccontextmanager
    async def around(self, ctx: Context, /) -> AsyncIterator[None]:
        """Count the handler as running."""
        # Not in the hooks: a job that a stop cuts short has no hook at its end.
        with self._metrics.in_flight.labels(*_labels(ctx)).track_inprogress():
            yield

    def on_failure(self, ctx: ErrorContext, /) -> None:
        """Called after a failure."""
        labels = _labels(ctx)
        self._metrics.failed.labels(*labels).inc()
        if has_started(ctx):
            self._metrics.duration.labels(*labels).observe(ctx.duration)
        else:
            self._note_waiting(ctx)

    def on_success(self, ctx: OkContext, /) -> None:
        """Called after a success."""
        labels = _labels(ctx)
        self._metrics.succeeded.labels(*labels).inc()
        self._metrics.duration.labels(*labels).observe(ctx.duration)

    def _note_waiting(self, ctx: BaseContext) -> None:
        labels = _labels(ctx)
        metadata = ctx.metadata
        delivery = metadata.sequence.consumer
        newest = self._metrics.newest.get(labels, 0)
        # One that is older than all that may be under way belongs to a consumer that was made anew.
        if delivery > newest or delivery < newest - ctx.actor.max_ack_pending:
            self._metrics.newest[labels] = delivery
            self._metrics.waiting.labels(*labels).set(metadata.num_pending)


def _labels(ctx: BaseContext) -> tuple[str, str]:
    return ctx.actor.event.name, ctx.actor.name


def _metrics_of(registry: CollectorRegistry, buckets: tuple[float, ...] | None) -> _Metrics:
    found = _by_registry.get(registry)
    if found is None:
        found = _by_registry[registry] = _make_metrics(registry, buckets or BUCKETS)
    elif buckets not in (None, found.buckets):
        raise ValueError(
            f"PrometheusMiddleware: this registry has the buckets {found.buckets}, "
            f"not {buckets}: give all middlewares of a registry the same ones"
        )
    return found


def _make_metrics(registry: CollectorRegistry, buckets: tuple[float, ...]) -> _Metrics:
    def counter(name: str, about: str) -> Counter:
        return Counter(f"walnats_handler_{name}", about, LABELS, registry=registry)

    return _Metrics(
        buckets=buckets,
        started=counter("started", "Jobs started, each attempt counted."),
        failed=counter("failed", "Jobs that failed, each attempt counted."),
        succeeded=counter("succeeded", "Jobs that succeeded."),
        duration=Histogram(
            "walnats_handler_duration_seconds",
            "How long handlers ran.",
            LABELS,
            registry=registry,
            buckets=buckets,
        ),
        in_flight=Gauge(
            "walnats_handler_in_flight",
            "Handlers that run.",
            LABELS,
            registry=registry,
            multiprocess_mode="livesum",
        ),
        waiting=Gauge(
            "walnats_events_waiting",
            "Events that the actor has not been given yet.",
            LABELS,
            registry=registry,
            multiprocess_mode="mostrecent",
        ),
    )
