"""Sentry: what its receiver gets of jobs, read field by field."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import anyio
import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.logging import LoggingIntegration

from tests.actors._stage import Stage, running, stage
from tests.middlewares._receivers import HttpReceiver, http_receiver
from tests.support.recorders import Gate, Recorder
from tests.support.waiting import until
from walnats_anyio import Actor, Event, Events, ExecuteIn, Reject, Retry, current_context
from walnats_anyio.middlewares import (
    Context,
    ErrorThresholdMiddleware,
    Middleware,
    SentryMiddleware,
)

pytestmark = pytest.mark.anyio

Actors = Actor[Any, Any]


class Sentry:
    """The SDK, and what has come out of it."""

    def __init__(self, receiver: HttpReceiver) -> None:
        self._receiver = receiver

    def init(self, **options: Any) -> None:
        """Initialize the SDK with what it has by default of what matters here."""
        sentry_sdk.init(
            dsn=f"http://key@127.0.0.1:{self._receiver.port}/1",
            default_integrations=False,
            integrations=[LoggingIntegration(), DedupeIntegration()],
            **options,
        )

    def items(self, kind: str) -> list[dict[str, Any]]:
        """Everything of a kind that was sent."""
        sentry_sdk.flush(5)
        items = [
            item
            for request in self._receiver.requests
            for item in Envelope.deserialize(request.body).items
        ]
        return [json.loads(item.get_bytes()) for item in items if item.type == kind]

    @property
    def events(self) -> list[dict[str, Any]]:
        return self.items("event")

    @property
    def transactions(self) -> list[dict[str, Any]]:
        return self.items("transaction")


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    with http_receiver() as receiver:
        yield Sentry(receiver)
        sentry_sdk.get_client().close(timeout=2)
        sentry_sdk.get_global_scope().set_client(None)


@asynccontextmanager
async def handled(url: str, actor: Actors, *messages: Any) -> AsyncIterator[Stage]:
    """Let an actor do what is there, before the body."""
    async with running(url, actor) as on:
        await on.emit(*messages)
        await on.until_done(actor)
        yield on


async def fail(message: int) -> None:
    raise ValueError(f"no {message}")


def fail_plainly(message: int) -> None:
    raise ValueError(f"no {message}")


async def test_a_failure_is_an_event(url: str, event: Event[int], sentry: Sentry) -> None:
    sentry.init(release="shop@1")
    actor = Actor("a", event, fail, middlewares=(SentryMiddleware(),), max_attempts=1)
    async with stage(url, actor) as on:
        await on.events.emit(event, 7, uid="u-7", trace_id="t-7", sync=True)
        await on.actors.listen(burst=True)
    (sent,) = sentry.events
    (error,) = sent["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "no 7")
    assert error["mechanism"]["type"] == "walnats_anyio"
    assert error["mechanism"]["handled"] is False
    frame = error["stacktrace"]["frames"][-1]
    assert frame["function"] == "fail"
    assert frame["vars"] == {"message": "7"}
    assert sent["level"] == "error"
    assert sent["release"] == "shop@1"
    assert sent["transaction"] == "a"
    assert sent["tags"] == {"actor": "a", "event": event.name, "attempt": "1", "sequence": "1"}
    context = sent["contexts"]["walnats"]
    emitted_at = context.pop("emitted_at")
    assert emitted_at.startswith("20")
    assert context == {
        "actor": "a",
        "event": event.name,
        "sequence": 1,
        "attempt": 1,
        "max_attempts": 1,
        "stream": event.stream_name,
        "trace_id": "t-7",
        "uid": "u-7",
    }


async def test_each_attempt_is_one_event(
    url: str, event: Event[int], sentry: Sentry, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has a line of level ERROR for each, of which the SDK would make another event."""
    sentry.init()
    actor = Actor(
        "a", event, fail, middlewares=(SentryMiddleware(),), max_attempts=3, retry_delay=()
    )
    async with handled(url, actor, 1):
        events = sentry.events
    assert [each["tags"]["attempt"] for each in events] == ["1", "2", "3"]
    assert [each["exception"]["values"][0]["value"] for each in events] == ["no 1"] * 3
    lines = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(lines) == 3


