"""One run of `listen`: the tasks of all its actors, from the first request to the last ack."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import checkpoint

from walnats_anyio._actors._actor_run import ActorRun
from walnats_anyio._actors._cancels import Cancels
from walnats_anyio._actors._consumers import check_again
from walnats_anyio._actors._controls import Controls
from walnats_anyio._actors._lifespan import LifespanRun
from walnats_anyio._actors._pausing import prolong_pause
from walnats_anyio._actors._statistics import ListenStatistics
from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.pull import Options, Polls, RequestBudget
from walnats_anyio._actors.pull._consumer_rules import Terms
from walnats_anyio._actors.run import Executors, Pace, Scheduler, Worker, worker_tasks
from walnats_anyio._actors.settle import Callers, Ended, Summary
from walnats_anyio._events import HeldEmitter
from walnats_anyio._link import (
    ConnectionLostError,
    ConsumerConfigError,
    Link,
    ServerError,
    WalnatsError,
    failures_of,
    one_or_group,
)

logger = logging.getLogger("walnats_anyio.actors")

CLOSE_WITHIN = 2.0
"""Seconds that the last words to the server may take; clean-up is shielded, so it is bounded."""

LOOK_EVERY = 45.0
"""Seconds between looks at each consumer, which others may change while it is listened to.

