"""The workers of one actor, and the deliveries that wait for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, Literal, Protocol, cast

import anyio

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.run._auto_limit import AutoLimit
from walnats_anyio._actors.run._job import Jobs
from walnats_anyio._actors.run._pace import Pace
from walnats_anyio._actors.run._scheduler import Scheduler
from walnats_anyio._actors.run._worker import Worker
from walnats_anyio._actors.settle import (
    Attempts,
    Conclusion,
    Counts,
    Delivery,
    Outcome,
    Policy,
    decide,
)
from walnats_anyio._link import Backend, ParkingSpot

KEEP_PARKED = 1024
"""Workers that wait for their next delivery instead of ending; to wake one costs a fifth of a new
one."""


class Waiting(Protocol):
    """Deliveries that no worker has taken; true while a worker can take one."""

    def __len__(self) -> int: ...

    def append(self, delivery: Delivery, /) -> None:
        """Have a delivery wait."""
        ...

    def popleft(self) -> Delivery:
        """Take what is to be handled next."""
        ...

    def __contains__(self, delivery: object, /) -> bool: ...

    def remove(self, delivery: Delivery, /) -> None:
        """Take out one that waits."""
        ...


class Workers:
    """Has deliveries handled; the scheduler says when."""

    _turn_before = 0
    """The turn of what ran alone in the last round of the clock; see `Scheduler.turns`."""

    def __init__(
        self,
        actor: Actor[Any, Any],
        scheduler: Scheduler,
        *,
        limit: int,
        auto: AutoLimit | None,
        resized: Callable[[int], None],
        pace: Pace,
        attempts: Attempts,
        counts: Counts,
        backend: Backend,
        spawn: Callable[[Worker], None],
        redelivered: Callable[[Delivery], None],
        interrupted: Callable[[], None],
    ) -> None:
        self.actor = actor
        self.limiter = anyio.CapacityLimiter(limit)
        self.auto = auto
        """Finds the limit, where nobody has said it."""
        self.paused = False
        """Whether nothing is to be started, for a while."""
        self.excess = False
        """Whether more jobs run than may, as the limit is lower than it was."""
        self._resized = resized
        """Told of a new limit."""
        self.priority_offset = actor.priority.value
        self.waiting_since = 0.0
        self.waiting: Waiting = deque[Delivery]()
        """Deliveries that no worker has taken."""
        self.pace = pace
        self.attempts = attempts
        self.counts = counts
        self.backend = backend
        self.clock = backend.clock
        self.scheduler = scheduler
        self.redelivered = redelivered
        """Told of a delivery whose event was delivered before."""
        self.interrupted = interrupted
        """Told that a worker was cut short, as `listen` is."""
        self.jobs: Jobs
        self.conclusion: Conclusion
        self.pause: Callable[[], None]
        """Take no events for a while."""
        self.resume: Callable[[], None]
        """Take events again."""
        self._spawn = spawn
        self.all: set[Worker] = set()
        """Those that have not ended."""
        self.isolated = False
        """Whether workers are to run their jobs in tasks of their own; see `Worker`."""
        self._staying: list[ParkingSpot] | None = []
        """Where spoilt tasks wait; None when they need not."""
        self._parked: list[Worker] = []
        self._called = 0
        self._stopped = False

    def put(self, delivery: Delivery) -> None:
        """Have a delivery handled."""
        self.waiting.append(delivery)
        if not self._called:
            self.scheduler.call(self)

    def stop(self) -> None:
        """Start nothing more, and hand back what waits."""
        self._stopped = True
        self.scheduler.withdraw(self)
        self.hand_back_waiting(Outcome.STOPPED)

    def limit_to(self, jobs: int) -> None:
        """Have so many jobs run at once from now on; those beyond it end first."""
        self.limiter.total_tokens = jobs
        self.excess = self.limiter.available_tokens < 0
        self._resized(jobs)
        while self.waiting and self.scheduler.call(self):
            pass

    def took(self, seconds: float) -> None:
        """A job that had to wait took so long: perhaps more of them, or fewer, should run."""
        auto = self.auto
        if auto is not None and auto.finished(
            seconds, int(self.limiter.borrowed_tokens), monotonic()
        ):
            self.limit_to(auto.limit)

    def clear(self) -> None:
        """See `Waiter`."""
        self.pause()
        for delivery in list(self._drain()):
            if delivery.alone:
                self._line_up(delivery)
            else:
                self.hand_back(delivery, Outcome.REFUSED)

    def put_off(self, delivery: Delivery) -> None:
        """Have a delivery that is to run alone wait for its turn, or come again in a while.

        To be held when the process dies counts as no death of it, and there may be many: those that
        a connection lost two times in a row. Of those that are handed back one a second was run.
        """
        nobody_before = self.scheduler.alone is None
        if nobody_before or delivery.ends is not None or self._stopped or self.paused:
            self.hand_back(delivery, Outcome.REFUSED)
        else:
            self._line_up(delivery.deliveries.renew(delivery))

    def _line_up(self, delivery: Delivery) -> None:
        self.waiting.append(delivery)
        self.scheduler.line_up(self)

    def tick(self) -> None:
        """Called in each round of the clock: hand back what waits for one that takes too long."""
        before, self._turn_before = self._turn_before, self.scheduler.turns
        if self.scheduler.alone is not None and before == self._turn_before and self.waiting:
            self.hand_back_waiting(Outcome.REFUSED)
            self.scheduler.withdraw(self)

    def hand_back_waiting(self, outcome: Outcome) -> None:
        """Hand back what no worker has taken."""
        for delivery in self._drain():
            self.hand_back(delivery, outcome)

    def _drain(self) -> Iterator[Delivery]:
        """Take out what no worker has taken."""
        while self.waiting:
            yield self.waiting.popleft()

    def hand_back_expired(self, tick: int) -> None:
        """Hand back what has waited since a round of the clock, or for longer."""
        waiting = cast("deque[Delivery]", self.waiting)
        while waiting and waiting[0].tick <= tick:
            self.hand_back(waiting.popleft(), Outcome.EXPIRED)
            if not waiting:
                self.scheduler.withdraw(self)

    def hand_back(self, delivery: Delivery, outcome: Outcome) -> None:
        """Hand back a delivery, unless it is settled."""
        if delivery.ends is Outcome.CANCELLED:
            outcome = Outcome.CANCELLED
        verdict = decide(outcome, policy=Policy())
        if delivery.settled is None:
            delivery.settle(verdict)  # type: ignore[arg-type]  # no such outcome makes a letter

    def hand_back_unstarted(self, delivery: Delivery, outcome: Outcome) -> bool:
        """Hand back a delivery that no worker has taken; False: it does not wait here."""
        if delivery not in self.waiting:
            return False
        self.waiting.remove(delivery)
        self.hand_back(delivery, outcome)
        if not self.waiting:
            self.scheduler.withdraw(self)
        return True

    def cancel(self, delivery: Delivery) -> Literal["waiting", "running"]:
        """Cancel a delivery that is held: whoever runs it ends, and nobody begins it.

        Never blocks: a handler still cleans up, and settles it after that.

        Returns:
            What it was doing: "waiting" or "running".
        """
        delivery.ends = Outcome.CANCELLED
        if self.hand_back_unstarted(delivery, Outcome.CANCELLED):
            return "waiting"
        for worker in self.all:
            if worker.current is delivery and (worker.cancel() or worker.is_concluding):
                return "running"
        # It is on its way to a worker, which looks at those that were delivered before.
        delivery.redelivered = True
        return "waiting"

    # the scheduler

    def call_worker(self) -> Worker:
        """A worker to run the next delivery, parked or new; see `Scheduler.call`."""
        self._called += 1
        delivery = self.waiting.popleft() if self.waiting else None
        if self._parked:
            worker = self._parked.pop()
            worker.wake(delivery)
            return worker
        worker = Worker(self, delivery)
        self.all.add(worker)
        self._spawn(worker)
        return worker

    def suspending(self) -> None:
        """A handler waits for something: let others start, two of them so that soon all do."""
        if self.waiting and self.scheduler.call(self) and self.waiting:
            self.scheduler.call(self)

    # workers

    def next_for(self, worker: Worker) -> Delivery | None:
        """The next delivery for a worker; None: it has given its tokens back."""
        if worker.called:
            worker.called = False
            self._called -= 1
            if worker.current is not None:
                return worker.current
        if self.waiting and not (self.excess or self.scheduler.must_yield(self)):
            return self.waiting.popleft()
        self.release(worker)
        self.suspending()
        return None

    def release(self, worker: Worker) -> None:
        """A worker has nothing to run, or gives way: its tokens go to others."""
        worker.active = False
        if worker.called:
            # It ended before it came to the delivery that it was called for.
            worker.called = False
            self._called -= 1
        self.scheduler.release(self, worker)
        self.excess = self.excess and self.limiter.available_tokens < 0

    def move(self, worker: Worker) -> None:
        """Have a worker settle what it has in another task, as its own is not fit for it."""
        self.isolated = True
        self._spawn(worker)

    async def stay(self) -> None:
        """Keep a spoilt task until `let_go`: its end is an error, which would end all workers."""
        spot = self.backend.new_spot()
        if self._staying is not None:
            self._staying.append(spot)
        while not self._are_over:
            try:
                await spot.wait_on()
            except anyio.get_cancelled_exc_class():
                # By the handler that has spoilt it (asyncio only); no scope can.
                self.backend.forget_cancellation()

    @property
    def _are_over(self) -> bool:
        return self._staying is None

    def let_go(self) -> None:
        """Let spoilt tasks end, as all workers end now; see `worker_tasks`."""
        staying, self._staying = self._staying or [], None
        for spot in staying:
            spot.wake()

    def park(self, worker: Worker) -> bool:
        """Keep a worker for later; False when there are enough."""
        if len(self._parked) >= KEEP_PARKED or self._stopped:
            return False
        self._parked.append(worker)
        return True

    def unpark(self, worker: Worker) -> None:
        """A parked worker ends."""
        if worker in self._parked:
            self._parked.remove(worker)
