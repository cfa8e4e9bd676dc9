"""Start no more jobs in a period than something stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

import anyio
import anyio.from_thread
from anyio.lowlevel import RunVar

from walnats_anyio._actors.declare._choices import ExecuteIn
from walnats_anyio._actors.settle import Delivery
from walnats_anyio._events import current_job
from walnats_anyio._events._arguments import check_count, check_seconds
from walnats_anyio._link import Link
from walnats_anyio.decorators._counts import Declared
from walnats_anyio.decorators._shared import SharedTurns
from walnats_anyio.decorators._starts import RecentStarts
from walnats_anyio.decorators._turns import Claim, Turns
from walnats_anyio.decorators._wrapping import (
    Handler,
    check_handler,
    finish,
    is_coroutine_function,
)

MIN_SHARED_PERIOD = 0.1
"""Seconds; in a shorter window, most of the time goes with asking."""

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

PATIENCE = 0.25
"""How much of its `job_timeout`, and of its `ack_wait`, a job may spend on waiting for its turn."""

NOT_IN_PROCESS = (
    "a rate limit counts in the program that listens, and a worker process knows nothing of that: "
    "use ExecuteIn.THREAD, or a coroutine function that awaits anyio.to_process.run_sync"
)

NOT_IN_LOOP = (
    "a rate limit over all processes asks the server, and a plain function in the event loop "
    "cannot wait for that: make it a coroutine function, or use ExecuteIn.THREAD"
)

NO_LOOP = (
    "rate_limit needs the event loop that its jobs are counted in: call the handler in one, in a "
    "thread of anyio.to_thread, or without its limit as handler.__wrapped__"
)

NO_JOB = (
    "rate_limit(shared={name!r}) counts its jobs over the connection of the actor, and no job of an"
    " actor runs here: call the handler without its limit, as handler.__wrapped__"
)


@dataclass(frozen=True, slots=True)
class RateLimitStatistics:
    """What a limit is doing in this event loop."""

    waiting: int
    """Jobs that wait for their turn in their slots."""

    snoozed: int
    """Events that were snoozed, and have not come back to this process."""


class RateLimit:
    """A limit that `rate_limit` has made: a decorator, and what its handlers share."""

    max_jobs: int
    """How many jobs may start in each period."""

    period: float
    """Seconds of a period."""

    shared: str | None
    """The name under which all processes share the limit. None: it is that of one process."""

    max_wait: float
    """Seconds that a job may wait for its turn in its slot."""

    def __init__(self, max_jobs: int, period: float, shared: str | None, max_wait: float) -> None:
        check_count("rate_limit: max_jobs", max_jobs)
        check_seconds("rate_limit: period", period)
        check_seconds("rate_limit: max_wait", max_wait, 0.0)
        _check_shared(shared, period)
        self.max_jobs = max_jobs
        self.period = period
        self.shared = shared
        self.max_wait = max_wait
        # Of one event loop each, whose clock they are on.
        self._turns: RunVar[Turns] = RunVar("walnats_anyio.rate_limit")
        self._by_link: RunVar[dict[Link, SharedTurns]] = RunVar("walnats_anyio.shared_rate_limit")

    def __repr__(self) -> str:
        shared = "" if self.shared is None else f", shared={self.shared!r}"
        return f"rate_limit({self.max_jobs}, {self.period:g}{shared}, max_wait={self.max_wait:g})"

    def __call__(self, handler: Handler) -> Handler:
        """Decorate a handler. All handlers of one limit share its turns.

        Raises:
            TypeError: it is no handler.
        """
        check_handler("rate_limit", handler)
        refused = {ExecuteIn.PROCESS: NOT_IN_PROCESS}
        if is_coroutine_function(handler):

            async def limited(*args: Any, **kwargs: Any) -> Any:
                await self._take(_current_job())
                return await handler(*args, **kwargs)

            return finish(limited, handler, refused)
        if self.shared is not None:
            refused[ExecuteIn.MAIN] = NOT_IN_LOOP

        def limited_plainly(*args: Any, **kwargs: Any) -> Any:
            self._take_plainly(_current_job())
            return handler(*args, **kwargs)

        return finish(limited_plainly, handler, refused)

    def statistics(self) -> RateLimitStatistics:
        """What the limit is doing in this event loop. Never blocks.

        Raises:
            RuntimeError: no event loop runs here.
        """
        lines = [turns.line for turns in self._all_turns()]
        return RateLimitStatistics(
            waiting=sum(len(line.here) for line in lines),
            snoozed=sum(line.away for line in lines),
        )

    def _all_turns(self) -> list[Turns]:
        if self.shared is None:
            return [self._local()]
        return [shared.turns for shared in self._links().values()]

    async def _take(self, job: Delivery | None) -> None:
        """Wait for the turn of a job, and take it.

        Raises:
            Snooze: it comes too late to wait for.
        """
        if self.shared is not None:
            if job is None:
                raise RuntimeError(NO_JOB.format(name=self.shared))
            await self._shared_turns(job, self.shared).take(self._claim(job))
            return
        turns = self._local()
        if not turns.take_at_once():
            await turns.take(self._claim(job))

    def _take_plainly(self, job: Delivery | None) -> None:
        if not _is_in_loop():
            try:
                anyio.from_thread.run(self._take, job)
            except anyio.NoEventLoopError as error:
                raise RuntimeError(NO_LOOP) from error
            return
        turns = self._local()
        if not turns.take_at_once():
            turns.take_or_snooze(self._claim(job))

    def _claim(self, job: Delivery | None) -> Claim:
        if job is None:
            return Claim(anyio.current_time())
        about, actor = job.message.metadata, job.deliveries.actor
        patience = min(self.max_wait, PATIENCE * min(actor.job_timeout, actor.ack_wait))
        number = about.sequence.stream
        key = about.stream, number, about.consumer
        stored = about.timestamp.timestamp()
        return Claim(stored, number, key, patience, lambda: job.settled is not None)

    def _local(self) -> Turns:
        turns = self._turns.get(None)
        if turns is None:
            turns = Turns(RecentStarts(self.max_jobs, self.period), self.period)
            self._turns.set(turns)
        return turns

    def _links(self) -> dict[Link, SharedTurns]:
        links = self._by_link.get(None)
        if links is None:
            links = dict[Link, SharedTurns]()
            self._by_link.set(links)
        return links

    def _shared_turns(self, job: Delivery, name: str) -> SharedTurns:
        links, link = self._links(), job.deliveries.link
        turns = links.get(link)
        if turns is None:
            for closed in [each for each in links if each.closed is not None]:
                del links[closed]
            replicas = job.deliveries.actor.event.replicas
            declared = Declared(name, self.max_jobs, self.period, replicas)
            turns = SharedTurns(link, declared)
            links[link] = turns
        return turns


def rate_limit(
    max_jobs: int, period: float, *, shared: str | None = None, max_wait: float = 1.0
) -> RateLimit:
    """Start at most so many jobs in each period.

        @rate_limit(32, period=60)
        async def send_sms(number: str) -> None: ...

    Of one process: within any `period` seconds, wherever they begin, at most `max_jobs` jobs start.
    With `shared`, of all processes together: time is cut into windows of one period by the clock of
    the server, and at most `max_jobs` start in each; so within a period that spans two windows it
    may be up to twice as many.

    The oldest event goes first. A job waits for its turn in its slot, for `max_wait` seconds at
    most; one whose turn comes later raises `Snooze`, so that its slot is free, and its event comes
    again when its turn is near. That is no attempt. Every run of a handler takes a turn, a retry as
    well; a job that is cancelled before its turn takes none.

    One limit may decorate several handlers, which then share its turns. It may be used again in
    another event loop, where it begins anew.

    Args:
        max_jobs: how many jobs may start in each period.
        period: seconds. At least 0.001; with `shared` at least 0.1.
        shared: a name: all limits of that name, in all processes of the NATS account and
            namespace, are one. They must have the same `max_jobs` and `period`; the log has a
            warning where they have not. Their turns are counted in the stream
            `walnats-limit-<name>`, over the connection of the actor. None: the limit is that of one
            process.
        max_wait: seconds that a job may wait in its slot. 0: it never waits. It is never longer
            than a quarter of the actor's `job_timeout` or `ack_wait`, as the time counts.

    Raises:
        TypeError: an argument is of a wrong type.
        ValueError: an argument is out of its range, or `shared` is no name.
    """
    return RateLimit(max_jobs, period, shared, max_wait)


def _check_shared(shared: object, period: float) -> None:
    if shared is None:
        return
    if not isinstance(shared, str):
        raise TypeError(f"rate_limit: shared must be a name or None, not {shared!r}")
    if not NAME.fullmatch(shared):
        raise ValueError(
            f"rate_limit: shared must be 1 to 64 of the letters A to Z and a to z, digits, '-' and "
            f"'_', not {shared!r}"
        )
    if period < MIN_SHARED_PERIOD:
        raise ValueError(
            f"rate_limit: with shared, period must be at least {MIN_SHARED_PERIOD} seconds, "
            f"not {period!r}: allow more jobs in a longer period"
        )


def _current_job() -> Delivery | None:
    """The job that runs here. None: there is none, or this task has outlived it."""
    job = cast("Delivery | None", current_job.get())
    return job if job is not None and job.settled is None else None


def _is_in_loop() -> bool:
    try:
        anyio.current_time()
    except RuntimeError:  # in a thread each backend has its own, as its context is that of a job
        return False
    return True
