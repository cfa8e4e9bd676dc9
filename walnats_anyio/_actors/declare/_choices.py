"""The choices an actor's declaration offers, and what a handler may raise to choose its own end."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from walnats_anyio._events._arguments import check_count, check_seconds

MIN_SNOOZE = 0.001
"""The shortest delay of a `Snooze` in seconds: with none, an event would go round and round."""


MOST_TOLD = 10
"""Failures of a batch that the text of a `BatchError` has."""


class ExecuteIn(enum.Enum):
    """Where a handler runs."""

    MAIN = "main"
    """In the event loop. For coroutine functions, and plain functions that take no time."""

    THREAD = "thread"
    """In a worker thread. For plain functions that wait: file access, database drivers, requests.

    A thread cannot be stopped: past `job_timeout` it is abandoned, and it keeps one of
    `max_threads` until it returns.
    """

    PROCESS = "process"
    """In a worker process. For plain functions that compute.

    Handler and message are pickled; the result is dropped. Past `job_timeout` the process is
    killed, with all that the handler had started.
    """


class Priority(enum.Enum):
    """Which actor may run the next job when several have events waiting.

    The value is the priority offset in seconds: whoever came first may run, where an actor of
    NORMAL priority counts as having come 1 s later than it did, one of LOW priority 5 s later. So
    nobody waits for ever.
    """

    HIGH = 0.0
    """Before the others."""

    NORMAL = 1.0
    """After HIGH, unless waiting for a second longer."""

    LOW = 5.0
    """After the others, unless waiting for some seconds longer."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Has an actor handle events in batches: its handler is called with a list of messages.

        Actor("store-rows", ROW_MADE, store_rows, batch=Batch(size=100, wait=0.5))

    A batch is one job. It starts when `size` events are there, or `wait` seconds after the first of
    them came, or when a burst has no more. It may be smaller, and never is empty. An event that has
    failed before, or may have killed its process, is handled alone, as a list of one.

    Raises:
        TypeError: `size` is not an int, or `wait` is not a number.
        ValueError: `size` is less than 1, or `wait` is negative or not finite.
    """

    size: int
    """The most events of a batch. At least 1."""

    wait: float
    """Seconds that the first event of a batch waits for others at most, on the clock of the event
    loop. 0: a batch is what is there when a job can start."""

    def __post_init__(self) -> None:
        check_count("Batch: size", self.size)
        check_seconds("Batch: wait", self.wait, 0.0)


class Retry(Exception):
    """Raised by a handler: not now, again later. It counts as an attempt.

    Raises:
        TypeError: `delay` is not a number.
        ValueError: `delay` is negative or not finite.
    """

    delay: float | None
    """Seconds until the next attempt. None: what the actor's `retry_delay` says."""

    def __init__(self, delay: float | None = None) -> None:
        if delay is not None:
            check_seconds("Retry: delay", delay, 0.0)
        super().__init__(delay)
        self.delay = delay

    def __str__(self) -> str:
        return "again later" if self.delay is None else f"again in {self.delay} s"


class Snooze(Exception):
    """Raised by a handler: not now. The event comes again later, and it was no attempt.

    For what is not the fault of the event: a rate limit is used up, a service that the handler
    needs is not there. No hook of the end is called, and the log has it at level DEBUG. There is no
    limit to how often an event is snoozed. Meanwhile it keeps its place in `max_ack_pending`.

    Raises:
        TypeError: `delay` is not a number.
        ValueError: `delay` is less than a millisecond, or not finite.
    """

    delay: float
    """Seconds until the event comes again. In a burst at least 1."""

    def __init__(self, delay: float) -> None:
        check_seconds("Snooze: delay", delay, MIN_SNOOZE)
        super().__init__(delay)
        self.delay = delay

    def __str__(self) -> str:
        return f"again in {self.delay} s"


class Reject(Exception):
    """Raised by a handler: never again, this event cannot be handled.

    Raises:
        TypeError: `reason` is not a string.
    """

    reason: str
    """Why, for people who look into it."""

    def __init__(self, reason: str = "") -> None:
        _check_reason(reason)
        super().__init__(reason)
        self.reason = reason


class BatchError(Exception):
    """Raised by the handler of a batch: some of its messages failed, and all others are done with.

        raise BatchError({2: ValueError("no such product"), 5: Reject("no price")})

    Each message that is named counts as if its handler had raised that exception for it alone:
    `Retry`, `Reject` and `Snooze` mean what they always mean. The others are acknowledged. With any
    other exception nobody knows which message it was, so each of them is handled alone.

    Raises:
        TypeError: `errors` is no mapping of ints to exceptions.
        ValueError: it is empty, or a number is negative.
    """

    errors: dict[int, Exception]
    """What went wrong, by the place of the message in the list, from 0."""

    def __init__(self, errors: Mapping[int, Exception]) -> None:
        _check_errors(errors)
        super().__init__(errors)
        self.errors = dict(errors)

    def __str__(self) -> str:
        told = "; ".join(f"{at}: {error!r}" for at, error in list(self.errors.items())[:MOST_TOLD])
        more = len(self.errors) - MOST_TOLD
        return f"{told}; and {more} more" if more > 0 else told


def _check_errors(errors: object) -> None:
    if not isinstance(errors, Mapping):
        raise TypeError(f"BatchError takes exceptions by the places of messages, not {errors!r}")
    for at, error in cast("Mapping[object, object]", errors).items():
        if not isinstance(at, int) or isinstance(at, bool) or not isinstance(error, Exception):
            raise TypeError(
                "BatchError takes exceptions by the places of messages, such as "
                f"{{2: ValueError()}}, not {{{at!r}: {error!r}}}"
            )
        if at < 0:
            raise ValueError(f"BatchError: the place of a message is 0 or more, not {at}")
    if not errors:
        raise ValueError("BatchError names no message: return where all of them are done with")


def _check_reason(reason: object) -> None:
    if not isinstance(reason, str):
        raise TypeError(f"Reject: reason must be a str, not {reason!r}")