async def test_a_failure_that_a_wrapper_keeps_back_is_no_event(
    url: str, event: Event[int], sentry: Sentry
) -> None:
    """Not as a line of the log either."""
    sentry.init()
    middleware = ErrorThresholdMiddleware(SentryMiddleware(), actor_failures=2)
    actor = Actor("a", event, fail, middlewares=(middleware,), max_attempts=1, max_jobs=1)
    async with handled(url, actor, 1, 2, 3):
        events = sentry.events
    assert [each["exception"]["values"][0]["value"] for each in events] == ["no 2", "no 3"]
    assert events[0]["tags"]["sequence"] == "2"


async def test_what_a_process_raises_is_an_event(
    url: str, event: Event[int], sentry: Sentry
) -> None:
    sentry.init()
    actor = Actor(
        "a",
        event,
        fail_plainly,
        execute_in=ExecuteIn.PROCESS,
        middlewares=(SentryMiddleware(),),
        max_attempts=1,
    )
    async with handled(url, actor, 1):
        (sent,) = sentry.events
    (error,) = sent["exception"]["values"]
    assert (error["type"], error["value"].partition("\n")[0]) == ("ValueError", "no 1")
    assert sent["tags"]["actor"] == "a"


async def test_what_cannot_be_decoded_is_one_event(
    url: str, event: Event[int], sentry: Sentry
) -> None:
    sentry.init()
    actor = Actor("a", event, fail, middlewares=(SentryMiddleware(),), max_attempts=1)
    async with running(url, actor) as on:
        await on.emit_raw(b"{")
        await on.until_done(actor)
        (sent,) = sentry.events
    assert sent["exception"]["values"][-1]["type"] == "DecodeError"
    assert sent["tags"]["actor"] == "a"


async def test_without_the_middleware_the_log_is_reported_as_before(
    url: str, event: Event[int], sentry: Sentry
) -> None:
    sentry.init()
    watched = Actor("a", event, fail, middlewares=(SentryMiddleware(),), max_attempts=1)
    other = Actor("b", event, fail, max_attempts=1)
    async with running(url, watched, other) as on:
        await on.emit(1)
        await on.until_done(watched, other)
        events = sentry.events
    assert sorted(each.get("logger", "") for each in events) == ["", "walnats_anyio.actors"]


class Asks:
    """A handler that asks for what its message says."""

    async def __call__(self, message: int) -> None:
        if message == 1:
            raise Retry(3600)
        if message == 2:
            raise Reject("bad")
        raise ValueError


@pytest.mark.parametrize(
    ("asked", "reported"),
    [
        ({}, {"ValueError"}),
        ({"report_retry": True}, {"ValueError", "Retry"}),
        ({"report_reject": True}, {"ValueError", "Reject"}),
    ],
    ids=["neither", "retry", "reject"],
)
async def test_what_a_handler_asks_for_is_no_error(
    url: str, event: Event[int], sentry: Sentry, asked: dict[str, bool], reported: set[str]
) -> None:
    sentry.init()
    recorder = Recorder()
    middlewares = (recorder, SentryMiddleware(**asked))
    actor = Actor("a", event, Asks(), middlewares=middlewares, retry_delay=(3600,))
    async with running(url, actor) as on:
        await on.emit(1, 2, 3)
        await until(lambda: len(recorder.failed) == 3)
        events = sentry.events
    assert {each["exception"]["values"][-1]["type"] for each in events} == reported
    assert len(events) == len(reported)


def crumbs(sent: dict[str, Any]) -> list[str]:
    return [crumb["message"] for crumb in sent.get("breadcrumbs", {}).get("values", [])]


def leave_traces(message: int) -> None:
    sentry_sdk.add_breadcrumb(message=f"crumb {message}")
    sentry_sdk.set_tag("mine", message)


def waits_in_coroutine() -> Callable[[int], Any]:
    gate = Gate()

    async def handle(message: int) -> None:
        leave_traces(message)
        if len(gate.started) == 1:
            gate.open()
        await gate(message)
        raise ValueError(message)

    return handle


def waits_in_thread() -> Callable[[int], Any]:
    barrier = threading.Barrier(2, timeout=30)

    def handle(message: int) -> None:
        leave_traces(message)
        barrier.wait()
        raise ValueError(message)

    return handle


