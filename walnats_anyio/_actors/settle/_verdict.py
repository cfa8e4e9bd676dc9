"""What becomes of a delivery. Pure: every way in which one can end is one row of one table."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, cast

from walnats_anyio._actors.declare._choices import MIN_SNOOZE, Reject, Retry, Snooze
from walnats_anyio._events._arguments import MAX_SECONDS
from walnats_anyio._letters import Reason

MAX_REASON = 500
"""Characters of a reason that the server is told."""

REFUSED_DELAY = 1.0
"""Seconds until an event comes again that this process could not take."""

UNWRITTEN_DELAY = 30.0
"""Seconds until an event comes again whose dead letter could not be written."""


MAX_POSTPONED = 6 * 24 * 3600.0
"""The longest delay of a copy, in seconds: the notes that make it happen once are kept for seven
days."""


class Outcome(enum.Enum):
    """How a delivery ended, before it is decided what becomes of it."""

    RETURNED = "returned"
    """The handler returned."""

    RAISED = "raised"
    """The handler raised, or the process that ran it for `ExecuteIn.PROCESS` died."""

    TIMED_OUT = "timed out"
    """The job took longer than the actor's `job_timeout`."""

    UNDECODABLE = "undecodable"
    """The payload does not fit the event's schema, or the headers are malformed: it was not run."""

    DIED = "died"
    """The last attempt that was allowed never ended, so the handler was not run once more."""

    STOPPED = "stopped"
    """The job was not started, or was cancelled, as `listen` ends."""

    EXPIRED = "expired"
    """It waited for a worker until its `ack_wait` was nearly over, without a pulse."""

    REFUSED = "refused"
    """It came when this process could not take it: in excess, or while an event runs alone."""

    CANCELLED = "cancelled"
    """Somebody cancelled the event, or the caller of the request does not wait any more."""

    OVERDUE = "overdue"
    """The time that the caller of a request waits was over before its handler was."""
    EARLY = "early"
    """It was emitted with a delay, and is not due yet."""

    FOREIGN = "foreign"
    """It was requeued for another actor of the event."""

    UNWRITTEN = "unwritten"
    """It is to be a dead letter, and the letter could not be written."""

    SUPERSEDED = "superseded"
    """It came again, and a copy has taken its place, which waits for the retry or has had it."""


@dataclass(frozen=True, slots=True)
class Ack:
    """The event is done with."""


@dataclass(frozen=True, slots=True)
class Nak:
    """The attempt failed: the event is to be delivered again."""

    delay: float
    """Seconds until then; 0 is at once."""


@dataclass(frozen=True, slots=True)
class HandBack:
    """There was no attempt, or none that counts: the event is to be delivered again."""

    delay: float
    """Seconds until then; 0 is at once."""


@dataclass(frozen=True, slots=True)
class Postpone:
    """As `Nak` or `HandBack`, for long: a copy is kept by the server, and the event acknowledged.

    Where that cannot be, it ends in a `Nak` or a `HandBack`, else in `Postponed`.
    """

    delay: float
    """Seconds until the copy is delivered."""

    failed: bool
    """Whether it was an attempt."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """A copy is stored, and the event itself is done with."""

    failed: bool
    """Whether it was an attempt."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """Another message has taken its place before: this one is done with, and was not run."""


@dataclass(frozen=True, slots=True)
class DeadLetterVerdict:
    """The event is given up: a dead letter is written, and then it is terminated."""

    reason: Reason
    """Why."""


@dataclass(frozen=True, slots=True)
class Term:
    """The event is never to be delivered again; what a `DeadLetterVerdict` ends in."""

    reason: str
    """Why, for the server's advisory."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Nobody wants the event to be handled any more: it is done with, and was no attempt."""


Verdict = Ack | Nak | HandBack | Cancelled | Postpone | Superseded | DeadLetterVerdict
Final = Ack | Nak | HandBack | Cancelled | Postponed | Superseded | Term
RetryDelay = Sequence[float] | Callable[[int], float]


