"""Metrics of emits and jobs with OpenTelemetry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from time import monotonic

from opentelemetry import metrics
from opentelemetry.metrics import Counter, Histogram, Meter, UpDownCounter

from walnats_anyio._actors.declare import Context, ErrorContext, Middleware, OkContext
from walnats_anyio._events import EmitContext, EmitMiddleware
from walnats_anyio._events._arguments import check_type
from walnats_anyio.middlewares._job_fields import error_type, has_started, note_start
from walnats_anyio.middlewares._opentelemetry_names import (
    ERROR_TYPE,
    Attributes,
    process_attributes,
    publish_attributes,
)

BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
"""Seconds: the boundaries that the semantic conventions ask for."""


@dataclass(frozen=True)
class _Instruments:
    sent: Counter
    published: Histogram
    consumed: Counter
    processed: Histogram
    in_flight: UpDownCounter


class OpenTelemetryMetricsMiddleware(Middleware, EmitMiddleware):
    """Metrics of emits and jobs, by the semantic conventions for messaging.

    | metric | is |
    | --- | --- |
    | `messaging.client.sent.messages` | events emitted |
    | `messaging.client.operation.duration` | seconds that an emit took to be handed over |
    | `messaging.client.consumed.messages` | events that came to a job, each attempt counted |
    | `messaging.process.duration` | seconds that a handler ran, whether it failed or not |
    | `walnats.process.in_flight` | handlers that run |

    Each has the attributes `messaging.system`, `messaging.operation.name` and
    `messaging.destination.name` (the event), those of jobs `messaging.consumer.group.name` (the
    actor), and what failed has `error.type`; `Retry` and `Reject` are failures here.

    Given to `Actor(middlewares=...)` for jobs and what they emit, to `Events(middlewares=...)` for
    emits.

    Args:
        meter: makes the metrics. None: a meter of the global provider.

    Raises:
        TypeError: `meter` is no meter of OpenTelemetry.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        if meter is not None:
            check_type("OpenTelemetryMetricsMiddleware: meter", meter, Meter)
        self._meter = meter

    @cached_property
    def _instruments(self) -> _Instruments:
        # Not in the constructor: actors are declared before the program sets a provider.
        meter = self._meter or metrics.get_meter("walnats_anyio")
        return _Instruments(
            sent=meter.create_counter(
                "messaging.client.sent.messages", "{message}", "Events emitted"
            ),
            published=_seconds(
                meter, "messaging.client.operation.duration", "Time to hand over an emit"
            ),
            consumed=meter.create_counter(
                "messaging.client.consumed.messages", "{message}", "Events that came to a job"
            ),
            processed=_seconds(meter, "messaging.process.duration", "Time that a handler ran"),
            in_flight=meter.create_up_down_counter(
                "walnats.process.in_flight", "{job}", "Handlers that run"
            ),
        )

    def on_start(self, ctx: Context, /) -> None:
        """Called before the handler."""
        note_start(ctx)
        self._instruments.consumed.add(1, process_attributes(ctx))

    @asynccontextmanager
    async def around(self, ctx: Context, /) -> AsyncIterator[None]:
        """Count the handler as running."""
        # Not in the hooks: a job that a stop cuts short has no hook at its end.
        attributes = process_attributes(ctx)
        self._instruments.in_flight.add(1, attributes)
        try:
            yield
        finally:
            self._instruments.in_flight.add(-1, attributes)

    def on_failure(self, ctx: ErrorContext, /) -> None:
        """Called after a failure."""
        attributes = process_attributes(ctx) | {ERROR_TYPE: error_type(ctx.exception)}
        if has_started(ctx):
            self._instruments.processed.record(ctx.duration, attributes)
        else:
            self._instruments.consumed.add(1, attributes)

    def on_success(self, ctx: OkContext, /) -> None:
        """Called after a success."""
        self._instruments.processed.record(ctx.duration, process_attributes(ctx))

    @contextmanager
    def around_emit(self, ctx: EmitContext, /) -> Iterator[None]:
        """Count and time an emit."""
        attributes: Attributes = publish_attributes(ctx)
        began = monotonic()
        try:
            yield
        except BaseException as error:
            attributes[ERROR_TYPE] = error_type(error)
            raise
        finally:
            timed = attributes | {"messaging.operation.type": "send"}
            self._instruments.published.record(monotonic() - began, timed)
            self._instruments.sent.add(1, attributes)


def _seconds(meter: Meter, name: str, description: str) -> Histogram:
    return meter.create_histogram(
        name, "s", description, explicit_bucket_boundaries_advisory=BUCKETS
    )
