"""Failures and traces of jobs in Sentry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import sentry_sdk
from sentry_sdk.scope import Scope, add_global_event_processor
from sentry_sdk.utils import event_from_exception

from walnats_anyio._actors.declare import (
    BaseContext,
    Context,
    ErrorContext,
    Middleware,
    Reject,
    Retry,
)
from walnats_anyio._events import EmitContext, EmitMiddleware
from walnats_anyio._events._arguments import check_type
from walnats_anyio.middlewares._job_fields import JobClock, fields_of, identity_of

if TYPE_CHECKING:
    from sentry_sdk._types import Event, Hint
    from sentry_sdk.tracing import Transaction

ORIGIN = "auto.queue.walnats_anyio"
TRACE_HEADER, BAGGAGE_HEADER = "sentry-trace", "baggage"


class _Entered(NamedTuple):
    """A job that has a scope."""

    job: tuple[object, ...]
    transaction: Transaction | None
    """What continues its trace; None where spans are streamed."""


_entered: ContextVar[_Entered | None] = ContextVar("walnats_anyio.sentry", default=None)
"""The job whose scope is current."""


def _drop_line_about_failure(event: Event, hint: Hint) -> Event | None:
    """Drop the event that Sentry makes of the log's line about a failure.

    Only the line of an actor with a `SentryMiddleware` is marked: that reports the failure itself.
    """
    return None if getattr(hint.get("log_record"), "reported", False) else event


add_global_event_processor(_drop_line_about_failure)


class SentryMiddleware(Middleware, EmitMiddleware):
    """Reports failures of jobs to Sentry, and traces jobs where the SDK has traces on.

    Each job has an isolation scope of its own, with breadcrumbs of its own, in coroutines and in
    threads. Whatever is reported during it has the tags `actor`, `event`, `attempt` and `sequence`,
    and a context `walnats` with more: stream, time of emission, uid, trace id, attempts at most.

    A failure is reported once: the line of the log about it makes no event beside it. The first
    middleware of an actor should be this one, so that all others run in the job's scope.

    With `traces_sample_rate` or `traces_sampler` a job is a transaction (`queue.process`). Given to
    `Events` as well, or where the job emits, an emit inside of a span is one (`queue.publish`). The
    headers `sentry-trace` and `baggage` let the job continue the trace, whether or not traces are
    on where it was emitted; a `sentry-trace` that is given is kept.

    The SDK has to be initialized (`sentry_sdk.init`) before the first job; otherwise nothing
    happens. In handlers that run in a process, the SDK knows nothing of the job; what they raise is
    reported.

    Args:
        report_retry: whether `Retry` is reported.
        report_reject: whether `Reject` is reported.

    Raises:
        TypeError: an argument is no bool.
    """

    reports_failures = True

    def __init__(self, *, report_retry: bool = False, report_reject: bool = False) -> None:
        check_type("SentryMiddleware: report_retry", report_retry, bool)
        check_type("SentryMiddleware: report_reject", report_reject, bool)
        self.report_retry = report_retry
        self.report_reject = report_reject

    def on_start(self, ctx: Context, /) -> None:
        """Called before the handler: the job gets its scope."""
        if sentry_sdk.get_client().is_active():
            _enter_scope(ctx)

    @asynccontextmanager
    async def around(self, ctx: Context, /) -> AsyncIterator[None]:
        """The transaction around the handler, where traces are on."""
        failure: BaseException | None = None
        with _transaction(ctx) as span:
            clock = JobClock(ctx.actor)
            try:
                yield
            except BaseException as error:  # noqa: BLE001 - raised again, after the transaction
                failure = error
            _set_status(span, failure, failure and clock.failure(failure))
        if failure is not None:
            try:
                raise failure
            finally:
                failure = None  # or it and its traceback would keep each other alive

    def on_failure(self, ctx: ErrorContext, /) -> None:
        """Called after a failure: it is reported."""
        if not sentry_sdk.get_client().is_active():
            return
        entered = _entered.get()
        if entered is None or entered.job != identity_of(ctx):
            _enter_scope(ctx)  # its message could not be decoded, so it never started
        error = ctx.exception
        if isinstance(error, Retry) and not self.report_retry:
            return
        if isinstance(error, Reject) and not self.report_reject:
            return
        event, hint = event_from_exception(
            error,
            client_options=sentry_sdk.get_client().options,
            mechanism={"type": "walnats_anyio", "handled": False},
        )
        sentry_sdk.capture_event(event, hint=hint)

    def around_emit(self, ctx: EmitContext, /) -> AbstractContextManager[Any]:
        """The span around an emit, if it is in one, and headers to continue the trace."""
        if not sentry_sdk.get_client().is_active() or TRACE_HEADER in ctx.headers:
            return nullcontext()
        return _publish_span(ctx)


def _enter_scope(ctx: BaseContext) -> None:
    # They are set for good: the context variables of the job end with it.
    scope = Scope.get_isolation_scope().fork()
    Scope.set_isolation_scope(scope)
    Scope.set_current_scope(Scope.get_current_scope().fork())
    scope.clear_breadcrumbs()
    fields = fields_of(ctx)
    scope.set_tags({name: str(fields[name]) for name in ("actor", "event", "attempt", "sequence")})
    details = {
        "stream": ctx.metadata.stream,
        "emitted_at": ctx.metadata.timestamp.isoformat(),
        "max_attempts": ctx.actor.max_attempts,
    }
    scope.set_context("walnats", fields | details)
    scope.set_transaction_name(ctx.actor.name, source="task")
    # Errors belong to the trace of the emit, whether or not traces are on here.
    headers = _trace_headers(ctx.headers)
    transaction = None
    if _traces_are_streamed():
        from sentry_sdk import traces  # older versions have none

        traces.continue_trace(headers)
    else:
        transaction = sentry_sdk.continue_trace(
            headers, op="queue.process", name=ctx.actor.name, source="task", origin=ORIGIN
        )
    _entered.set(_Entered(identity_of(ctx), transaction))


def _trace_headers(headers: dict[str, str]) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() in (TRACE_HEADER, BAGGAGE_HEADER)
    }


def _traces_are_on() -> bool:
    client = sentry_sdk.get_client()
    asked = ("traces_sample_rate", "traces_sampler")
    return client.is_active() and any(client.options.get(name) is not None for name in asked)


def _traces_are_streamed() -> bool:
    """Whether the SDK sends spans one by one, for which it has another interface."""
    options = sentry_sdk.get_client().options
    experiments: dict[str, Any] = options.get("_experiments") or {}
    lifecycle = options.get("trace_lifecycle") or experiments.get("trace_lifecycle")
    return lifecycle == "stream"


@contextmanager
def _transaction(ctx: Context) -> Iterator[Any]:
    entered = _entered.get()
    if entered is None or not _traces_are_on():
        yield None
        return
    data = _span_data(ctx)
    if entered.transaction is None:
        from sentry_sdk import traces  # older versions have none

        attributes = data | {"sentry.op": "queue.process", "sentry.origin": ORIGIN}
        with traces.start_span(ctx.actor.name, attributes, parent_span=None) as streamed:
            yield streamed
        return
    with sentry_sdk.start_transaction(entered.transaction) as span:
        for key, value in data.items():
            span.set_data(key, value)
        yield span


def _span_data(ctx: BaseContext) -> dict[str, Any]:
    data: dict[str, Any] = {
        "messaging.system": "nats",
        "messaging.destination.name": ctx.actor.event.name,
        "messaging.message.retry.count": ctx.attempts - 1,
    }
    uid = fields_of(ctx)["uid"]
    if uid is not None:
        data["messaging.message.id"] = uid
    return data


def _set_status(span: Any, error: BaseException | None, failure: BaseException | None) -> None:
    """Say in a transaction how its job ended."""
    if span is None:
        return
    if error is None:
        status = "ok"
    elif failure is None:
        status = "cancelled"
    elif isinstance(failure, Retry | Reject):
        status = "aborted"
    else:
        status = "deadline_exceeded" if isinstance(failure, TimeoutError) else "internal_error"
    if _traces_are_streamed():
        span.status = "ok" if status in ("ok", "cancelled", "aborted") else "error"
    else:
        span.set_status(status)


@contextmanager
def _publish_span(ctx: EmitContext) -> Iterator[None]:
    data: dict[str, Any] = {
        "messaging.system": "nats",
        "messaging.destination.name": ctx.event.name,
    }
    if ctx.uid is not None:
        data["messaging.message.id"] = ctx.uid
    with _span(ctx.event.name, "queue.publish", data) as span:
        _inject(ctx.headers, span)
        yield


@contextmanager
def _span(name: str, op: str, data: dict[str, Any]) -> Iterator[Any]:
    """A span in the current one; none where there is none, as it would not be sent."""
    if _traces_are_streamed():
        from sentry_sdk import traces  # older versions have none

        if traces.get_current_span() is None:
            yield None
            return
        attributes = data | {"sentry.op": op, "sentry.origin": ORIGIN}
        with traces.start_span(name, attributes):
            yield None  # it is the current one now, and so the one that headers are made of
    elif sentry_sdk.get_current_span() is None:
        yield None
    else:
        with sentry_sdk.start_span(op=op, name=name, origin=ORIGIN) as span:
            for key, value in data.items():
                span.set_data(key, value)
            yield span


def _inject(headers: dict[str, str], span: Any) -> None:
    scope = sentry_sdk.get_current_scope()
    for name, value in scope.iter_trace_propagation_headers(span=span):
        given = headers.get(name) if name == BAGGAGE_HEADER else None
        headers[name] = f"{given},{value}" if given else value
