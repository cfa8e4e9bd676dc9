"""The workers of an actor that handles batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import anyio

from walnats_anyio._actors.declare._choices import Batch
from walnats_anyio._actors.run._batch_queue import BatchQueue
from walnats_anyio._actors.run._worker import Worker
from walnats_anyio._actors.run._workers import Workers
from walnats_anyio._actors.settle import Delivery, Outcome


class BatchWorkers(Workers):
    """Has deliveries handled in batches, when a batch is ready."""

    def __init__(self, batch: Batch, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._spot = self.backend.new_spot()
        self._queue = BatchQueue(batch.size, batch.wait, self.clock, self._spot.wake)
        self.waiting = self._queue

    def put(self, delivery: Delivery) -> None:
        self._queue.append(delivery)
        self._call()

    def put_together(self, delivery: Delivery) -> None:
        """Have a delivery handled with others although it was delivered before."""
        if not self._refuse(delivery):
            delivery.redelivered = False
            self.put(delivery)

    def put_alone(self, delivery: Delivery) -> None:
        """Have a delivery handled alone."""
        if not self._refuse(delivery):
            self._queue.alone.append(delivery)
            self._call()

    def cancel(self, delivery: Delivery) -> Literal["waiting", "running"]:
        if delivery in self._queue or any(worker.current is delivery for worker in self.all):
            return super().cancel(delivery)
        # One event of a batch that runs: the handler has all of them, and goes on. But it is not
        # handled once more.
        delivery.ends = Outcome.CANCELLED
        return "running"

    def finish(self) -> None:
        """Nothing more will come: wait for nothing."""
        self._queue.is_last = True
        self._call()

    async def keep_time(self) -> None:
        """Have a batch handled when it has waited long enough; until cancelled."""
        while True:
            due = self._queue.due
            if due is not None and due > self.clock():
                await anyio.sleep_until(due)
                continue  # by now another one may be the oldest
            # What is due and has no worker gets the next that is free.
            self._call()
            await self._spot.wait()

    def _drain(self) -> Iterator[Delivery]:
        return self._queue.drain()

    def hand_back_expired(self, tick: int) -> None:
        for delivery in self._queue.drain(tick):
            self.hand_back(delivery, Outcome.EXPIRED)
        if not self._queue:
            self.scheduler.withdraw(self)

    def call_worker(self) -> Worker:
        # It takes its batch when it comes to it, as more may have come by then.
        self._called += 1
        if self._parked:
            worker = self._parked.pop()
            worker.wake(None)
            return worker
        worker = Worker(self, None)
        self.all.add(worker)
        self._spawn(worker)
        return worker

    def _call(self) -> None:
        if self._queue and not self._called:
            self.scheduler.call(self)

    def _refuse(self, delivery: Delivery) -> bool:
        """Hand back a delivery that nobody would take: nothing is started now."""
        if delivery.ends is not None or self._stopped or self.paused:
            # What was cancelled while its batch ran is not handled again, see `hand_back`.
            self.hand_back(delivery, Outcome.STOPPED)
        elif self.scheduler.alone is not None:
            self.hand_back(delivery, Outcome.REFUSED)
        else:
            return False
        return True