@pytest.mark.parametrize(
    ("make", "execute_in"),
    [(waits_in_coroutine, ExecuteIn.MAIN), (waits_in_thread, ExecuteIn.THREAD)],
    ids=["main", "thread"],
)
async def test_jobs_at_once_do_not_mix(
    url: str,
    event: Event[int],
    sentry: Sentry,
    make: Callable[[], Callable[[int], Any]],
    execute_in: ExecuteIn,
) -> None:
    sentry.init()
    actor = Actor(
        "a",
        event,
        make(),
        execute_in=execute_in,
        middlewares=(SentryMiddleware(),),
        max_attempts=1,
    )
    async with handled(url, actor, 1, 2):
        events = sentry.events
    assert len(events) == 2
    for sent in events:
        message = sent["exception"]["values"][0]["value"]
        assert sent["tags"]["sequence"] == message
        assert sent["tags"]["mine"] == int(message)
        assert crumbs(sent) == [f"crumb {message}"]


async def test_jobs_one_after_the_other_do_not_mix(
    url: str, event: Event[int], sentry: Sentry
) -> None:
    sentry.init()

    async def handle(message: int) -> None:
        leave_traces(message)
        raise ValueError(message)

    actor = Actor("a", event, handle, middlewares=(SentryMiddleware(),), max_attempts=1, max_jobs=1)
    async with handled(url, actor, 1, 2):
        events = sentry.events
    assert [crumbs(sent) for sent in events] == [["crumb 1"], ["crumb 2"]]


async def test_hooks_of_later_middlewares_are_in_the_scope(
    url: str, event: Event[int], sentry: Sentry
) -> None:
    sentry.init()

    class Leaves(Middleware):
        def on_start(self, ctx: Context, /) -> None:
            sentry_sdk.add_breadcrumb(message="from a hook")

    actor = Actor("a", event, fail, middlewares=(SentryMiddleware(), Leaves()), max_attempts=1)
    async with handled(url, actor, 1):
        (sent,) = sentry.events
    assert crumbs(sent) == ["from a hook"]


async def test_a_job_continues_the_trace_of_its_emit(
    url: str, event: Event[int], sentry: Sentry
) -> None:
    sentry.init(traces_sample_rate=1.0)

    async def handle(message: int) -> None:
        with sentry_sdk.start_span(op="db", name="select"):
            pass

    middleware = SentryMiddleware()
    actor = Actor("a", event, handle, middlewares=(middleware,))
    async with (
        running(url, actor) as on,
        Events(event, middlewares=(middleware,)).connect(url) as events,
    ):
        with sentry_sdk.start_transaction(name="request"):
            await events.emit(event, 1, uid="u-1", sync=True)
        await on.until_done(actor)
        await until(lambda: len(sentry.transactions) == 2)
        transactions = {each["transaction"]: each for each in sentry.transactions}
    request, job = transactions["request"], transactions["a"]
    (publish,) = request["spans"]
    assert publish["op"] == "queue.publish"
    assert publish["description"] == event.name
    assert publish["data"]["messaging.destination.name"] == event.name
    assert publish["data"]["messaging.message.id"] == "u-1"
    trace = job["contexts"]["trace"]
    assert trace["trace_id"] == request["contexts"]["trace"]["trace_id"]
    assert trace["parent_span_id"] == publish["span_id"]
    assert trace["op"] == "queue.process"
    assert trace["status"] == "ok"
    assert trace["data"]["messaging.message.id"] == "u-1"
    assert trace["data"]["messaging.message.retry.count"] == 0
    assert job["transaction_info"] == {"source": "task"}
    assert job["tags"]["actor"] == "a"
    assert [span["op"] for span in job["spans"]] == ["db"]


async def hang(message: int) -> None:
    await anyio.sleep_forever()


async def ask(message: int) -> None:
    raise Reject("bad")


@pytest.mark.parametrize(
    ("handler", "status"),
    [(fail, "internal_error"), (hang, "deadline_exceeded"), (ask, "aborted")],
    ids=["fails", "hangs", "rejects"],
)
async def test_how_a_job_ends_is_the_status_of_its_transaction(
    url: str, event: Event[int], sentry: Sentry, handler: Callable[[int], Any], status: str
) -> None:
    sentry.init(traces_sample_rate=1.0)
    actor = Actor(
        "a", event, handler, middlewares=(SentryMiddleware(),), max_attempts=1, job_timeout=0.2
    )
    async with handled(url, actor, 1):
        await until(lambda: len(sentry.transactions) == 1)
        (job,) = sentry.transactions
        events = sentry.events
    assert job["contexts"]["trace"]["status"] == status
    if status != "aborted":
        (sent,) = events
        assert sent["contexts"]["trace"]["trace_id"] == job["contexts"]["trace"]["trace_id"]


