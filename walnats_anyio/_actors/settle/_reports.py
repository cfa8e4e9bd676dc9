"""What the log says about jobs that fail: lines for a person who is on call.

Each says which actor, event and attempt it is about, and what happens next. The same is in the
record as fields (`extra`), for those who search.
"""

from __future__ import annotations

import logging
from typing import Any

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.declare._choices import Reject, Retry
from walnats_anyio._actors.settle._delivery import Delivery
from walnats_anyio._actors.settle._verdict import (
    DeadLetterVerdict,
    HandBack,
    JobResult,
    Nak,
    Outcome,
    Postpone,
    Verdict,
    wish_of,
)
from walnats_anyio._events import HEADER_TRACE, uid_in
from walnats_anyio._letters import message_of
from walnats_anyio._link import HeaderError

logger = logging.getLogger("walnats_anyio.actors")


def report_failure(
    actor: Actor[Any, Any], delivery: Delivery, result: JobResult, verdict: Verdict
) -> None:
    """Say that a job has failed, and what becomes of its event.

    The traceback is shown at the first attempt and at the last, and one line between.
    """
    given_up = isinstance(verdict, DeadLetterVerdict)
    wish = wish_of(result.error)
    # What the handler asked for is no error, unless nothing is kept or it does not come true.
    granted = isinstance(wish, Reject) and actor.dead_letters if given_up else wish is not None
    level = logging.INFO if granted else logging.ERROR
    if not logger.isEnabledFor(level):
        return  # to make the fields takes a third of a run that fails
    fields = fields_of(actor, delivery)
    fields["outcome"] = result.outcome.value
    fields["next"] = what_next(actor, verdict)
    if any(middleware.reports_failures for middleware in actor.middlewares):
        fields["reported"] = True
    most = f" of {actor.max_attempts}" if actor.max_attempts is not None else ""
    shows_trace = delivery.attempt == 1 or given_up
    logger.log(
        level,
        "%s: attempt %d%s %s; %s",
        describe(fields), delivery.attempt, most, _what_happened(result), fields["next"],
        exc_info=result.error if shows_trace and wish is None else None,
        extra=fields,
    )  # fmt: skip


def report_batch(actor: Actor[Any, Any], first: Delivery, result: JobResult, count: int) -> None:
    """Say that a batch has failed, and that its events are handled one by one."""
    fields = fields_of(actor, first)
    fields["outcome"] = result.outcome.value
    fields["batch"] = count
    if any(middleware.reports_failures for middleware in actor.middlewares):
        fields["reported"] = True
    wish = wish_of(result.error)
    logger.log(
        logging.ERROR if wish is None else logging.INFO,
        "%s: a batch of %d that begins with it %s; each of its events is handled alone, at once",
        describe(fields), count, _what_happened(result),
        exc_info=result.error if wish is None else None,
        extra=fields,
    )  # fmt: skip


def report_snoozed(
    actor: Actor[Any, Any], delivery: Delivery, verdict: HandBack | Postpone
) -> None:
    """Say that a handler did not want its event now."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    fields = fields_of(actor, delivery)
    fields["next"] = f"again in {verdict.delay:g} s"
    logger.debug("%s: snoozed; %s", describe(fields), fields["next"], extra=fields)


def report_cancelled(actor: Actor[Any, Any], delivery: Delivery, result: JobResult) -> None:
    """Say that nobody wants an event to be handled any more."""
    if result.error is None and not logger.isEnabledFor(logging.DEBUG):
        return
    fields = fields_of(actor, delivery)
    fields["outcome"] = result.outcome.value
    why = "cancelled" if result.outcome is Outcome.CANCELLED else "its caller waits no longer"
    logger.log(
        logging.DEBUG if result.error is None else logging.ERROR,
        "%s: %s; done with%s",
        describe(fields), why, "" if result.error is None else ", and its clean-up failed",
        exc_info=result.error, extra=fields,
    )  # fmt: skip


def report_unwritten(actor: Actor[Any, Any], delivery: Delivery, error: Exception) -> None:
    """Say that a dead letter could not be written."""
    fields = fields_of(actor, delivery)
    logger.error(
        "%s: its dead letter cannot be written, so it comes again: %s",
        describe(fields), error, extra=fields,
    )  # fmt: skip


def report_late(actor: Actor[Any, Any], delivery: Delivery, seconds: float) -> None:
    """Say that a handler returned after its time was over."""
    fields = fields_of(actor, delivery)
    fields["duration"] = seconds
    logger.warning(
        "%s: took %.1f s, longer than job_timeout=%g s, as a handler that blocks the event loop "
        "cannot be ended; it returned, so it counts as handled",
        describe(fields), seconds, actor.job_timeout, extra=fields,
    )  # fmt: skip


def report_blocked(actor: Actor[Any, Any], count: int) -> None:
    """Say that events which wait for their retry keep all others from coming."""
    logger.warning(
        "actor %r: %d events wait for their next attempt, were snoozed or are not due, and with "
        "max_ack_pending=%d the server gives it no others meanwhile: raise max_ack_pending and "
        "register the actor, retry sooner (retry_delay), or give up earlier (max_attempts)",
        actor.name, count, actor.most_pending,
        extra={"actor": actor.name, "event": actor.event.name, "parked": count},
    )  # fmt: skip


def describe(fields: dict[str, Any]) -> str:
    """The beginning of a line: which event of which actor."""
    more = "".join(
        f", {label} {fields[name]!r}"
        for label, name in (("uid", "uid"), ("trace", "trace_id"))
        if fields[name] is not None
    )
    return (
        f"actor {fields['actor']!r}: event {fields['event']!r}, sequence {fields['sequence']}{more}"
    )


def fields_of(actor: Actor[Any, Any], delivery: Delivery) -> dict[str, Any]:
    """What identifies a delivery, as fields of a log record."""
    try:
        headers = delivery.message.headers
    except HeaderError:
        headers = {}
    return {
        "actor": actor.name,
        "event": actor.event.name,
        "sequence": delivery.message.metadata.sequence.stream,
        "uid": uid_in(headers),
        "trace_id": headers.get(HEADER_TRACE),
        "attempt": delivery.attempt,
        "max_attempts": actor.max_attempts,
    }


def what_next(actor: Actor[Any, Any], verdict: Verdict) -> str:
    """Say what happens next."""
    match verdict:
        case Nak(delay) | Postpone(delay):
            return f"again in {delay:g} s"
        case DeadLetterVerdict(reason):
            kept = "a dead letter" if actor.dead_letters else "gone, as dead_letters=False"
            return f"given up ({reason.value}): {kept}"
        case _:
            return "done with"


def _what_happened(result: JobResult) -> str:
    error = result.error
    if result.outcome is Outcome.TIMED_OUT or error is None:
        return result.outcome.value
    text = message_of(error)
    if isinstance(error, Retry) and type(error).__str__ is Retry.__str__:
        text = ""  # it says "again in", which what happens next says better, if it is so
    verb = "raised" if result.outcome is Outcome.RAISED else result.outcome.value
    return f"{verb} {type(error).__name__}: {text}" if text else f"{verb} {type(error).__name__}"
