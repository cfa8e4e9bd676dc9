"""Spans of emits and jobs, as the SDK of OpenTelemetry exports them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from tests.actors._stage import listening, running, stage
from tests.support.recorders import Gate, Recorder
from tests.support.waiting import until
from walnats_anyio import Actor, Event, Events, ExecuteIn, Retry, Snooze, current_context
from walnats_anyio.middlewares import OpenTelemetryTraceMiddleware

pytestmark = pytest.mark.anyio

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


class Spans:
    """A provider of its own for each test, and what it has exported."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = provider.get_tracer("test")

    @property
    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def middleware(spans: Spans) -> OpenTelemetryTraceMiddleware:
    return OpenTelemetryTraceMiddleware(spans.tracer)


def span_id(span: ReadableSpan | trace.Span) -> int:
    found = span.get_span_context()
    assert found is not None
    return found.span_id


def trace_id(span: ReadableSpan | trace.Span) -> int:
    found = span.get_span_context()
    assert found is not None
    return found.trace_id


async def do(
    url: str, actor: Actor[Any, Any], middleware: OpenTelemetryTraceMiddleware, **options: Any
) -> None:
    """Emit one event, and let the actor do it."""
    async with (
        stage(url, actor) as on,
        Events(actor.event, middlewares=(middleware,)).connect(url) as events,
    ):
        await events.emit(actor.event, 1, sync=True, **options)
        async with listening(on.actors):
            await on.until_done(actor)


async def succeed(message: int) -> None: ...


async def fail(message: int) -> None:
    raise ValueError(f"no {message}")


async def test_the_span_of_a_job_is_linked_to_that_of_the_emit(
    url: str, event: Event[int], spans: Spans, middleware: OpenTelemetryTraceMiddleware
) -> None:
    actor = Actor("a", event, succeed, middlewares=(middleware,))
    with spans.tracer.start_as_current_span("request") as request:
        await do(url, actor, middleware, uid="u-1", trace_id="t-1")
    emitted, done = spans.one(f"publish {event.name}"), spans.one(f"process {event.name}")
    assert emitted.kind is SpanKind.PRODUCER
    assert emitted.parent is not None
    assert emitted.parent.span_id == span_id(request)
    assert emitted.attributes == {
        "messaging.system": "nats",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": event.name,
        "messaging.message.id": "u-1",
        "messaging.message.conversation_id": "t-1",
    }
    assert done.kind is SpanKind.CONSUMER
    assert done.parent is None
    assert trace_id(done) != trace_id(emitted)
    (link,) = done.links
    assert link.context.span_id == span_id(emitted)
    assert link.context.trace_id == trace_id(emitted)
    assert done.attributes == {
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": event.name,
        "messaging.consumer.group.name": "a",
        "messaging.message.id": "u-1",
        "messaging.message.conversation_id": "t-1",
        "walnats.attempt": 1,
        "walnats.sequence": 1,
    }
    assert done.status.status_code is StatusCode.UNSET


async def test_the_span_can_be_a_child_of_the_emit(
    url: str, event: Event[int], spans: Spans
) -> None:
    middleware = OpenTelemetryTraceMiddleware(spans.tracer, same_trace=True)
    await do(url, Actor("a", event, succeed, middlewares=(middleware,)), middleware)
    emitted, done = spans.one(f"publish {event.name}"), spans.one(f"process {event.name}")
    assert done.parent is not None
    assert done.parent.span_id == span_id(emitted)
    assert [link.context.span_id for link in done.links] == [span_id(emitted)]


async def test_a_program_in_a_span_is_no_parent(
    url: str, event: Event[int], spans: Spans, middleware: OpenTelemetryTraceMiddleware
) -> None:
    actor = Actor("a", event, succeed, middlewares=(middleware,))
    with spans.tracer.start_as_current_span("program"):
        async with running(url, actor) as on:
            await on.emit(1)
            await on.until_done(actor)
    done = spans.one(f"process {event.name}")
    assert done.parent is None
    assert done.links == ()


