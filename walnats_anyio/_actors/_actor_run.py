"""One actor in a run of `listen`: what asks for its events, what runs them, what settles them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from walnats_anyio._actors._statistics import ActorStatistics
from walnats_anyio._actors.declare._actor import Actor, on_server
from walnats_anyio._actors.declare._choices import ExecuteIn
from walnats_anyio._actors.pull import (
    PENDING_BYTES,
    PullConsumer,
    RequestBudget,
    Share,
    period_of,
)
from walnats_anyio._actors.run import AutoLimit, BatchJobs, BatchWorkers, Jobs, Workers
from walnats_anyio._actors.settle import (
    ActorSummary,
    Attempts,
    BatchConclusion,
    Breaker,
    Conclusion,
    Counts,
    Deliveries,
    Delivery,
    Hooks,
    Outcome,
)
from walnats_anyio._actors.settle._reports import report_blocked
from walnats_anyio._events import as_answered

if TYPE_CHECKING:
    from walnats_anyio._actors._listen import Listening

logger = logging.getLogger("walnats_anyio.actors")

UNSTARTED_ROUNDS = 2
"""Rounds of the clock that a delivery without pulse waits; each is a quarter of `ack_wait`."""


class ActorRun:
    """Wires the parts of one actor together."""

    def __init__(
        self, actor: Actor[Any, Any], host: Listening, others: list[Actor[Any, Any]]
    ) -> None:
        self.actor = actor
        self.on_server = on_server(actor, host.link.prefixes)
        """The same actor, with the names that it has on the server."""
        self.counts = Counts()
        self.paused = False
        """Whether it takes no events for a while."""
        self.asked_limit: int | None = None
        """Jobs at once that a program has asked for, in place of those that are declared."""
        self._said_blocked = False
        self._total = host.budget.total
        self._said_capped = False
        self._auto, self._slots = _limit_of(actor, self._total)
        self._link = link = host.link
        attempts = Attempts(self.on_server, link)
        self.deliveries = Deliveries(actor, link, attempts, self.counts, host.emitter)
        self.clock: Callable[[], Coroutine[Any, Any, None]] | None = None
        """A task of its own, for as long as the workers run; None where there is none."""
        self.workers = workers = self._new_workers(host, attempts)
        ratio = actor.pause_on_failures
        self.breaker = None if ratio is None else Breaker(ratio, monotonic())
        """Notices that most jobs fail."""
        self._have_run(host, attempts)
        self._tripped = host.tripped
        self._changed = host.changed
        self.consumer = self._pull_consumer(host, attempts, others)
        workers.pause = self.consumer.hold_up
        workers.resume = self.consumer.resume
        self.consumer.hand_back = workers.hand_back_unstarted

    def _have_run(self, host: Listening, attempts: Attempts) -> None:
        """Give the workers what runs and concludes their jobs."""
        actor, workers, link = self.actor, self.workers, self._link
        hooks = Hooks(actor, workers.suspending)
        self.callers = None if as_answered(actor.event) is None else host.callers
        """Those that it answers; None: it answers nobody."""
        parts = (actor, host.executors, hooks, link.backend, workers.suspending, host.pace)
        ending = (self.on_server, link, self.deliveries, hooks)
        options: dict[str, Any] = {
            "burst": host.options.burst,
            "postponing": attempts.postponing,
            "failed": None if self.breaker is None else self._failed,
        }
        if isinstance(workers, BatchWorkers):
            alone = workers.put_alone
            workers.jobs = BatchJobs(
                *parts, handle_alone=alone, handle_together=workers.put_together
            )
            workers.conclusion = BatchConclusion(*ending, **options, handle_alone=alone)
            self.clock = workers.keep_time
        else:
            workers.jobs = Jobs(*parts, self.callers)
            workers.conclusion = Conclusion(*ending, **options, callers=self.callers)

    def _new_workers(self, host: Listening, attempts: Attempts) -> Workers:
        make: Callable[..., Workers] = Workers
        if self.actor.batch is not None:
            make = partial(BatchWorkers, self.actor.batch)
        return make(
            self.actor,
            host.scheduler,
            limit=self._slots,
            auto=self._auto,
            resized=self._resized,
            pace=host.pace,
            attempts=attempts,
            counts=self.counts,
            backend=self._link.backend,
            spawn=host.spawn,
            redelivered=self._redelivered,
            interrupted=host.stop_all,
        )

    def _pull_consumer(
        self, host: Listening, attempts: Attempts, others: list[Actor[Any, Any]]
    ) -> PullConsumer:
        actor = self.actor
        ahead = any(other.priority.value > actor.priority.value for other in others)
        # What waits here would take the places of jobs that other processes could run.
        self._share = 2 if ahead and actor.max_jobs_total is None else 1
        in_threads = actor.execute_in is ExecuteIn.THREAD
        budget = host.budget
        share = Share(budget, alone=not others, ahead=ahead, eager=host.options.burst)
        changed = host.changed
        if actor.batch is not None:
            # A job takes many events, and the budget that actors share counts an event as a job.
            self._share = actor.batch.size
            budget = RequestBudget(self._slots * self._share)
            share = Share(budget, alone=True, eager=host.options.burst)
            changed = self._changed_in_batch
        return PullConsumer(
            self.on_server,
            self._link,
            host.options,
            deliveries=self.deliveries,
            attempts=attempts,
            budget=budget,
            share=share,
            polls=host.polls,
            # So that its events are here when a job ends, rather than one of lower priority.
            slots=self._slots * self._share,
            max_bytes=PENDING_BYTES // (len(others) + 1),
            put=self.workers.put,
            start=host.start,
            changed=changed,
            failed=host.failed,
            look=host.look_now,
            hung=partial(host.executors.hung, actor.execute_in) if in_threads else None,
        )

    def __repr__(self) -> str:
        return (
            f"<ActorRun {self.actor.name!r}: {len(self.workers.waiting)} waiting, "
            f"{self.workers.limiter.borrowed_tokens} running>"
        )

    @property
    def period(self) -> float:
        """Seconds between two rounds of its clock."""
        return period_of(self.consumer.doubts.terms)

    @property
    def is_over(self) -> bool:
        """Whether its burst is over, and nothing is left to do."""
        return self.consumer.finished and not self.deliveries.held

    def stop(self) -> None:
        """Take no more events, and hand back those that have not been started."""
        if not self.consumer.stopped:
            self.consumer.stop()
            self.workers.stop()

    def pause(self) -> None:
        """Take no events for a while, and hand back those that have not been started."""
        if not self.paused:
            self.paused = self.workers.paused = True
            self.consumer.pause()
            self.workers.hand_back_waiting(Outcome.STOPPED)
            self.workers.scheduler.withdraw(self.workers)
            self._changed()  # of a burst, this may have been the last actor with something to do

    def resume(self) -> None:
        """Take events again."""
        self.paused = self.workers.paused = False
        self.consumer.resume_from_pause()

    def cancel(self, delivery: Delivery) -> Literal["waiting", "running"]:
        """Cancel a delivery that is held; see `Workers.cancel`."""
        if self.consumer.cancel_early(delivery):
            return "waiting"
        return self.workers.cancel(delivery)

    def limit_to(self, max_jobs: int | None) -> None:
        """Have so many jobs run at once; None: what the declaration says."""
        self.asked_limit = max_jobs
        if max_jobs is None:
            self._auto, limit = _limit_of(self.actor, self._total)
        else:
            self._auto, limit = None, min(max_jobs, self._total)
        self.workers.auto = self._auto
        self.workers.limit_to(limit)

    def release(self) -> None:
        """Forget the parts, and have them forget each other; see `Listening.release`."""
        workers = self.workers
        for part in (workers.jobs, workers.conclusion, workers, self.consumer):
            vars(part).clear()
        self.deliveries.release()
        vars(self).clear()

    def hand_back_all(self) -> None:
        """Hand back every delivery that is not settled."""
        for delivery in list(self.deliveries.held):
            self.workers.hand_back(delivery, Outcome.STOPPED)

    def tick(self, seconds: float) -> None:
        """Prolong what is held, and notice a server that has fallen silent."""
        self.deliveries.tick += 1
        if not self.actor.pulse:
            self._hand_back_unstarted()
        elif self._link.connected:
            self.deliveries.pulse()
        self.consumer.tick(seconds)
        self.workers.tick()
        if self.breaker is not None:
            self.breaker.tick(self.counts.handled, monotonic())
        self._look_for_blocked()

    def may_sleep(self) -> float:
        """Seconds that the clock need not look at it, as long as no event comes; 0 for none."""
        if self.deliveries.held or self.breaker is not None:
            return 0.0
        return self.consumer.may_sleep(self.period)

    def summary(self) -> ActorSummary:
        """What was done so far."""
        return ActorSummary(*self._done())

    def statistics(self) -> ActorStatistics:
        """What is being done, and was done so far. Never blocks."""
        return ActorStatistics(
            *self._done(),
            redelivered=self.counts.redelivered,
            retried=self.counts.retried,
            slots=self._slots,
            running=self.workers.limiter.borrowed_tokens,
            waiting=len(self.workers.waiting),
            requested=self.consumer.requested,
            parked=self.deliveries.parked,
            longest_step=self.workers.jobs.longest_step,
            paused=self.paused,
            auto=None if self._auto is None else self._auto.statistics(),
        )

    def total(self) -> ActorStatistics:
        """What was done, when nothing is being done any more."""
        return ActorStatistics(
            *self._done(),
            redelivered=self.counts.redelivered,
            retried=self.counts.retried,
            longest_step=self.workers.jobs.longest_step,
        )

    def _done(self) -> tuple[str, str, int, int, int, int, int, int]:
        counts = self.counts
        return (
            self.actor.name,
            self.actor.event.name,
            counts.handled,
            counts.failed,
            counts.dead_lettered,
            counts.handed_back,
            counts.cancelled,
            counts.postponed,
        )

    def _changed_in_batch(self) -> None:
        """A burst has no more events for the last batch, or a reason to end may be there."""
        over = self.consumer.finished and not self.paused
        if over and isinstance(self.workers, BatchWorkers):
            self.workers.finish()
        self._changed()

    def _resized(self, jobs: int) -> None:
        """The jobs that may run at once are others than before."""
        self._slots = jobs
        self.consumer.resize(jobs * self._share)
        if self._auto is not None and self._auto.capped:
            self._say_capped(self._auto)

    def _say_capped(self, auto: AutoLimit) -> None:
        """Say once that `max_jobs` of `listen` bounds what the actor would find by itself."""
        bounds = self.actor.auto
        if self._said_capped or bounds is None or bounds.most <= self._total:
            return
        self._said_capped = True
        logger.info(
            "actor %r: with max_jobs=%r it would run more than the %d jobs at once that "
            "listen(max_jobs=%d) allows; now a job takes %.3g s",
            self.actor.name, self.actor.max_jobs, self._total, self._total,
            auto.statistics().time,
        )  # fmt: skip

    def _failed(self) -> None:
        """A job has failed: pause if most do."""
        breaker = self.breaker
        if breaker is not None and breaker.failure(self.counts.handled, monotonic()):
            self._tripped(self)

    def _redelivered(self, delivery: Delivery) -> None:
        self.consumer.doubts.came_again(delivery, self.deliveries.held)

    def _look_for_blocked(self) -> None:
        """Say once that delayed retries take all of `max_ack_pending`, so that nothing comes."""
        if self._said_blocked:
            return
        parked = self.deliveries.parked
        if parked and parked + len(self.deliveries.held) >= self.actor.most_pending:
            self._said_blocked = True
            report_blocked(self.actor, parked)

    def _hand_back_unstarted(self) -> None:
        """Hand back what waits for a worker while its `ack_wait` runs out."""
        self.workers.hand_back_expired(self.deliveries.tick - UNSTARTED_ROUNDS)


def _limit_of(actor: Actor[Any, Any], total: int) -> tuple[AutoLimit | None, int]:
    """What finds the jobs of an actor that may run at once, if something does; and how many may."""
    if isinstance(actor.max_jobs, int):
        return None, min(actor.max_jobs, total, actor.most_pending)
    bounds = actor.auto
    assert bounds is not None
    auto = AutoLimit(bounds, min(total, actor.most_pending), monotonic())
    return auto, auto.limit