@dataclass(slots=True)
class JobResult:
    """How a job ended: what the verdict is made of."""

    outcome: Outcome
    error: BaseException | None = None
    """What the handler raised, where it did."""
    message: Any = None
    """The decoded message; None where it could not be decoded."""
    duration: float = 0.0
    """Seconds that the handler took."""
    context: Context | None = None
    """The context that the handler ran in, for the hooks that follow."""
    response: bytes | None = None
    """What the handler of an event with a response returned, encoded."""
    verdict: Verdict | None = None
    """What was decided, once it was: `retry_delay` may be a function, and is asked once."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What of an actor and of a run of `listen` decides about deliveries."""

    retry_delay: RetryDelay = ()
    """The actor's."""

    max_attempts: int | None = None
    """The actor's."""

    least_delay: float = 0.0
    """Seconds that a failed event waits at least: in a burst, or one event would never let it
    end."""

    postpone_from: float = math.inf
    """Seconds from which on an event waits as a copy; infinite: never."""


NO_POLICY = Policy()

SNOOZE_DELAY = 1.0
"""Seconds of a `Snooze` whose delay is none: a subclass need not call our `__init__`."""

ASKING: tuple[type[BaseException], ...] = (Reject, Retry, Snooze, BaseExceptionGroup)
"""What may say what is to become of an event."""


def decide(
    outcome: Outcome,
    error: BaseException | None = None,
    attempt: int = 1,
    policy: Policy = NO_POLICY,
) -> Verdict:
    """Decide what becomes of a delivery.

    | the delivery                                             | verdict                         |
    | -------------------------------------------------------- | ------------------------------- |
    | returned: its handler did                                | ack                             |
    | is for another actor, as it was requeued                 | ack                             |
    | was cancelled, or the caller of the request has left     | cancelled                       |
    | is a request, and the time of its caller was over        | cancelled                       |
    | was not started, or was cancelled, as `listen` ends      | hand back, again at once        |
    | waited for a worker too long, and has no pulse           | hand back, again at once        |
    | came when this process could not take it                 | hand back, again after a second |
    | is not due yet, by its header `Walnats-Delay`            | hand back, again when it is     |
    | raised `Snooze(delay)`                                   | hand back, again after `delay`  |
    | raised `Reject`                                          | dead letter: rejected           |
    | could not be decoded                                     | dead letter: undecodable        |
    | was not run, as the last attempt allowed never ended     | dead letter: died               |
    | failed otherwise, in the last attempt allowed            | dead letter: exhausted          |
    | raised `Retry(delay)`                                    | nak with that delay             |
    | raised anything else, timed out                          | nak with the delay of `attempt` |
    | is to be a dead letter that could not be written         | nak with 30 s                   |
    | came again after a copy had taken its place              | ack, not handled                |

    A nak, or a hand-back of `Snooze`, that is for long becomes a copy which the server keeps
    (`Postpone`), if the policy says so.

    A group of exceptions that holds nothing but `Reject`, `Retry` or `Snooze` counts as that.

    Args:
        outcome: how it ended.
        error: what was raised, where something was. Of what is not due yet, a `Snooze` until it is.
        attempt: which attempt of the event this was, from 1.
        policy: of the actor and of this run of `listen`.
    """
    match outcome:
        case Outcome.RETURNED | Outcome.FOREIGN:
            return Ack()
        case Outcome.CANCELLED | Outcome.OVERDUE:
            return Cancelled()
        case Outcome.STOPPED | Outcome.EXPIRED:
            return HandBack(0.0)
        case Outcome.REFUSED:
            return HandBack(REFUSED_DELAY)
        case Outcome.EARLY:
            return HandBack(SNOOZE_DELAY if error is None else _delay_of(error) or SNOOZE_DELAY)
        case Outcome.UNDECODABLE | Outcome.DIED:
            return DeadLetterVerdict(Reason(outcome.value))
        case Outcome.UNWRITTEN:
            return Nak(UNWRITTEN_DELAY)
        case Outcome.SUPERSEDED:
            return Superseded()
        case Outcome.RAISED | Outcome.TIMED_OUT:
            return _after_failure(error, attempt, policy)