async def test_without_traces_errors_are_in_the_trace_of_the_emit(
    url: str, event: Event[int], sentry: Sentry
) -> None:
    sentry.init()
    middleware = SentryMiddleware()
    actor = Actor("a", event, fail, middlewares=(middleware,), max_attempts=1)
    async with (
        running(url, actor) as on,
        Events(event, middlewares=(middleware,)).connect(url) as events,
    ):
        with sentry_sdk.isolation_scope():
            sentry_sdk.continue_trace({"sentry-trace": f"{'a' * 32}-{'b' * 16}-1"})
            await events.emit(event, 1, sync=True)
        await on.until_done(actor)
        (sent,) = sentry.events
    assert sent["contexts"]["trace"]["trace_id"] == "a" * 32
    assert sentry.transactions == []


async def test_jobs_whose_emits_were_not_traced_have_traces_of_their_own(
    url: str, event: Event[int], sentry: Sentry
) -> None:
    sentry.init(traces_sample_rate=1.0)
    actor = Actor("a", event, fail, middlewares=(SentryMiddleware(),), max_attempts=1)
    async with handled(url, actor, 1, 2):
        await until(lambda: len(sentry.transactions) == 2)
        traces = {each["contexts"]["trace"]["trace_id"] for each in sentry.transactions}
        errors = {each["contexts"]["trace"]["trace_id"] for each in sentry.events}
    assert len(traces) == 2
    assert errors == traces


@pytest.mark.skipif(find_spec("sentry_sdk.traces") is None, reason="older SDKs stream no spans")
async def test_spans_can_be_streamed(url: str, event: Event[int], sentry: Sentry) -> None:
    from sentry_sdk import traces

    sentry.init(traces_sample_rate=1.0, trace_lifecycle="stream")
    middleware = SentryMiddleware()
    actor = Actor("a", event, fail, middlewares=(middleware,), max_attempts=1)
    async with (
        running(url, actor) as on,
        Events(event, middlewares=(middleware,)).connect(url) as events,
    ):
        with traces.start_span("request"):
            await events.emit(event, 1, sync=True)
        await on.until_done(actor)
        sent = [span for item in sentry.items("span") for span in item["items"]]
        (error,) = sentry.events
    spans = {span["name"]: span for span in sent}
    request, publish, job = spans["request"], spans[event.name], spans["a"]
    assert {span["trace_id"] for span in sent} == {error["contexts"]["trace"]["trace_id"]}
    assert publish["parent_span_id"] == request["span_id"]
    assert job["parent_span_id"] == publish["span_id"]
    assert (publish["status"], job["status"]) == ("ok", "error")
    assert job["attributes"]["sentry.op"]["value"] == "queue.process"
    assert publish["attributes"]["sentry.op"]["value"] == "queue.publish"


async def test_headers_that_are_given_are_kept(url: str, event: Event[int], sentry: Sentry) -> None:
    sentry.init(traces_sample_rate=1.0)
    headers: list[dict[str, str]] = []

    async def handle(message: int) -> None:
        headers.append(current_context().headers)

    actor = Actor("a", event, handle, max_jobs=1)
    middlewares = (SentryMiddleware(),)
    async with (
        running(url, actor) as on,
        Events(event, middlewares=middlewares).connect(url) as events,
    ):
        await events.emit(event, 1, meta={"sentry-trace": "mine", "baggage": "a=1"}, sync=True)
        await events.emit(event, 2, meta={"baggage": "a=1"}, sync=True)
        await on.until_done(actor)
    kept, added = headers
    assert (kept["sentry-trace"], kept["baggage"]) == ("mine", "a=1")
    assert added["baggage"].startswith("a=1,sentry-trace_id=")
    assert "sentry-trace" in added


async def test_nothing_happens_without_init(url: str, event: Event[int]) -> None:
    recorder = Recorder()
    middlewares = (SentryMiddleware(), recorder)
    actor = Actor("a", event, fail, middlewares=middlewares, max_attempts=1)
    async with handled(url, actor, 1):
        assert len(recorder.failed) == 1


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="report_retry must be of bool, not 'yes'"):
        SentryMiddleware(report_retry="yes")  # type: ignore[arg-type]  # the test is about it
