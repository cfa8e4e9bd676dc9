"""One actor in a run of `listen`: what asks for its events, what runs them, what settles them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

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
from walnats_anyio._actors.run import BatchJobs, BatchWorkers, Jobs, Workers
from walnats_anyio._actors.settle import (
    ActorSummary,
    Attempts,
    BatchConclusion,
    Conclusion,
    Counts,
    Deliveries,
    Delivery,
    Hooks,
    Outcome,
)
from walnats_anyio._actors.settle._reports import report_blocked

if TYPE_CHECKING:
    from walnats_anyio._actors._listen import Listening

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
        self._said_blocked = False
        self._slots = min(actor.max_jobs, host.budget.total)
        self._link = link = host.link
        attempts = Attempts(self.on_server, link)
        self.deliveries = Deliveries(actor, link, attempts, self.counts, host.emitter)
        self.clock: Callable[[], Coroutine[Any, Any, None]] | None = None
        """A task of its own, for as long as the workers run; None where there is none."""
        make: Callable[..., Workers] = Workers
        if actor.batch is not None:
            make = partial(BatchWorkers, actor.batch, link.backend)
        self.workers = workers = make(
            actor,
            host.scheduler,
            pace=host.pace,
            attempts=attempts,
            counts=self.counts,
            new_spot=link.new_spot,
            spawn=host.spawn,
            redelivered=self._redelivered,
            interrupted=host.stop_all,
        )
        self._have_run(host)
        self._changed = host.changed
        self.consumer = self._pull_consumer(host, attempts, others)
        workers.pause = self.consumer.hold_up
        workers.resume = self.consumer.resume

    def _have_run(self, host: Listening) -> None:
        """Give the workers what runs and concludes their jobs."""
        actor, workers, link = self.actor, self.workers, self._link
        hooks = Hooks(actor, workers.suspending)
        parts = (actor, host.executors, hooks, link.backend, workers.suspending, host.pace)
        ending = (self.on_server, link, self.deliveries, hooks)
        burst = host.options.burst
        if isinstance(workers, BatchWorkers):
            alone = workers.put_alone
            workers.jobs = BatchJobs(
                *parts, handle_alone=alone, handle_together=workers.put_together
            )
            workers.conclusion = BatchConclusion(*ending, burst=burst, handle_alone=alone)
            self.clock = workers.keep_time
        else:
            workers.jobs = Jobs(*parts)
            workers.conclusion = Conclusion(*ending, burst=burst)

    def _pull_consumer(
        self, host: Listening, attempts: Attempts, others: list[Actor[Any, Any]]
    ) -> PullConsumer:
        actor = self.actor
        ahead = any(other.priority.value > actor.priority.value for other in others)
        in_threads = actor.execute_in is ExecuteIn.THREAD
        budget = host.budget
        share = Share(budget, alone=not others, ahead=ahead, eager=host.options.burst)
        # So that its events are here when a job ends, rather than one of lower priority.
        prefetch = self._slots if ahead else 0
        changed = host.changed
        if actor.batch is not None:
            # A job takes many events, and the budget that actors share counts an event as a job.
            slots = self._slots * actor.batch.size
            budget = RequestBudget(slots)
            share = Share(budget, alone=True, eager=host.options.burst)
            prefetch = slots - min(actor.max_jobs, slots)
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
            prefetch=prefetch,
            max_bytes=PENDING_BYTES // (len(others) + 1),
            put=self.workers.put,
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
        self._look_for_blocked()

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
        )

    def total(self) -> ActorStatistics:
        """What was done, when nothing is being done any more."""
        return ActorStatistics(
            *self._done(), redelivered=self.counts.redelivered, retried=self.counts.retried
        )

    def _done(self) -> tuple[str, str, int, int, int, int]:
        counts = self.counts
        return (
            self.actor.name,
            self.actor.event.name,
            counts.handled,
            counts.failed,
            counts.dead_lettered,
            counts.handed_back,
        )

    def _changed_in_batch(self) -> None:
        """A burst has no more events for the last batch, or a reason to end may be there."""
        if self.consumer.finished and isinstance(self.workers, BatchWorkers):
            self.workers.finish()
        self._changed()

    def _redelivered(self, delivery: Delivery) -> None:
        self.consumer.doubts.came_again(delivery, self.deliveries.held)

    def _look_for_blocked(self) -> None:
        """Say once that delayed retries take all of `max_ack_pending`, so that nothing comes."""
        if self._said_blocked:
            return
        parked = self.deliveries.parked
        if parked and parked + len(self.deliveries.held) >= self.actor.max_ack_pending:
            self._said_blocked = True
            report_blocked(self.actor, parked)

    def _hand_back_unstarted(self) -> None:
        """Hand back what waits for a worker while its `ack_wait` runs out."""
        self.workers.hand_back_expired(self.deliveries.tick - UNSTARTED_ROUNDS)
