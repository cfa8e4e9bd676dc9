"""What follows the end of a job: hooks, the verdict, and a dead letter where it is the last."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from walnats_anyio._actors._job import Ending, logger
from walnats_anyio._actors._verdict import Ack, Bury, Nak, Outcome, Term, Verdict, decide
from walnats_anyio._letters import DeadLetter, describe, write_letter
from walnats_anyio._link import HeaderError, Link, Message, ServerError, WalnatsError

if TYPE_CHECKING:
    from walnats_anyio._actors._listener import Listener

CONFIRM_WITHIN = 30.0
"""Seconds that the confirmation of an acknowledgement is waited for."""

FAILED_DELAY = 1.0
"""Seconds until an event comes again whose delay could not be found, or that failed in a burst."""

UNWRITTEN_DELAY = 30.0
"""Seconds until an event comes again whose dead letter could not be written."""

NOT_RUN = (Outcome.UNDECODABLE, Outcome.DIED)
"""Endings of deliveries that were no run of the handler."""


class Endings:
    """Concludes the jobs of one actor that did not simply return."""

    def __init__(self, listener: Listener, link: Link, *, burst: bool) -> None:
        self._listener = listener
        self._actor = listener.actor
        self._link = link
        self._burst = burst

    async def look_up(self, received: Message) -> Ending | None:
        """Find out which attempt of its event a delivery is. Not None: it is not to be run."""
        most = self._actor.max_attempts
        self._listener.suspending()
        self._listener.doubts.came_again(received.reply, self._listener.held)
        attempt = await self._listener.attempts.look_up(received.reply, most)
        if most is None or attempt <= most:
            return None
        died = f"attempt {attempt - 1} of {most} never ended: its process died, or was cut off"
        return Ending(Outcome.DIED, RuntimeError(died))

    async def conclude(self, received: Message, ending: Ending) -> None:
        """Tell the server, the middlewares and the log how a job ended."""
        listener = self._listener
        attempt = listener.attempts.of(received.reply)
        match ending.outcome:
            case Outcome.RETURNED:
                if self._actor.ack == "confirmed":
                    await self._confirm(received)
                else:
                    listener.handled(received)
                await listener.jobs.told(received, ending, attempt)
            case _:
                await self._conclude_failure(received, ending, attempt)

    async def _confirm(self, received: Message) -> None:
        """Have the server confirm the acknowledgement, which the link says again where needed."""
        listener = self._listener
        listener.suspending()
        try:
            answer = await self._link.request(received.reply, b"", timeout=CONFIRM_WITHIN)
            problem = answer.status.code or None
        except ServerError as error:
            problem = str(error)
        finally:
            if received.reply in listener.held:
                listener.done += 1
                listener.let_go(received.reply)
        if problem is not None:
            logger.error(
                "actor %r: the acknowledgement of event %d is not confirmed, it may come again: %s",
                self._actor.name, received.metadata.sequence.stream, problem,
            )  # fmt: skip

    async def _conclude_failure(self, received: Message, ending: Ending, attempt: int) -> None:
        listener, reply = self._listener, received.reply
        try:
            await listener.jobs.told(received, ending, attempt)
            verdict = await self._judge(received, ending, attempt)
        except BaseException:
            # Cut short, but it has been an attempt: no note that it was handed back.
            listener.say(reply, Nak(0.0))
            raise
        if isinstance(verdict, Term):
            listener.counts.buried += 1
        else:
            listener.counts.failed += 1
        listener.say(reply, verdict)

    async def _judge(self, received: Message, ending: Ending, attempt: int) -> Ack | Nak | Term:
        verdict = self._decide(ending, attempt)
        if isinstance(verdict, Bury):
            return await self._bury(received, ending, attempt, verdict)
        if self._burst and isinstance(verdict, Nak):
            # Or one event that fails would come round at once, and the burst never end.
            return Nak(max(verdict.delay, FAILED_DELAY))
        return verdict

    def _decide(self, ending: Ending, attempt: int) -> Verdict:
        actor = self._actor
        try:
            return decide(
                ending.outcome, ending.error, attempt, actor.retry_delay, actor.max_attempts
            )
        except Exception:  # noqa: BLE001 - the actor's own function can raise anything
            logger.exception(
                "actor %r: retry_delay failed for attempt %d; again in %s s",
                actor.name, attempt, FAILED_DELAY,
            )  # fmt: skip
            return Nak(FAILED_DELAY)

    async def _bury(
        self, received: Message, ending: Ending, attempt: int, verdict: Bury
    ) -> Nak | Term:
        actor = self._actor
        letter = self._letter(received, ending, attempt, verdict)
        if actor.dead_letters:
            self._listener.suspending()
            try:
                # First the letter, then the end of the event: a crash in between loses nothing.
                await write_letter(self._link, letter)
            except WalnatsError as error:
                logger.error(
                    "actor %r: the dead letter of event %d cannot be written, it comes again in "
                    "%s s: %s", actor.name, letter.seq_number, UNWRITTEN_DELAY, error,
                )  # fmt: skip
                return Nak(UNWRITTEN_DELAY)
        logger.error(
            "actor %r: event %d is given up (%s) after %d attempts%s",
            actor.name, letter.seq_number, verdict.reason, letter.attempts,
            "" if actor.dead_letters else "; dead_letters=False, so it is gone",
        )  # fmt: skip
        return Term(": ".join(filter(None, (verdict.reason.value, letter.error))))

    def _letter(self, received: Message, ending: Ending, attempt: int, verdict: Bury) -> DeadLetter:
        metadata = received.metadata
        error_type, error, traceback = describe(ending.error)
        return DeadLetter(
            event=self._actor.event.name,
            actor=self._actor.name,
            payload=received.data,
            headers=_headers_of(received),
            reason=verdict.reason.value,
            error_type=error_type,
            error=error,
            traceback=traceback,
            attempts=attempt - (ending.outcome in NOT_RUN),
            stream=self._actor.event.stream_name,
            seq_number=metadata.sequence.stream,
            emitted_at=metadata.timestamp,
            died_at=datetime.now(UTC),
        )


def _headers_of(received: Message) -> dict[str, str]:
    try:
        return received.headers
    except HeaderError:
        return {}  # malformed: that is why the event is given up
