"""Traces of emits and jobs with OpenTelemetry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar

from opentelemetry import propagate, trace
from opentelemetry.context import Context as TraceContext
from opentelemetry.context import attach, detach
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)

from walnats_anyio._actors.declare import BaseContext, Context, ErrorContext, Middleware
from walnats_anyio._events import EmitContext, EmitMiddleware, uid_in
from walnats_anyio._events._arguments import check_type
from walnats_anyio.middlewares._job_fields import (
    JobClock,
    error_text,
    error_type,
    has_started,
    note_start,
)
from walnats_anyio.middlewares._opentelemetry_names import (
    ERROR_TYPE,
    MESSAGE_ID,
    Attributes,
    process_attributes,
    publish_attributes,
)

TRACEPARENT = "traceparent"

_span: ContextVar[Span | None] = ContextVar("walnats_anyio.span", default=None)


class _Headers(Getter[Mapping[str, str]]):
    """Reads headers as HTTP does: clients in other languages may write them in capitals."""

    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        found = [value for name, value in carrier.items() if name.lower() == key.lower()]
        return found or None

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        return list(carrier)


_headers = _Headers()


class OpenTelemetryTraceMiddleware(Middleware, EmitMiddleware):
    """Spans of emits and jobs, by the semantic conventions for messaging.

    An emit is a span `publish <event>` (PRODUCER), whose context goes into the headers of the event
    (`traceparent`, `tracestate`, `baggage`; whatever the global propagator writes). A job is a span
    `process <event>` (CONSUMER) with a link to the span of the emit; it is the current span in the
    handler, also in a thread, but not in a process. A job that fails has the status ERROR,
    `error.type`, and the exception as an event; `Retry` and `Reject` are failures here. A job that
    a stop cut short has neither.

    Given to `Actor(middlewares=...)` for the spans of jobs and of what they emit, and to
    `Events(middlewares=...)` for those of emits.

    The span of a job is the root of a trace of its own, as one emit may have many jobs, now or much
    later. With `same_trace` it is a child of the span of the emit, and linked all the same.

    Headers that have a `traceparent` when the event is emitted are kept; the span of the emit is
    then a CLIENT span, linked to what they name. An event without `traceparent` whose `trace_id` is
    one, as walnats does it, is linked to that.

    Args:
        tracer: makes the spans. None: a tracer of the global provider.
        same_trace: whether the span of a job is a child of the span of the emit.

    Raises:
        TypeError: `tracer` is no tracer of OpenTelemetry, or `same_trace` no bool.
    """

    def __init__(self, tracer: Tracer | None = None, *, same_trace: bool = False) -> None:
        if tracer is not None:
            check_type(f"{type(self).__name__}: tracer", tracer, Tracer)
        check_type(f"{type(self).__name__}: same_trace", same_trace, bool)
        self.same_trace = same_trace
        self._tracer: Tracer | None = tracer

    @property
    def tracer(self) -> Tracer:
        """What makes the spans."""
        if self._tracer is None:
            # Not in the constructor: actors are declared before the program sets a provider.
            self._tracer = trace.get_tracer("walnats_anyio")
        return self._tracer

    @property
    def span(self) -> Span | None:
        """The span of the job that runs, in its handler and in hooks of its end; None elsewhere."""
        return _span.get()

    def on_start(self, ctx: Context, /) -> None:
        """Called before the handler."""
        note_start(ctx)

    @asynccontextmanager
    async def around(self, ctx: Context, /) -> AsyncIterator[None]:
        """The span around the handler."""
        with self._process_span(ctx) as span:
            clock = JobClock(ctx.actor)
            try:
                yield
            except BaseException as error:
                failure = clock.failure(error)
                if failure is not None:
                    _fail(span, failure)
                raise

    def on_failure(self, ctx: ErrorContext, /) -> None:
        """Called after a failure: what never came to the handler gets its span here."""
        if not has_started(ctx):
            with self._process_span(ctx) as span:
                _fail(span, ctx.exception)

    @contextmanager
    def around_emit(self, ctx: EmitContext, /) -> Iterator[None]:
        """The span around an emit."""
        given = _remote_span(ctx.headers, None)
        attributes = publish_attributes(ctx) | {"messaging.operation.type": "send"}
        _add(attributes, MESSAGE_ID, ctx.uid)
        _add(attributes, "messaging.message.conversation_id", ctx.trace_id)
        with self.tracer.start_as_current_span(
            f"publish {ctx.event.name}",
            kind=SpanKind.CLIENT if given else SpanKind.PRODUCER,
            attributes=attributes,
            links=[Link(given.get_span_context())] if given else None,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            if given is None:
                propagate.inject(ctx.headers)
            try:
                yield
            except BaseException as error:
                _fail(span, error)
                raise

    @contextmanager
    def _process_span(self, ctx: BaseContext) -> Iterator[Span]:
        headers = ctx.headers
        emitted = _remote_span(headers, ctx.trace_id)
        attributes = process_attributes(ctx) | {
            "messaging.operation.type": "process",
            "walnats.attempt": ctx.attempts,
            "walnats.sequence": ctx.seq_number,
        }
        _add(attributes, MESSAGE_ID, uid_in(headers))
        _add(attributes, "messaging.message.conversation_id", ctx.trace_id)
        # What `listen` runs in is no parent: it lasts as long as the program.
        around = propagate.extract(headers, TraceContext(), _headers)
        parent = emitted if emitted is not None and self.same_trace else INVALID_SPAN
        token = attach(set_span_in_context(parent, around))
        try:
            with self.tracer.start_as_current_span(
                f"process {ctx.actor.event.name}",
                kind=SpanKind.CONSUMER,
                attributes=attributes,
                links=[Link(emitted.get_span_context())] if emitted else None,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                _span.set(span)
                yield span
        finally:
            detach(token)


def _remote_span(headers: Mapping[str, str], trace_id: str | None) -> Span | None:
    """The span that headers name; None if they name none."""
    if trace_id is not None and _headers.get(headers, TRACEPARENT) is None:
        headers = {TRACEPARENT: trace_id}
    span = get_current_span(propagate.extract(headers, TraceContext(), _headers))
    return span if span.get_span_context().is_valid else None


def _add(attributes: Attributes, name: str, value: str | None) -> None:
    if value is not None:
        attributes[name] = value


def _fail(span: Span, error: BaseException) -> None:
    span.set_attribute(ERROR_TYPE, error_type(error))
    span.set_status(Status(StatusCode.ERROR, error_text(error)))
    with suppress(Exception):  # what has a `__str__` that raises cannot be recorded
        span.record_exception(error)
