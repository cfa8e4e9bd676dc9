"""A worker: a task that runs jobs of one actor, one after another."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Coroutine
from contextvars import Context as ContextVars
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio.lowlevel import checkpoint

from walnats_anyio._actors.declare._choices import MIN_SNOOZE, Snooze
from walnats_anyio._actors.run._job import WAITED, Stopped, is_cancelled
from walnats_anyio._actors.run._pace import BUDGET
from walnats_anyio._actors.settle import Ack, Delivery, JobResult, Outcome, Standing, decide
from walnats_anyio._actors.settle._steps import BLOCKING
from walnats_anyio._events import current_job
from walnats_anyio._link import Scope

if TYPE_CHECKING:
    from walnats_anyio._actors.run._workers import Workers

logger = logging.getLogger("walnats_anyio.actors")

QUIET_WITHIN = 60.0
"""Seconds at most that an event which is to run alone waits for other jobs to end."""

LATE = 0.05
"""Seconds that jobs which share a scope may be cancelled too late, at most; see `_be_on_time`."""

SPARE = 0.2
"""Seconds to the deadline of a scope in which nothing runs, from which on it may stay there."""

LEFT_OPEN = (
    "the handler left a cancel scope or a task group open: leave it before you return, and close "
    "async generators that have one (contextlib.aclosing)"
)

CANCELLED_TASK = (
    "the handler had its own task cancelled, past all scopes: by asyncio.Task.cancel, or by an "
    "asyncio.timeout or asyncio.TaskGroup that it has left open"
)

RETURNED = cast("Ack", decide(Outcome.RETURNED))
"""What the table says of a handler that has returned, asked once."""


class Worker:
    """Runs jobs of one actor, until there is no more use for it.

    A job that had to wait is run in a cancel scope of its own, with `job_timeout` as its deadline.
    Handlers that never wait share one, as nothing can cancel them, and a scope costs as much as
    half of such a job.

    A handler can spoil the task that it runs in: by a scope that it leaves open, which cancels
    whatever that task awaits later, and makes its end an error; or by cancelling the task itself.
    Then the worker settles what it has in another task. From then on each worker of that actor
    runs its jobs in a task and a task group of their own. Not from the beginning: that takes 40 %
    of the memory of a job that waits (5.6 of 14.2 kB on asyncio, counted with tracemalloc).
    """

    __slots__ = (
        "_is_new", "_left_over", "_lost", "_spoilt", "_spot", "_workers", "active", "began",
        "called", "cancels", "context", "current", "is_first", "message", "scope",
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
        self.cancels: Callable[[], int] | None = None
        """See `Running`."""
        self.began = 0.0
        """When its handler began, where somebody is told how long it took; 0 before."""
        self.scope: Scope | None = None
        """What the jobs run in, as long as they do."""
        self.is_first = True
        """Whether no other job can have done what is found: none has run in the scope that is
        entered, and the task is not cancelled by itself."""
        self._is_new = True
        """Whether no job has ended yet in the task that the jobs run in, but in its first scope."""
        self._spoilt = False
        """Whether a handler has left a scope open in the task that the jobs run in."""
        self._lost = False
        """Whether that task was cancelled by itself."""
        self._left_over: JobResult | None = None
        """The result of the last job, which is to be concluded outside of that task."""
        self._spot = workers.backend.new_spot()
        self._workers = workers

    def wake(self, delivery: Delivery | None) -> None:
        """Go on with this delivery."""
        self.active = self.called = True
        self.current = delivery
        self._spot.wake()

    @property
    def is_concluding(self) -> bool:
        """Whether its job has ended, and is being settled."""
        return self.scope is None and not self.called and self.current is not None

    @property
    def _runs_nothing(self) -> bool:
        """Whether it waits for a delivery, or is about to begin its first one after that."""
        return self.current is None or self.called

    def cancel(self) -> bool:
        """Cancel the handler of the current job, if it waits for something; never blocks.

        Returns:
            False: there is no handler to cancel yet, or any more.
        """
        if self.scope is None or self.context is None or self.called:
            return False
        self.scope.cancel()
        return True

    async def run(self) -> None:
        """Run jobs until there is no more use for this worker."""
        workers, moves = self._workers, False
        current_job.set(None)  # that of whoever has called this worker
        try:
            if not self._is_unfit:  # else this is the task that it has moved to
                if workers.isolated:
                    await self._run_in_own_task()
                else:
                    await self._run_all()
                    moves = self._is_unfit
            if moves:
                workers.move(self)
            elif self.current is not None:
                await self._conclude_left_over(self.current)
        except BaseException as error:
            if not self._is_native(error):
                # Cut short, and so is all of it: nothing more may start, and first the requests
                # end, or one might take what is handed back.
                workers.interrupted()
                raise
            self._say_lost()
        finally:
            if not moves:
                self._end()
        if moves and self._spoilt:
            await workers.stay()

    @property
    def _is_unfit(self) -> bool:
        """Whether the task that the jobs ran in is not fit for anything any more."""
        return self._spoilt or self._lost

    async def _conclude_left_over(self, delivery: Delivery) -> None:
        await checkpoint()  # if all of it was cancelled, that is no failure of the job
        if self._lost and self._left_over is not None and self._workers.backend.cancelled_lately:
            self._left_over = None  # by somebody who has cancelled more than this task
            self._say_lost()
        if self._left_over is None:
            # Not at once: nothing else keeps what is cancelled each time from doing so.
            self._workers.hand_back(delivery, Outcome.REFUSED)
        else:
            await self._workers.conclusion.conclude(delivery, self._left_over)
        self.current = None

    def _end(self) -> None:
        workers = self._workers
        if self.current is not None:
            workers.hand_back(self.current, Outcome.STOPPED)
        if self.active:
            workers.release(self)
        workers.all.discard(self)
        workers.suspending()

    async def _run_in_own_task(self) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                run_all = self._workers.jobs.uninterrupted(self._run_all)
                tasks.start_soon(run_all, name="walnats/jobs")
        except BaseExceptionGroup as group:
            if not self._spoilt:
                raise
            _, others = group.split(RuntimeError)
            if others is not None:
                raise others from None

    async def _run_all(self) -> None:
        self.cancels = self._workers.backend.cancels
        try:
            while await self._run_some():
                pass
        except Stopped as error:
            self._note_lost(error)
        except BaseException as error:
            if not self._is_native(error):
                raise
            self._note_lost(error)

    def _note_lost(self, error: BaseException) -> None:
        """Just the task of the jobs was cancelled: only code that has run in it can do that."""
        self._lost = True
        delivery = self.current
        if not (self._is_new and self.is_first) or delivery is None or delivery.settled is not None:
            self._say_lost()  # perhaps that of an earlier job, so it counts against none
            return
        cancelled = RuntimeError(CANCELLED_TASK)
        cancelled.__cause__ = error
        self._left_over = JobResult(Outcome.RAISED, cancelled, self.message, context=self.context)

    def _is_native(self, error: BaseException) -> bool:
        """Whether just this task was cancelled, past all scopes (asyncio only)."""
        cancelled = isinstance(error, anyio.get_cancelled_exc_class())
        return cancelled and anyio.current_effective_deadline() != -math.inf

    def _say_lost(self) -> None:
        if self.current is not None:
            logger.warning(
                "actor %r: the task of a worker was cancelled from outside; its event is "
                "handed back, and another worker takes its place", self._workers.actor.name,
            )  # fmt: skip

    async def _run_some(self) -> bool:
        """Run jobs until one needs more than an acknowledgement; False when all is over."""
        result = await self._run_in_scope()
        self._is_new = False
        if result is None:
            return self.active and not self._spoilt
        delivery = self.current
        assert delivery is not None
        self.message = self.context = None
        self.began = 0.0
        current_job.set(None)  # as in `_be_on_time`
        if self._spoilt:
            self._left_over = result
            return False
        if result is WAITED and delivery.settled is None:
            delivery.emits = ()  # what a task that goes on emits is not sent
            delivery.settle(RETURNED)
        else:
            await self._workers.conclusion.conclude(delivery, result)
        self.current = None
        pace = self._workers.pace
        if monotonic() - pace.began > BUDGET:
            await pace.breathe()
        return True

    async def _run_in_scope(self) -> JobResult | None:
        """Run jobs in one scope; None when there is no more use for this worker.

        The scope is left after each job that had to wait. So what a handler has left behind, such
        as a scope of its own, shows at its own end, and never reaches another job.
        """
        workers = self._workers
        while (delivery := workers.next_for(self)) is None:
            if not await self._park():
                return None
        self.current = delivery
        # With its deadline: to set one later costs a third of making a scope.
        ends = math.inf if delivery.redelivered else workers.clock() + workers.actor.job_timeout
        del delivery  # or a worker that has nothing to do would keep it alive
        self.scope = scope = workers.backend.new_scope(ends)
        result: JobResult | None = None
        raised: BaseException | None = None
        self.is_first = not is_cancelled(self.cancels)
        try:
            with scope:
                try:
                    result = await self._jobs(scope)
                except BaseException as error:
                    raised = error
                    raise
        except RuntimeError as error:
            if error is raised:
                raise
            self._spoilt = True
            if isinstance(raised, KeyboardInterrupt):
                # It came just as the handler entered or left a scope of its own.
                raise raised from None
            return self._after_spoilt(result, scope, error)
        finally:
            self.scope = None
            del raised
        if not scope.cancelled_caught:
            return result
        if self._runs_nothing:
            return None  # its deadline has passed meanwhile
        return self._timed_out(result)

    def _after_spoilt(
        self, result: JobResult | None, scope: Scope, error: RuntimeError
    ) -> JobResult | None:
        """The result of a job at whose end the scope could not be left."""
        if self.is_first and self.current is not None:
            left_open = RuntimeError(LEFT_OPEN)
            left_open.__cause__ = error
            if result is None and scope.cancel_called:
                return self._timed_out(result)
            message, context = (
                (self.message, self.context)
                if result is None or result is WAITED
                else (result.message, result.context)
            )
            return JobResult(Outcome.RAISED, left_open, message, context=context)
        # Any of the jobs that have run in the scope may have done it. It counts against none.
        logger.error(
            "actor %r: %s. One of its last jobs did so; it is not known which, as they did not "
            "wait for anything", self._workers.actor.name, LEFT_OPEN,
        )  # fmt: skip
        if self.current is None or (result is not None and result.outcome is Outcome.RETURNED):
            return result
        return JobResult(Outcome.STOPPED)

    def _timed_out(self, result: JobResult | None) -> JobResult:
        if self.current is not None and self.current.ends is not None:
            return JobResult(self.current.ends, None, self.message, context=self.context)
        timeout = self._workers.actor.job_timeout
        error = TimeoutError(f"the job took longer than job_timeout={timeout:g} s")
        duration = monotonic() - self.began if self.began else 0.0
        self._workers.took(timeout)
        return JobResult(Outcome.TIMED_OUT, error, self.message, duration, self.context)

    async def _jobs(  # noqa: C901 - the hot loop: each call more costs 2 %
        self, scope: Scope
    ) -> JobResult | None:
        jobs, pace, workers = self._workers.jobs, self._workers.pace, self._workers
        scheduler, waiting = workers.scheduler, workers.waiting
        delivery, now = self.current, monotonic()
        on_time_until = now + BUDGET
        while delivery is not None:
            self.current = delivery
            if delivery.redelivered:
                if (result := await self._look_up(delivery, scope)) is not None:
                    return result
                on_time_until = -math.inf
            if now > on_time_until:
                on_time_until, now = self._be_on_time(scope), monotonic()
            # What was to run alone may not have been able to.
            begun = jobs.begin(self, delivery, scope) if delivery.settled is None else None
            if begun is None and delivery.settled is None:  # else by the end of `listen`
                delivery.settle(RETURNED)
            elif isinstance(begun, JobResult):
                # To leave the scope would cost a third of a retry, and nothing is awaited here.
                if not workers.conclusion.conclude_at_once(delivery, begun):
                    return begun
                now = monotonic()
            elif begun is not None:
                return self._waited(delivery, await self._began(begun, now), now)
            self.current = None
            self.is_first = False
            before, now = now, monotonic()
            if now - pace.began > BUDGET:
                on_time_until = await self._breathe(scope, delivery, now - before)
                if scope.cancel_called:
                    return None
                now = monotonic()
            if waiting and not (
                self.called or scheduler.waiters or scheduler.alone or workers.excess
            ):
                delivery = waiting.popleft()  # most of the time; the call costs 2 % of an event
            elif (delivery := workers.next_for(self)) is None:
                delivery = await self._park_in(scope)
                # The deadline is set with the next job, as that of a redelivery is set later.
                now, on_time_until = monotonic(), -math.inf
        return None

    def _began(
        self, begun: Coroutine[Any, Any, JobResult], now: float
    ) -> Coroutine[Any, Any, JobResult]:
        """A job waits for the first time; gives what is left of it."""
        if self._workers.jobs.runs_here:
            self._workers.jobs.stepped(monotonic() - now)
        return begun

    def _waited(self, delivery: Delivery, result: JobResult, began: float) -> JobResult:
        """A job that had to wait has ended; gives its result."""
        took, workers = monotonic() - began, self._workers
        workers.jobs.say_if_late(delivery, result, took)
        if workers.auto is not None and result.outcome is Outcome.RETURNED:
            workers.took(took)  # what fails may fail soon, and says nothing
        return result

    async def _breathe(self, scope: Scope, last: Delivery, took: float) -> float:
        """Let others run between two jobs; gives what `_be_on_time` does."""
        jobs = self._workers.jobs
        jobs.stepped(took)
        # No `job_timeout` is shorter than the budget, so a job that took too long comes here.
        if took > min(self._workers.actor.job_timeout, BLOCKING):
            jobs.say_took(last, took)
        # A handler that blocked may have used up the deadline, and nothing runs now.
        self._spare(scope)
        await self._workers.pace.breathe()
        return self._be_on_time(scope)

    def _be_on_time(self, scope: Scope) -> float:
        """Have the next jobs end in time; gives until when they may begin (`time.monotonic`).

        Handlers that never wait share one deadline, for as long as it is not too early for the
        next of them, and at most 50 ms and 2 % of `job_timeout` too late. To set one for each batch
        of them takes 5 % of an event on trio.
        """
        timeout = self._workers.actor.job_timeout
        late = min(LATE, timeout / 50)
        ends = self._workers.clock() + timeout
        if not ends <= scope.deadline <= ends + late:
            # asyncio keeps the context in which a deadline was set, even when that is called off.
            current_job.set(None)
            scope.deadline = ends + late
        return monotonic() + (scope.deadline - ends)

    def _spare(self, scope: Scope) -> None:
        """Nothing runs in the scope for a while: its deadline is not to pass too soon."""
        if scope.deadline - self._workers.clock() < SPARE:
            current_job.set(None)  # as in `_be_on_time`
            scope.deadline = math.inf

    async def _look_up(self, delivery: Delivery, scope: Scope) -> JobResult | None:
        """Find out which attempt it is. Not None: it is not to be run."""
        scope.deadline = math.inf
        current_job.set(None)  # as in `_be_on_time`
        if delivery.ends is not None:
            return JobResult(delivery.ends)  # cancelled while it waited for this worker
        workers = self._workers
        workers.suspending()
        # One that has waited for its turn to run alone is known.
        if not delivery.alone and (result := await self._find_out(delivery)) is not None:
            return result
        if delivery.ends is not None:
            return JobResult(delivery.ends)  # cancelled meanwhile
        if delivery.alone and not await self._begin_alone(delivery):
            self.current = None
            workers.put_off(delivery)
        elif delivery.attempt > 1:
            workers.counts.retried += 1
        return None

    async def _find_out(self, delivery: Delivery) -> JobResult | None:
        """What `_look_up` does with one that this process knows nothing of."""
        workers = self._workers
        workers.counts.redelivered += 1
        if not workers.attempts.knows(delivery):
            workers.redelivered(delivery)
        standing = await workers.attempts.look_up(delivery)
        if standing is Standing.SUPERSEDED:
            return JobResult(Outcome.SUPERSEDED)
        if standing is Standing.EARLY:
            early_by = workers.attempts.postponing.early_by(delivery)
            return JobResult(Outcome.EARLY, Snooze(max(early_by, MIN_SNOOZE)))
        if standing is Standing.USED_UP:
            return _used_up(delivery, workers.actor.max_attempts)
        return None

    async def _begin_alone(self, delivery: Delivery) -> bool:
        """Wait until nothing else runs, and leave a note that this one does."""
        workers = self._workers
        if not await workers.scheduler.begin_alone(self, QUIET_WITHIN):
            return False
        if not await workers.attempts.begin_alone(delivery):
            workers.scheduler.end_alone(self)
        if delivery.ends is not None:
            workers.scheduler.end_alone(self)
            return False  # cancelled meanwhile
        return True

    async def _park_in(self, scope: Scope) -> Delivery | None:
        self._spare(scope)
        while await self._park():
            if scope.cancel_called:
                return None  # it is run in another scope
            if (delivery := self._workers.next_for(self)) is not None:
                return delivery
        return None

    async def _park(self) -> bool:
        if not self._workers.park(self):
            return False
        current_job.set(None)  # or a worker that has nothing to do would keep it alive
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
