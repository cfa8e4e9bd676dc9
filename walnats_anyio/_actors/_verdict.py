"""What NATS is told at the end of a job. Pure: every way a job can end is one row of one table."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from walnats_anyio._actors.declare._choices import Reject, Retry
from walnats_anyio._events._arguments import MAX_SECONDS
from walnats_anyio._letters import Reason

MAX_REASON = 500
"""Characters of a reason that the server is told."""


class Outcome(enum.Enum):
    """How a job ended."""

    RETURNED = "returned"
    """The handler returned."""

    RAISED = "raised"
    """The handler raised, or the process that ran it for `ExecuteIn.PROCESS` died."""

    TIMED_OUT = "timed out"
    """The job took longer than the actor's `job_timeout`."""

    UNDECODABLE = "undecodable"
    """The payload does not fit the event's schema, so the handler was not run."""

    STOPPED = "stopped"
    """The job was not started, or was cancelled, as `listen` ends."""

    DIED = "died"
    """The last attempt that was allowed never ended, so the handler was not run once more."""


@dataclass(frozen=True, slots=True)
class Ack:
    """The event is handled."""


@dataclass(frozen=True, slots=True)
class Nak:
    """The event is to be delivered again."""

    delay: float
    """Seconds until then; 0 is at once."""


@dataclass(frozen=True, slots=True)
class Bury:
    """The event is given up: a dead letter is written, and then it is terminated."""

    reason: Reason
    """Why."""


@dataclass(frozen=True, slots=True)
class Term:
    """The event is never to be delivered again."""

    reason: str
    """Why, for the server's advisory."""


Verdict = Ack | Nak | Bury
RetryDelay = Sequence[float] | Callable[[int], float]


def decide(
    outcome: Outcome,
    error: BaseException | None,
    attempt: int,
    retry_delay: RetryDelay,
    max_attempts: int | None,
) -> Verdict:
    """Decide what becomes of an event.

    | the job                                              | verdict                         |
    | ---------------------------------------------------- | ------------------------------- |
    | returned                                             | ack                             |
    | was not started, or was cancelled at a stop          | nak, again at once              |
    | raised `Reject`                                      | bury: rejected                  |
    | could not be decoded                                 | bury: undecodable               |
    | was not run, as the last attempt allowed never ended | bury: died                      |
    | failed otherwise, in the last attempt allowed        | bury: exhausted                 |
    | raised `Retry(delay)`                                | nak with that delay             |
    | raised anything else, timed out                      | nak with the delay of `attempt` |

    Args:
        outcome: how the job ended.
        error: what was raised, where something was.
        attempt: which attempt of the event this was, from 1.
        retry_delay: the actor's.
        max_attempts: the actor's.
    """
    match outcome:
        case Outcome.RETURNED:
            return Ack()
        case Outcome.STOPPED:
            return Nak(0.0)
        case Outcome.RAISED if isinstance(error, Reject):
            return Bury(Reason.REJECTED)
        case Outcome.UNDECODABLE:
            return Bury(Reason.UNDECODABLE)
        case Outcome.DIED:
            return Bury(Reason.DIED)
        case _ if max_attempts is not None and attempt >= max_attempts:
            return Bury(Reason.EXHAUSTED)
        case Outcome.RAISED if isinstance(error, Retry) and error.delay is not None:
            return Nak(error.delay)
        case _:
            return Nak(delay_after(attempt, retry_delay))


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


def in_words(verdict: Ack | Nak | Term) -> bytes:
    """The payload that tells JetStream (ADR-15: +ACK is also an empty payload)."""
    match verdict:
        case Ack():
            return b""
        case Nak(0.0):
            return b"-NAK"
        case Nak(delay):
            return b'-NAK {"delay": %d}' % round(min(delay, MAX_SECONDS) * 1e9)
        case Term(reason):
            words = " ".join(reason.split())[:MAX_REASON]
            # A reason may hold what is no Unicode, such as from the name of a file.
            return f"+TERM {words}".encode(errors="backslashreplace") if words else b"+TERM"
