"""What follows the end of a job: hooks, the verdict, and a dead letter where it is the last."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.settle._delivery import Deliveries, Delivery
from walnats_anyio._actors.settle._hooks import Hooks
from walnats_anyio._actors.settle._reports import (
    describe,
    fields_of,
    report_failure,
    report_snoozed,
    report_unwritten,
)
from walnats_anyio._actors.settle._verdict import (
    Ack,
    DeadLetterVerdict,
    Final,
    HandBack,
    JobResult,
    Nak,
    Outcome,
    Policy,
    Term,
    Verdict,
    decide,
)
from walnats_anyio._letters import DeadLetter, Reason, write_letter
from walnats_anyio._letters import describe as describe_error
from walnats_anyio._link import HeaderError, Link, WalnatsError

logger = logging.getLogger("walnats_anyio.actors")

FAILED_DELAY = 1.0
"""Seconds until an event comes again whose delay could not be found, or that failed in a burst."""


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
        failed: Callable[[], None] | None = None,
        write: Callable[[Link, DeadLetter], Awaitable[None]] = write_letter,
    ) -> None:
        self._actor = actor
        self._link = link
        self._deliveries = deliveries
        self._hooks = hooks
        self._failed = failed
        """Told of each job that failed, unless its handler has decided that."""
        self._write = write
        least = FAILED_DELAY if burst else 0.0
        self._policy = Policy(actor.retry_delay, actor.max_attempts, least)

    def conclude_at_once(self, delivery: Delivery, result: JobResult) -> bool:
        """Conclude a job that failed without having waited, if nothing has to be awaited for that.

        Returns:
            Whether it is concluded. False: hooks are to be called, or a dead letter is due.
        """
        if self._hooks.any or result.outcome is not Outcome.RAISED:
            return False
        verdict = self._decide(delivery, result)
        if isinstance(verdict, DeadLetterVerdict):
            return False
        try:
            self._report(delivery, result, verdict)
        finally:
            self._settle(delivery, verdict)
        return True

    async def conclude(self, delivery: Delivery, result: JobResult) -> None:
        """Tell the server, the middlewares and the log how a job ended.

        Cancelled in the middle of it, a failed job still counts as an attempt.
        """
        if result.outcome is Outcome.RETURNED and delivery.emits:
            result = await self._send_held(delivery, result)
        delivery.emits = ()  # what a failed attempt, or a task that goes on, emits is not sent
        if result.outcome is Outcome.RETURNED:
            await self._succeeded(delivery, result)
            return
        if result.outcome is Outcome.STOPPED:
            self._settle(delivery, decide(Outcome.STOPPED))
            return
        verdict = self._decide(delivery, result)
        if isinstance(verdict, HandBack):
            # It was no attempt, so there is neither a success nor a failure to tell of.
            self._report(delivery, result, verdict)
            self._settle(delivery, verdict)
            return
        try:
            self._report(delivery, result, verdict)
            await self._hooks.end(delivery, result)
            final = await self._carry_out(delivery, result, verdict)
        except BaseException:
            self._settle(delivery, Nak(0.0))
            raise
        self._settle(delivery, final)

    def _report(self, delivery: Delivery, result: JobResult, verdict: Verdict) -> None:
        if isinstance(verdict, HandBack):
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
            self._settle(delivery, decide(Outcome.RETURNED))
        else:
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

    def _settle(self, delivery: Delivery, verdict: Verdict | Term) -> None:
        # The end of `listen`, or a lost worker, may have settled it meanwhile.
        if delivery.settled is None and not isinstance(verdict, DeadLetterVerdict):
            delivery.settle(verdict)

    def _decide(self, delivery: Delivery, result: JobResult) -> Verdict:
        try:
            verdict = decide(result.outcome, result.error, delivery.attempt, self._policy)
            if self._failed is not None and _has_failed(result, verdict):
                self._failed()
            return verdict
        except Exception:
            logger.exception(
                "actor %r: retry_delay failed for attempt %d; again in %s s",
                self._actor.name, delivery.attempt, FAILED_DELAY,
            )  # fmt: skip
            return Nak(FAILED_DELAY)

    async def _carry_out(self, delivery: Delivery, result: JobResult, verdict: Verdict) -> Final:
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
                assert isinstance(unwritten, Ack | Nak | HandBack)
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


def _has_failed(result: JobResult, verdict: Verdict) -> bool:
    """Whether a job has failed by itself: neither was it given back, nor did its handler reject."""
    if result.outcome not in (Outcome.RAISED, Outcome.TIMED_OUT) or isinstance(verdict, HandBack):
        return False
    return not (isinstance(verdict, DeadLetterVerdict) and verdict.reason is Reason.REJECTED)
