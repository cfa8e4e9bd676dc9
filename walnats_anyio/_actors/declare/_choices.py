"""The choices an actor's declaration offers, and what a handler may raise to choose its own end."""

from __future__ import annotations

import enum

from walnats_anyio._events._arguments import check_seconds

MIN_SNOOZE = 0.001
"""The shortest delay of a `Snooze` in seconds: with none, an event would go round and round."""


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


def _check_reason(reason: object) -> None:
    if not isinstance(reason, str):
        raise TypeError(f"Reject: reason must be a str, not {reason!r}")
