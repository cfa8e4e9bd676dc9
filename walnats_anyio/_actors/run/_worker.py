"""A worker: a task that runs jobs of one actor, one after another."""

from __future__ import annotations

import logging
import math
from contextvars import Context as ContextVars
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import anyio

from walnats_anyio._actors.run._job import Stopped
from walnats_anyio._actors.run._pace import BUDGET
from walnats_anyio._actors.settle import Ack, Delivery, JobResult, Outcome, decide
from walnats_anyio._actors.settle._steps import BLOCKING
from walnats_anyio._link import ConnectionLostError, ServerError

if TYPE_CHECKING:
    from walnats_anyio._actors.run._workers import Workers

logger = logging.getLogger("walnats_anyio.actors")

QUIET_WITHIN = 60.0
"""Seconds at most that an event which is to run alone waits for other jobs to end."""

RETURNED = cast("Ack", decide(Outcome.RETURNED))
"""What the table says of a handler that has returned, asked once."""


class Worker:
    """Runs jobs of one actor, until there is no more use for it.

    A job that had to wait is run in a cancel scope of its own, with `job_timeout` as its deadline.
    Handlers that never wait share one, as nothing can cancel them, and a scope costs as much as
    half of such a job.
    """

    __slots__ = (
        "_broken", "_spot", "_workers", "active", "called", "context", "current", "message",
    )  # fmt: skip

    def __init__(self, workers: Workers, delivery: Delivery | None) -> None:
        self.active = True
        """Whether it holds its tokens."""
        self.called = True
        """Whether it is on its way to its first delivery since it was called."""
        self.current: Delivery | None = delivery
        """What it runs, or is to run next."""
        self.message: Any = None
        """The message of the job that waits; see `Running`."""
        self.context: ContextVars | None = None
        self._broken = False
        self._spot = workers.new_spot()
        self._workers = workers

    def wake(self, delivery: Delivery | None) -> None:
        """Go on with this delivery."""
        self.active = self.called = True
        self.current = delivery
        self._spot.wake()

    async def run(self) -> None:
        """Run jobs until there is no more use for this worker."""
        workers = self._workers
        try:
            while await self._run_some():
                pass
        except Stopped:
            if self.current is not None:
                logger.warning(
                    "actor %r: the task of a worker was cancelled from outside; its event is "
                    "handed back, and another worker takes its place", workers.actor.name,
                )  # fmt: skip
        except BaseException:
            # Cut short, and so is all of it: nothing more may start, and first the requests end, or
            # one might take what is handed back.
            workers.interrupted()
            raise
        finally:
            if self.current is not None:
                workers.hand_back(self.current, Outcome.STOPPED)
            if self.active:
                workers.release(self)

    async def _run_some(self) -> bool:
        """Run jobs until one needs more than an acknowledgement; False when all is over."""
        result = await self._run_in_scope()
        if result is None:
            return not self._broken and self.active
        delivery = self.current
        assert delivery is not None
        self.message = self.context = None
        await self._workers.conclusion.conclude(delivery, result)
        self.current = None
        pace = self._workers.pace
        if monotonic() - pace.began > BUDGET:
            await pace.breathe()
        return not self._broken

    async def _run_in_scope(self) -> JobResult | None:
        """Run jobs in one scope; None when there is no more use for this worker.

        The scope is left after each job that had to wait. So what a handler has left behind, such
        as a scope of its own, shows at its own end, and never reaches another job.
        """
        scope = anyio.CancelScope()
        result: JobResult | None = None
        try:
            with scope:
                result = await self._jobs(scope)
        except RuntimeError as error:
            if self.current is None or result is None:
                raise
            self._broken = True
            broken = RuntimeError(
                "the handler left a cancel scope or a task group open: leave it before you return, "
                "and close async generators that have one (contextlib.aclosing)"
            )
            broken.__cause__ = error
            return JobResult(Outcome.RAISED, broken, result.message, context=result.context)
        if scope.cancelled_caught:
            return self._timed_out(result)
        return result

    def _timed_out(self, result: JobResult | None) -> JobResult:
        timeout = self._workers.actor.job_timeout
        error = TimeoutError(f"the job took longer than job_timeout={timeout:g} s")
        return JobResult(Outcome.TIMED_OUT, error, self.message, context=self.context)

    async def _jobs(  # noqa: C901 - the hot loop: each call more costs 2 % of an event
        self, scope: anyio.CancelScope
    ) -> JobResult | None:
        workers = self._workers
        jobs, pace, attempts = workers.jobs, workers.pace, workers.attempts
        timeout = workers.actor.job_timeout
        now = began = monotonic()
        scope.deadline = anyio.current_time() + timeout
        while True:
            delivery = workers.next_for(self)
            if delivery is None:
                scope.deadline = math.inf
                if not await self._park():
                    return None
                now = began = monotonic()
                scope.deadline = anyio.current_time() + timeout
                continue
            self.current = delivery
            # Compared with its beginning, as to take apart every reply subject would cost 0.3 us
            # of the 4 us that an event takes.
            reply = delivery.message.reply
            if not reply.startswith(attempts.first) and not attempts.is_first(reply):
                scope.deadline = math.inf
                result = await self._look_up(delivery)
                if result is not None:
                    return result
                now = began = monotonic()
                scope.deadline = anyio.current_time() + timeout
                if self.current is None:
                    continue
            elif now - began > BUDGET:
                # Jobs that never wait share a deadline that is at most so much too early.
                began = now
                scope.deadline = anyio.current_time() + timeout
            result = await jobs.run(self, delivery, scope)
            if result is not None:
                return result
            # The end of `listen`, called by the handler itself, may have settled it.
            if delivery.settled is None:
                delivery.settle(RETURNED)
            self.current = None
            before, now = now, monotonic()
            if now - before > BLOCKING:
                jobs.warn_of_blocking(now - before)
            if now - pace.began > BUDGET:
                # A handler that blocked may have used up the deadline, and nothing runs now.
                scope.deadline = math.inf
                await pace.breathe()
                now = began = monotonic()
                scope.deadline = anyio.current_time() + timeout

    async def _look_up(self, delivery: Delivery) -> JobResult | None:
        """Find out which attempt it is. Not None: it is not to be run."""
        workers = self._workers
        workers.suspending()
        if not workers.attempts.knows(delivery):
            workers.redelivered(delivery)
        if not await workers.attempts.look_up(delivery):
            return _used_up(delivery, workers.actor.max_attempts)
        if delivery.alone and not await self._begin_alone(delivery):
            self.current = None
            workers.hand_back(delivery, Outcome.REFUSED)
        return None

    async def _begin_alone(self, delivery: Delivery) -> bool:
        """Wait until nothing else runs, and leave a note that this one does."""
        workers = self._workers
        if not await workers.scheduler.begin_alone(self, QUIET_WITHIN):
            return False
        try:
            await workers.attempts.begin_alone(delivery)
        except (ServerError, ConnectionLostError) as error:
            logger.warning(
                "actor %r: an event that may have killed its process is not run alone, as that "
                "cannot be noted: %s", workers.actor.name, error,
            )  # fmt: skip
            workers.scheduler.end_alone(self)
        return True

    async def _park(self) -> bool:
        if not self._workers.park(self):
            return False
        try:
            await self._spot.wait()
        except BaseException:
            self._workers.unpark(self)
            raise
        return True


def _used_up(delivery: Delivery, most: int | None) -> JobResult:
    """The result of a delivery that comes when all attempts are over."""
    # It is no attempt of its own, but what follows the last one.
    delivery.attempt = runs = delivery.attempt - 1
    if not delivery.deaths:
        failed = RuntimeError(
            f"it failed in attempt {runs} of max_attempts={most} already: its dead letter could "
            "not be written then, or max_attempts was higher"
        )
        return JobResult(Outcome.RAISED, failed)
    delivered = delivery.message.metadata.num_delivered - 1
    died = RuntimeError(
        f"delivered {delivered} times, run at most {runs} times of max_attempts={most}: the last "
        "run never ended, as its process died or was cut off"
    )
    return JobResult(Outcome.DIED, died)