The clock of an idle actor may sleep for 10 s, and what has changed is to be known within a minute.
"""

CUT_SHORT = (
    "listening was cut short, as one of its tasks was cancelled by somebody else: does a handler "
    "cancel tasks that it has not started, such as those of asyncio.all_tasks()?"
)
"""An end that nobody asked for is none that a service manager may take for a success."""

LAG_SHOWS_AFTER = 0.05
"""Seconds until the clock looks how late it is, when the first event after a long time has come."""

LOOK_APART = 0.25
"""Seconds at least between two looks, on average: a look takes 0.3 ms of CPU, and with 1,000 actors
that are idle those of every minute would cost as much as all the rest."""


class Listening:
    """One run of `listen`.

    Two task groups, one inside of the other. The inner one has the workers. The outer one has the
    clock, which goes on until every delivery is settled: a job that cleans up after a cancellation
    still needs its pulse.
    """

    def __init__(
        self,
        link: Link,
        actors: Iterable[Actor[Any, Any]],
        *,
        options: Options,
        max_jobs: int,
        polls: Polls,
        executors: Executors,
        lifespan: LifespanRun,
        controls: Controls,
    ) -> None:
        self.link = link
        self._controls = controls
        self._tripped: list[ActorRun] = []
        """Actors that are to be paused in all processes, as most of their jobs fail."""
        self.lifespan = lifespan
        self.options = options
        self.polls = polls
        self.executors = executors
        self.emitter = HeldEmitter(link)
        self.callers = Callers(link)
        self.budget = RequestBudget(max_jobs)
        self.scheduler = Scheduler(max_jobs, self.changed)
        self.pace = Pace(link.new_spot)
        self.ended = Ended.CANCELLED
        """Why it ended; cancelled until something else is known."""
        self.over = anyio.Event()
        """Set when all of it is over."""
        self._changed = anyio.Event()
        self._look_now = anyio.Event()
        self._stopping = False
        self._starting: anyio.CancelScope | None = None
        self._failure: Exception | None = None
        self._lag = self._longest_lag = 0.0
        self._asleep = False
        """Whether the clock waits for longer than a round, as nothing is held."""
        self._called = False
        """Whether an event has woken it up."""
        self._came_at = math.inf
        """When that event came; infinite where the clock has woken up since."""
        self._now = link.backend.clock
        self._began = link.now()
        self._workers: TaskGroup
        self._clock = anyio.CancelScope(shield=True)
        actors = list(actors)
        self.runs = [
            ActorRun(actor, self, [other for other in actors if other is not actor])
            for actor in actors
        ]
        self.scheduler.members = [run.workers for run in self.runs]
        self.cancels = Cancels(link, self.runs, self.callers)

    def work_with(self, terms: Mapping[tuple[str, str], Terms]) -> None:
        """Take what the server has for each consumer; before `run`."""
        for run in self.runs:
            run.consumer.doubts.terms = terms[run.actor.event.name, run.actor.name]

    def keep_state(self, state: Any) -> None:
        """Keep what the lifespan yielded, for the contexts of the jobs."""
        for run in self.runs:
            run.deliveries.state = state

    async def run(self, shutdown_timeout: float | None, task_status: TaskStatus[None]) -> None:
        """Listen until stopped, until the burst is over, or until something breaks.

        Raises:
            BaseException: what broke: one error as itself, several as a group.
        """
        self.raise_failure()
        if self._stopping:
            self.ended = Ended.SHUTDOWN
            task_status.started()
            return
        try:
            async with anyio.create_task_group() as tasks:
                start = self.link.backend.start
                start(tasks, self._keep_time, tasks, name="walnats/clock")
                start(tasks, self.pace.let_go_on, name="walnats/pace")
                start(tasks, self.cancels.run, name="walnats/cancels")
                try:
                    await self._work(shutdown_timeout, task_status)
                finally:
                    await self._close()
                # The server may not have taken the last acknowledgements.
                self.raise_failure()
                if self.ended is Ended.CANCELLED:
                    await checkpoint()  # a cancellation from outside may have been swallowed
                    raise WalnatsError(CUT_SHORT)
        except BaseExceptionGroup as group:
            failures = failures_of(group)
            if not failures:
                raise
            raise one_or_group("listening failed", failures) from None

    async def _work(self, shutdown_timeout: float | None, task_status: TaskStatus[None]) -> None:
        async with worker_tasks() as workers:
            self._workers = workers
            try:
                # Before the first event: its caller may leave at once.
                self.cancels.start()
                with self.starting():
                    await self._ask_time()
                self._controls.apply(self.runs, anyio.current_time())
                for run in self.runs:
                    run.consumer.start()
                    if run.clock is not None:
                        keep_time = self.link.backend.uninterrupted(run.clock)
                        workers.start_soon(keep_time, name="walnats/batches")
                with self.starting():
                    await self.link.flush()
                self.raise_failure()
                task_status.started()
                await self._until_over()
                await self._drain(shutdown_timeout)
            finally:
                # At once: what comes while the workers end could not be given to any.
                self.stop_all()
                for run in self.runs:
                    run.workers.let_go()
            workers.cancel_scope.cancel()

    @contextmanager
    def starting(self) -> Iterator[None]:
        """What waits for the server before the first event; `stop` cuts it short.

        Where the server does not answer it would take 5 seconds, and fail.
        """
        try:
            with anyio.CancelScope() as self._starting:
                if self._stopping:
                    self._starting.cancel()
                yield
        finally:
            self._starting = None

    def stop(self) -> None:
        """Take no more events and end when the running jobs have."""
        self._stopping = True
        if self._starting is not None:
            self._starting.cancel()
        self.lifespan.stop()
        self._changed.set()

    def summary(self) -> Summary:
        """What has been done so far."""
        actors = tuple(run.summary() for run in self.runs)
        if self.lifespan.cut_short:
            self.ended = Ended.SHUTDOWN_TIMEOUT
        return Summary(self.link.now() - self._began, actors, self.ended)

    def statistics(self) -> ListenStatistics:
        """What is being done, and was done so far. Never blocks."""
        limiter = self.scheduler.limiter
        return ListenStatistics(
            connection=self.link.statistics(),
            listening=True,
            seconds=self.link.now() - self._began,
            slots=self.budget.total,
            running=limiter.borrowed_tokens,
            loop_lag=self._lag,
            longest_loop_lag=self._longest_lag,
            actors=tuple(run.statistics() for run in self.runs),
        )

    def total(self) -> ListenStatistics:
        """What was done, when it is over."""
        return ListenStatistics(
            connection=self.link.statistics(),
            listening=False,
            seconds=self.link.now() - self._began,
            slots=0,
            running=0,
            longest_loop_lag=self._longest_lag,
            actors=tuple(run.total() for run in self.runs),
        )

    def release(self) -> None:
        """Let go of what refers to one another, so that all is freed without the garbage collector.

        The parts call each other, so they hold each other's methods.
        """
        for run in self.runs:
            run.release()
        for part in (self.cancels, self.callers, self.scheduler, self):
            vars(part).clear()

    # what its parts call

    def stop_all(self) -> None:
        """Take no more events, and hand back those that have not been started."""
        for run in self.runs:
            run.stop()

    def spawn(self, worker: Worker) -> None:
        """Start a worker."""
        run = self.link.backend.uninterrupted(worker.run)
        self._workers.start_soon(run, name="walnats/worker")

    def start(self, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a task that ends with the workers."""
        self._workers.start_soon(self.link.backend.uninterrupted(task), name="walnats/due")

    def changed(self) -> None:
        """A reason to end may be there."""
        # Elsewhere it is called whenever no job runs, four times in 1,000 events of a backlog, and
        # to have `listen` look each time takes 1 % of them on trio.
        if self._stopping or self.options.burst:
            self._changed.set()

    def failed(self, error: Exception) -> None:
        """Something broke."""
        if self._failure is None:
            self._failure = error
        self.lifespan.cut()
        self._changed.set()

    def controlled(self) -> None:
        """Something was asked of the actors: do it, and have the clock know of it."""
        self._controls.apply(self.runs, anyio.current_time())
        self._look_now.set()

    def tripped(self, run: ActorRun) -> None:
        """Most jobs of an actor fail: pause it here at once, and soon in all processes."""
        ratio = run.actor.pause_on_failures
        assert ratio is not None
        logger.error(
            "actor %r: of its last jobs, at least %d within %g s, %.0f %% or more have failed: it "
            "is paused for %g s",
            run.actor.name, ratio.jobs, ratio.within, ratio.failed * 100, ratio.pause,
            extra={"actor": run.actor.name, "event": run.actor.event.name},
        )  # fmt: skip
        self._controls.prolong(run.actor, anyio.current_time() + ratio.pause)
        self._tripped.append(run)
        self.controlled()

    def look_now(self) -> None:
        """An actor doubts its consumer: have the clock look at once."""
        self._look_now.set()

    # the clock

    async def _keep_time(self, tasks: TaskGroup) -> None:
        """Pulses for what is held, and looks for a silent server: one clock for all actors.

        A task for each actor would wake up 400 times a second for 1,000 actors that are idle. It
        counts the server's time, which a mock clock does not change.
        """
        now = self.link.now()
        ticked = dict.fromkeys(self.runs, now)
        look_every = max(LOOK_EVERY, len(self.runs) * LOOK_APART)
        # One after the other, rather than all at once.
        looked = {run: now - number * LOOK_APART for number, run in enumerate(self.runs)}
        with self._clock:
            while True:
                until_end = self._controls.next_end() - anyio.current_time()
                with anyio.move_on_after(min(until_end, self._until_round())) as pause:
                    await self._look_now.wait()
                    self._look_now = anyio.Event()
                if self._asleep:
                    self._wake_up()
                # What handles the first event may run, and block, before this task does.
                self._note_lag(min(pause.deadline, self._came_at))
                self._came_at = math.inf
                now = self.link.now()
                if self._controls.next_end() <= anyio.current_time():
                    self._controls.apply(self.runs, anyio.current_time())
                while self._tripped:
                    pausing = self.link.backend.uninterrupted(self._pause_everywhere)
                    tasks.start_soon(pausing, self._tripped.pop(), name="walnats/pause")
                for run in self.runs:
                    doubts = run.consumer.doubts
                    # Rather a little early than a whole round late.
                    if now >= ticked[run] + run.period * 0.9:
                        run.tick(now - ticked[run])
                        ticked[run] = now
                    if doubts.look or now >= looked[run] + look_every:
                        looked[run] = now
                        look = self.link.backend.uninterrupted(self._look_after)
                        tasks.start_soon(look, run, name="walnats/look")

    def _until_round(self) -> float:
        """Seconds until the next round of the clock.

        An idle listen is most of all the rounds of its clock, so there are few where nothing is
        held. The first event that comes has the clock begin with its rounds.
        """
        periods = min(run.period for run in self.runs)
        if self._called:
            # The handler of that event may block the loop for less than a round.
            self._called = False
            return min(periods, LAG_SHOWS_AFTER)
        idle = min(run.may_sleep() for run in self.runs)
        if idle <= periods:
            return periods
        self._asleep = True
        for run in self.runs:
            run.consumer.call_at_next(self._event_came)
        return idle

    def _event_came(self) -> None:
        """The first event since the clock has gone to sleep."""
        self._called = True
        self._came_at = self._now()
        self._look_now.set()

    def _wake_up(self) -> None:
        self._asleep = False
        for run in self.runs:
            run.consumer.call_no_more()

    def _note_lag(self, due: float) -> None:
        """The clock has woken up, and was to do so at this time at the latest."""
        self._lag = max(0.0, anyio.current_time() - due)
        self._longest_lag = max(self._lag, self._longest_lag)

    async def _pause_everywhere(self, run: ActorRun) -> None:
        actor, ratio = run.on_server, run.actor.pause_on_failures
        assert ratio is not None
        event = actor.event
        try:
            await prolong_pause(
                self.link,
                event.stream_name,
                actor.consumer_name,
                ratio.pause,
                replicas=event.replicas,
            )
        except WalnatsError as error:
            logger.warning("actor %r: it is paused in this process only: %s", run.actor.name, error)

    async def _look_after(self, run: ActorRun) -> None:
        """End `listen` when a consumer is gone, or is not what it was; take its new terms."""
        doubts = run.consumer.doubts
        in_doubt, doubts.look = doubts.look, False
        try:
            doubts.looked(await check_again(self.link, run.on_server, doubts.terms))
        except ConsumerConfigError as error:
            self.failed(error)
        except ServerError:
            doubts.look = in_doubt  # nobody answers at all: ask again
        except ConnectionLostError:
            return  # each actor hears of that from the link
        else:
            if not run.consumer.stopped:
                run.consumer.apply_terms()
            await run.workers.attempts.postponing.look_after()

    # the end

    async def _ask_time(self) -> None:
        """Ask the server what time it is, where somebody is answered."""
        for run in self.runs:
            if run.callers is not None:
                actor = run.on_server
                await self.callers.ask_time(actor.event.stream_name, actor.consumer_name)
                return

    async def _until_over(self) -> None:
        while not self._stopping:
            self.raise_failure()
            if self._burst_is_over():
                self.ended = Ended.BURST
                return
            await self._change()
        self.raise_failure()

    async def _drain(self, shutdown_timeout: float | None) -> None:
        """Let running jobs finish; those that do not in time are cancelled by the caller."""
        self.stop_all()
        with anyio.move_on_after(shutdown_timeout) as scope:
            while not self.scheduler.idle:
                await self._change()
                self.raise_failure()
        if self.ended is not Ended.BURST:
            self.ended = Ended.SHUTDOWN_TIMEOUT if scope.cancelled_caught else Ended.SHUTDOWN

    async def _change(self) -> None:
        await self._changed.wait()
        self._changed = anyio.Event()

    def _burst_is_over(self) -> bool:
        return self.scheduler.idle and all(run.is_over for run in self.runs)

    def raise_failure(self) -> None:
        """Raise what broke, if something did."""
        if self._failure is not None:
            raise self._failure

    async def _close(self) -> None:
        """Stop the server's deliveries, hand back what still comes, and say the last words."""
        try:
            with anyio.move_on_after(CLOSE_WITHIN, shield=True):
                for run in self.runs:
                    run.stop()
                    run.hand_back_all()
                await self.link.flush(CLOSE_WITHIN)
        except WalnatsError as error:
            if not isinstance(error, ServerError) and self.link.closed is None:
                raise
        finally:
            # Also when asyncio cancels it natively, which no shield keeps off.
            for run in self.runs:
                run.consumer.close()
            self._clock.cancel()
            self.pace.stop()
            self.cancels.stop()