def _after_failure(error: BaseException | None, attempt: int, policy: Policy) -> Verdict:
    wish = wish_of(error)
    if isinstance(wish, Snooze):
        return _again(wish.delay, policy, failed=False)
    if isinstance(wish, Reject):
        return DeadLetterVerdict(Reason.REJECTED)
    if policy.max_attempts is not None and attempt >= policy.max_attempts:
        return DeadLetterVerdict(Reason.EXHAUSTED)
    if isinstance(wish, Retry) and wish.delay is not None:
        return _again(wish.delay, policy, failed=True)
    return _again(delay_after(attempt, policy.retry_delay), policy, failed=True)


def _again(delay: float, policy: Policy, *, failed: bool) -> Nak | HandBack | Postpone:
    delay = max(delay, policy.least_delay)
    if policy.postpone_from <= delay <= MAX_POSTPONED:
        return Postpone(delay, failed)
    return Nak(delay) if failed else HandBack(delay)


def wish_of(error: BaseException | None) -> Retry | Reject | Snooze | None:
    """What a handler asks for by what it raised: `Retry`, `Reject`, `Snooze` or none of them.

    A group counts as what all of its exceptions are; the longest delay and every reason count.
    Raises nothing but a `KeyboardInterrupt`, which may be a real one.
    """
    try:
        return _wish_of(error)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - an attribute of a user's exception can raise anything
        return None


def _wish_of(error: BaseException | None) -> Retry | Reject | Snooze | None:
    if not isinstance(error, ASKING):
        return None
    leaves = list(leaves_of(error))
    if all(isinstance(leaf, Reject) for leaf in leaves):
        # A subclass may have no reason: its `__init__` need not call ours.
        return Reject("; ".join(str(getattr(leaf, "reason", "")) for leaf in leaves))
    if all(isinstance(leaf, Retry) for leaf in leaves):
        delays = [delay for leaf in leaves if (delay := _delay_of(leaf)) is not None]
        return Retry(max(delays, default=None))
    if all(isinstance(leaf, Snooze) for leaf in leaves):
        delays = [_delay_of(leaf) or SNOOZE_DELAY for leaf in leaves]
        return Snooze(max(MIN_SNOOZE, *delays))
    return None


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """The exceptions of a group that are no groups, in their order; else the exception itself.

    Without recursion, and without methods of the group: it may be nested deeply, or of a class of
    the user's.
    """
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", each)
            waiting.extend(reversed(group.exceptions))
        else:
            yield each


def _delay_of(error: BaseException) -> float | None:
    delay = getattr(error, "delay", None)
    if isinstance(delay, int | float) and 0 <= delay <= MAX_SECONDS:
        return float(delay)
    return None


def delay_after(attempt: int, retry_delay: RetryDelay) -> float:
    """Seconds to wait after an attempt, counted from 1, that failed.

    Raises:
        ValueError: a `retry_delay` function gave a number that is no delay.
        TypeError: it gave no number.
    """
    if callable(retry_delay):
        delay = retry_delay(attempt)
        if not 0 <= delay < math.inf:
            raise ValueError(
                f"retry_delay({attempt}) must give seconds of at least 0, not {delay!r}"
            )
        # A function that doubles the delay soon gives more than the server can count.
        return min(float(delay), MAX_SECONDS)
    if not retry_delay:
        return 0.0
    return float(retry_delay[min(attempt, len(retry_delay)) - 1])


def to_wire(verdict: Final) -> bytes:
    """The payload that tells JetStream (ADR-15: +ACK is also an empty payload)."""
    match verdict:
        case Ack() | Cancelled() | Postponed() | Superseded():
            return b""
        case Nak(0.0) | HandBack(0.0):
            return b"-NAK"
        case Nak(delay) | HandBack(delay):
            return b'-NAK {"delay": %d}' % round(min(delay, MAX_SECONDS) * 1e9)
        case Term(reason):
            words = " ".join(reason.split())[:MAX_REASON]
            # A reason may hold what is no Unicode, such as from the name of a file.
            return f"+TERM {words}".encode(errors="backslashreplace") if words else b"+TERM"
