"""What follows the end of a job: hooks, the verdict, and a dead letter where it is the last."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.settle._callers import Callers
from walnats_anyio._actors.settle._delivery import Deliveries, Delivery
from walnats_anyio._actors.settle._hooks import Hooks
from walnats_anyio._actors.settle._postponing import Postponing
from walnats_anyio._actors.settle._reports import (
    describe,
    fields_of,
    report_cancelled,
    report_failure,
    report_snoozed,
    report_unwritten,
)
from walnats_anyio._actors.settle._verdict import (
    Ack,
    Cancelled,
    DeadLetterVerdict,
    Final,
    HandBack,
    JobResult,
    Nak,
    Outcome,
    Policy,
    Postpone,
    Term,
    Verdict,
    decide,
)
from walnats_anyio._letters import DeadLetter, Reason, write_and_tell
from walnats_anyio._letters import describe as describe_error
from walnats_anyio._link import HeaderError, Link, WalnatsError

logger = logging.getLogger("walnats_anyio.actors")

_FAILED = (Outcome.RAISED, Outcome.TIMED_OUT)

FAILED_DELAY = 1.0
"""Seconds until an event comes again whose delay could not be found, or that failed in a burst."""


NOT_RUN = (Outcome.STOPPED, Outcome.EARLY, Outcome.SUPERSEDED)
"""Outcomes of which nobody is told but the server."""

LONG_DELAY = 5.0
"""Seconds from which on an event waits for its retry as a copy, and not in `max_ack_pending`."""

CROWDED_DELAY = 0.1
"""The same where more than half of `max_ack_pending` waits for retries: for less it is not worth
it."""

AWAITED = (DeadLetterVerdict, Postpone)
"""Verdicts for which something is written first."""


class Conclusion:
    """Concludes the jobs of one actor that did not simply return."""

    def __init__(
        self,
        actor: Actor[Any, Any],
        link: Link,
        deliveries: Deliveries,
        hooks: Hooks,
        *,
        burst: bool,
        callers: Callers | None = None,
        postponing: Postponing | None = None,
        failed: Callable[[], None] | None = None,
        write: Callable[[Link, DeadLetter], Awaitable[None]] = write_and_tell,
    ) -> None:
        self._actor = actor
        self._link = link
        self._deliveries = deliveries
        self._hooks = hooks
        self._callers = callers
        self._failed = failed
        """Told of each job that failed, unless its handler has decided that."""
        self._write = write
        # One event at a time is how some keep them in order: nothing may overtake one that failed.
        # And the time that the caller of a request has is counted from when that was stored, which
        # a copy is later.
        few = actor.max_ack_pending == 1 or callers is not None
        self._postponing = None if few else postponing
        least = FAILED_DELAY if burst else 0.0
        self._naks = naks = Policy(actor.retry_delay, actor.max_attempts, least)
        self._crowded = replace(naks, postpone_from=CROWDED_DELAY)
        # Where the places are those of jobs, none is for an event that only waits.
        scarce = actor.max_jobs_total is not None
        self._usual = self._crowded if scarce else replace(naks, postpone_from=LONG_DELAY)

    def conclude_at_once(self, delivery: Delivery, result: JobResult) -> bool:
        """Conclude a job that failed without having waited, if nothing has to be awaited for that.

        Returns:
            Whether it is concluded. False: hooks are to be called, or something is to be written
            first: a dead letter, or the copy that waits for the retry.
        """
        if self._hooks.any or result.outcome is not Outcome.RAISED:
            return False
        verdict = self._decide(delivery, result)
        if isinstance(verdict, AWAITED):
            result.verdict = verdict
            return False
        try:
            self._report(delivery, result, verdict)
        finally:
            self._settle(delivery, verdict, result)
        return True

    async def conclude(self, delivery: Delivery, result: JobResult) -> None:
        """Tell the server, the middlewares and the log how a job ended.

        Cancelled in the middle of it, a failed job still counts as an attempt.
        """
        if delivery.ends is Outcome.CANCELLED and result.outcome in _FAILED:
            # What its clean-up raised is no attempt.
            result = replace(result, outcome=Outcome.CANCELLED)
        if result.outcome is Outcome.RETURNED and delivery.emits:
            result = await self._send_held(delivery, result)
        delivery.emits = ()  # what a failed attempt, or a task that goes on, emits is not sent
        if result.outcome is Outcome.RETURNED:
            await self._succeeded(delivery, result)
            return
        if result.outcome in NOT_RUN:
            self._settle(delivery, decide(result.outcome, result.error))
            return
        verdict = result.verdict or self._decide(delivery, result)
        was_attempt = _is_attempt(verdict)
        try:
            self._report(delivery, result, verdict)
            if was_attempt:
                await self._hooks.end(delivery, result)
            final = await self._carry_out(delivery, result, verdict)
        except BaseException:
            self._settle(delivery, Nak(0.0) if was_attempt else HandBack(0.0))
            raise
        self._settle(delivery, final, result)

    def _report(self, delivery: Delivery, result: JobResult, verdict: Verdict) -> None:
        try:
            self._say(delivery, result, verdict)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - see below
            # `logging` passes on a RecursionError and what filters raise; and the error itself may
            # be of a class of the user's, where to ask for anything raises.
            with contextlib.suppress(Exception):
                logger.error(  # noqa: TRY400 - with the error it would fail again
                    "actor %r: %s in attempt %d, and the log cannot take its error",
                    self._actor.name, result.outcome.value, delivery.attempt,
                )  # fmt: skip

    def _say(self, delivery: Delivery, result: JobResult, verdict: Verdict) -> None:
        if isinstance(verdict, Cancelled):
            report_cancelled(self._actor, delivery, result)
            return
        # What was no attempt is neither a success nor a failure to tell of.
        if isinstance(verdict, HandBack | Postpone) and not _is_attempt(verdict):
            report_snoozed(self._actor, delivery, verdict)
        else:
            report_failure(self._actor, delivery, result, verdict)

    async def _send_held(self, delivery: Delivery, result: JobResult) -> JobResult:
        """Send what the handler emitted with its job; the attempt fails if a stream refuses it.

        The delivery is held meanwhile, so it is prolonged. A stop in the middle hands it back, and
        the next attempt repeats the same `uid`s.
        """
        emits, delivery.emits = delivery.emits, ()
        try:
            await self._deliveries.emitter.send(emits or ())
        except WalnatsError as error:
            return replace(result, outcome=Outcome.RAISED, error=error)
        return result

    async def _succeeded(self, delivery: Delivery, result: JobResult) -> None:
        if self._actor.ack != "confirmed":
            self._settle(delivery, decide(Outcome.RETURNED), result)
        else:
            if self._callers is not None and delivery.settled is None:
                self._callers.answer(delivery, Ack(), result)
            await self._confirm(delivery)
        await self._hooks.end(delivery, result)

    async def _confirm(self, delivery: Delivery) -> None:
        problem = await self._deliveries.confirm(delivery)
        if problem is not None:
            fields = fields_of(self._actor, delivery)
            logger.error(
                "%s: the acknowledgement is not confirmed, so it may come again: %s",
                describe(fields), problem, extra=fields,
            )  # fmt: skip

    def _settle(
        self, delivery: Delivery, verdict: Verdict | Final, result: JobResult | None = None
    ) -> None:
        # The end of `listen`, or a lost worker, may have settled it meanwhile.
        if delivery.settled is None and not isinstance(verdict, DeadLetterVerdict | Postpone):
            if self._callers is not None and result is not None:
                # First the answer: a process that dies in between gives another one later.
                self._callers.answer(delivery, verdict, result)
            delivery.settle(verdict)

    def _decide(self, delivery: Delivery, result: JobResult) -> Verdict:
        try:
            verdict = decide(result.outcome, result.error, delivery.attempt, self._policy())
            if self._failed is not None and _has_failed(result, verdict):
                self._failed()
            return verdict
        except KeyboardInterrupt:
            raise
        except BaseException:
            logger.exception(
                "actor %r: retry_delay failed for attempt %d; again in %s s",
                self._actor.name, delivery.attempt, FAILED_DELAY,
            )  # fmt: skip
            return Nak(FAILED_DELAY)

    def _policy(self) -> Policy:
        postponing = self._postponing
        if postponing is None or not postponing.is_possible:
            return self._naks
        return self._crowded if self._deliveries.is_crowded else self._usual

    async def _carry_out(self, delivery: Delivery, result: JobResult, verdict: Verdict) -> Final:
        if isinstance(verdict, Postpone):
            assert self._postponing is not None  # or the policy would not have it
            if delivery.ends is Outcome.CANCELLED:
                return Cancelled()  # while its hooks ran
            return await self._postponing.postpone(delivery, verdict)
        if not isinstance(verdict, DeadLetterVerdict):
            return verdict
        letter = self._letter(delivery, result, verdict)
        if self._actor.dead_letters:
            try:
                # First the letter, then the end of the event: a crash in between loses nothing.
                await self._write(self._link, letter)
            except WalnatsError as error:
                report_unwritten(self._actor, delivery, error)
                if result.outcome is Outcome.UNDECODABLE:
                    delivery.attempt -= 1  # or the note would count a run
                unwritten = decide(Outcome.UNWRITTEN)
                assert isinstance(unwritten, Nak)
                return unwritten
        return Term(": ".join(filter(None, (verdict.reason.value, letter.error))))

    def _letter(
        self, delivery: Delivery, result: JobResult, verdict: DeadLetterVerdict
    ) -> DeadLetter:
        message = delivery.message
        metadata = message.metadata
        error_type, error, traceback = describe_error(result.error)
        try:
            headers = message.headers
        except HeaderError:
            headers = {}  # malformed: that is why the event is given up
        return DeadLetter(
            event=self._actor.event.name,
            actor=self._actor.name,
            payload=message.data,
            headers=headers,
            reason=verdict.reason.value,
            error_type=error_type,
            error=error,
            traceback=traceback,
            attempts=delivery.attempt - (result.outcome is Outcome.UNDECODABLE),
            stream=self._actor.event.stream_name,
            seq_number=metadata.sequence.stream,
            emitted_at=metadata.timestamp,
            died_at=datetime.now(UTC),
        )


def _is_attempt(verdict: Verdict) -> bool:
    if isinstance(verdict, Postpone):
        return verdict.failed
    return not isinstance(verdict, HandBack | Cancelled)


def _has_failed(result: JobResult, verdict: Verdict) -> bool:
    """Whether a job has failed by itself: neither was it given back, nor did its handler reject."""
    if result.outcome not in (Outcome.RAISED, Outcome.TIMED_OUT) or not _is_attempt(verdict):
        return False
    return not (isinstance(verdict, DeadLetterVerdict) and verdict.reason is Reason.REJECTED)