@pytest.mark.parametrize("execute_in", [ExecuteIn.MAIN, ExecuteIn.THREAD], ids=["main", "thread"])
async def test_the_span_is_current_in_the_handler(
    url: str,
    event: Event[int],
    spans: Spans,
    middleware: OpenTelemetryTraceMiddleware,
    execute_in: ExecuteIn,
) -> None:
    threads: list[bool] = []

    def handle(message: int) -> None:
        threads.append(threading.current_thread() is threading.main_thread())
        with spans.tracer.start_as_current_span("child"):
            assert middleware.span is not None

    actor = Actor("a", event, handle, execute_in=execute_in, middlewares=(middleware,))
    await do(url, actor, middleware)
    assert threads == [execute_in is ExecuteIn.MAIN]
    child = spans.one("child")
    assert child.parent is not None
    assert child.parent.span_id == span_id(spans.one(f"process {event.name}"))
    assert middleware.span is None


async def test_jobs_at_once_have_spans_of_their_own(
    url: str, event: Event[int], spans: Spans, middleware: OpenTelemetryTraceMiddleware
) -> None:
    gate = Gate()

    async def handle(message: int) -> None:
        if len(gate.started) == 1:
            gate.open()
        await gate(message)
        span = trace.get_current_span()
        span.set_attribute("mine", message)

    actor = Actor("a", event, handle, middlewares=(middleware,))
    async with running(url, actor) as on:
        await on.emit(1, 2)
        await on.until_done(actor)
    done = [span.attributes or {} for span in spans.named(f"process {event.name}")]
    assert sorted((each["mine"], each["walnats.sequence"]) for each in done) == [(1, 1), (2, 2)]


class Retries:
    async def __call__(self, message: int) -> None:
        raise Retry


async def hang(message: int) -> None:
    await anyio.sleep_forever()


class SnoozesOnce:
    def __init__(self) -> None:
        self.left = [Snooze(0.02)]

    async def __call__(self, message: int) -> None:
        if self.left:
            raise self.left.pop()


async def test_a_job_that_is_snoozed_has_not_failed(
    url: str, event: Event[int], spans: Spans, middleware: OpenTelemetryTraceMiddleware
) -> None:
    actor = Actor("a", event, SnoozesOnce(), middlewares=(middleware,), max_attempts=1)
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    both = spans.named(f"process {event.name}")
    assert [span.status.status_code for span in both] == [StatusCode.UNSET] * 2
    assert [len(span.events) for span in both] == [0, 0]


@pytest.mark.parametrize(
    ("handler", "error", "text"),
    [
        (fail, "ValueError", "no 1"),
        (Retries(), "walnats_anyio.Retry", "again later"),
        (hang, "TimeoutError", "the job took longer than job_timeout=0.2 s"),
    ],
    ids=["fails", "asks", "hangs"],
)
async def test_a_failure_is_an_error(
    url: str,
    event: Event[int],
    spans: Spans,
    middleware: OpenTelemetryTraceMiddleware,
    handler: Callable[[int], Any],
    error: str,
    text: str,
) -> None:
    actor = Actor("a", event, handler, middlewares=(middleware,), max_attempts=1, job_timeout=0.2)
    await do(url, actor, middleware)
    done = spans.one(f"process {event.name}")
    assert done.status.status_code is StatusCode.ERROR
    assert done.status.description == text
    assert done.attributes is not None
    assert done.attributes["error.type"] == error
    (recorded,) = done.events
    assert recorded.attributes is not None
    assert recorded.attributes["exception.type"] == error


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("of the exception itself")


async def test_an_exception_that_cannot_be_shown_stays_the_failure(
    url: str, event: Event[int], spans: Spans, middleware: OpenTelemetryTraceMiddleware
) -> None:
    async def handle(message: int) -> None:
        raise Unspeakable

    recorder = Recorder()
    actor = Actor("a", event, handle, middlewares=(recorder, middleware), max_attempts=1)
    await do(url, actor, middleware)
    assert [type(error) for error in recorder.errors] == [Unspeakable]
    status = spans.one(f"process {event.name}").status
    assert status.description == "(its message could not be made)"


async def test_what_cannot_be_decoded_is_an_error(
    url: str, event: Event[int], spans: Spans, middleware: OpenTelemetryTraceMiddleware
) -> None:
    actor = Actor("a", event, succeed, middlewares=(middleware,))
    async with running(url, actor) as on:
        await on.emit_raw(b"{")
        await on.until_done(actor)
    done = spans.one(f"process {event.name}")
    assert done.status.status_code is StatusCode.ERROR
    assert done.attributes is not None
    assert done.attributes["error.type"] == "walnats_anyio.serializers.DecodeError"


async def test_a_job_that_is_stopped_is_no_error(
    url: str, event: Event[int], spans: Spans, middleware: OpenTelemetryTraceMiddleware
) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, middlewares=(middleware,))
    async with stage(url, actor) as on:
        await on.emit(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await gate.come(1)
            tasks.cancel_scope.cancel()
    assert spans.one(f"process {event.name}").status.status_code is StatusCode.UNSET


async def test_what_a_handler_emits_is_in_its_trace(
    url: str, event: Event[int], spans: Spans, middleware: OpenTelemetryTraceMiddleware
) -> None:
    follow_up = Event(f"{event.name}-next", int, storage="memory")

    async def handle(message: int) -> None:
        await current_context().emit(follow_up, message)

    actors = (
        Actor("a", event, handle, middlewares=(middleware,)),
        Actor("b", follow_up, succeed, middlewares=(middleware,)),
    )
    async with running(url, *actors) as on:
        await on.emit(1)
        await until(lambda: len(spans.named(f"process {follow_up.name}")) == 1)
    first, emitted = spans.one(f"process {event.name}"), spans.one(f"publish {follow_up.name}")
    assert emitted.parent is not None
    assert emitted.parent.span_id == span_id(first)
    (link,) = spans.one(f"process {follow_up.name}").links
    assert link.context.span_id == span_id(emitted)


@pytest.mark.parametrize("name", ["traceparent", "Traceparent"])
async def test_a_context_that_is_given_is_kept(
    url: str, event: Event[int], spans: Spans, middleware: OpenTelemetryTraceMiddleware, name: str
) -> None:
    """A program in another language, or the caller, may have made it."""
    actor = Actor("a", event, succeed, middlewares=(middleware,))
    await do(url, actor, middleware, meta={name: PARENT})
    emitted, done = spans.one(f"publish {event.name}"), spans.one(f"process {event.name}")
    assert emitted.kind is SpanKind.CLIENT
    for span in (emitted, done):
        assert [link.context.span_id for link in span.links] == [int("b" * 16, 16)]


@pytest.mark.parametrize(("given", "links"), [(PARENT, 1), ("t-1", 0), ("", 0)])
async def test_a_trace_id_that_is_a_traceparent(
    url: str,
    event: Event[int],
    spans: Spans,
    middleware: OpenTelemetryTraceMiddleware,
    given: str,
    links: int,
) -> None:
    actor = Actor("a", event, succeed, middlewares=(middleware,))
    async with running(url, actor) as on:
        await on.events.emit(event, 1, trace_id=given or None)
        await on.until_done(actor)
    assert len(spans.one(f"process {event.name}").links) == links


async def test_baggage_arrives(
    url: str, event: Event[int], middleware: OpenTelemetryTraceMiddleware
) -> None:
    arrived: list[object] = []

    async def handle(message: int) -> None:
        arrived.append(baggage.get_baggage("tenant"))

    token = context.attach(baggage.set_baggage("tenant", "kim"))
    try:
        await do(url, Actor("a", event, handle, middlewares=(middleware,)), middleware)
    finally:
        context.detach(token)
    assert arrived == ["kim"]


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="tracer must be of Tracer, not 'mine'"):
        OpenTelemetryTraceMiddleware("mine")  # type: ignore[arg-type]  # the test is about it
