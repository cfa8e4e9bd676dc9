"""What follows the end of a job that has handled a batch.

Theory of operation. A batch that returned is done with. A batch of which the handler says which
messages failed (`BatchError`) is done with but for those, and each of them gets the verdict that
its own exception would have had. `Snooze` hands all of them back. Whatever else ends it, nobody
knows which of its messages it was; so that counts against none of them, and each of them is handled
alone, at once: what happens then is the affair of that event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import anyio

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.declare._choices import BatchError, Snooze
from walnats_anyio._actors.settle._batch import DeliveryBatch, open_members
from walnats_anyio._actors.settle._conclusion import Conclusion
from walnats_anyio._actors.settle._delivery import Deliveries, Delivery
from walnats_anyio._actors.settle._hooks import Hooks
from walnats_anyio._actors.settle._postponing import Postponing
from walnats_anyio._actors.settle._reports import report_batch
from walnats_anyio._actors.settle._verdict import (
    Ack,
    HandBack,
    JobResult,
    Nak,
    Outcome,
    decide,
    wish_of,
)
from walnats_anyio._events import Encoded
from walnats_anyio._link import Link, WalnatsError

MOVED = JobResult(Outcome.RETURNED)
"""Of a job that was none: its deliveries wait elsewhere."""


class BatchConclusion(Conclusion):
    """Concludes the jobs of an actor that handles batches.

    Args:
        handle_alone: has a delivery handled as a list of one.
    """

    def __init__(
        self,
        actor: Actor[Any, Any],
        link: Link,
        deliveries: Deliveries,
        hooks: Hooks,
        *,
        burst: bool,
        postponing: Postponing | None,
        failed: Callable[[], None] | None,
        handle_alone: Callable[[Delivery], None],
    ) -> None:
        super().__init__(
            actor, link, deliveries, hooks, burst=burst, postponing=postponing, failed=failed
        )
        self._handle_alone = handle_alone
        # A job has one hook of its end, however many of its events failed.
        quiet = Hooks(replace(actor, middlewares=()), _nothing)
        self._each = Conclusion(
            actor, link, deliveries, quiet, burst=burst, postponing=postponing, failed=failed
        )

    def conclude_at_once(self, delivery: Delivery, result: JobResult) -> bool:
        if result is MOVED:
            return True
        return not isinstance(delivery, DeliveryBatch) and super().conclude_at_once(
            delivery, result
        )

    async def conclude(self, delivery: Delivery, result: JobResult) -> None:
        if not isinstance(delivery, DeliveryBatch):
            await super().conclude(delivery, result)
        elif len(delivery.members) == 1:
            [member] = delivery.members
            member.emits = list(_emits_of([delivery, member]))
            await super().conclude(member, result)
        else:
            await self._conclude_batch(delivery, result)
            delivery.emits = ()

    async def _conclude_batch(self, batch: DeliveryBatch, result: JobResult) -> None:
        if result.outcome is Outcome.RETURNED:
            result = await self._send_all(batch, batch.members, result)
        error = result.error
        if result.outcome is Outcome.RETURNED:
            await self._all_done(batch.members)
            await self._hooks.end(batch, result)
        elif result.outcome is Outcome.STOPPED:
            self._settle(batch, decide(Outcome.STOPPED))
        elif isinstance(error, BatchError):
            await self._some_failed(batch, result, error.errors)
        elif isinstance(wish_of(error), Snooze):
            await self._snoozed(batch, result)
        else:
            await self._one_of_them_failed(batch, result)

    async def _send_all(
        self, batch: DeliveryBatch, done: list[Delivery], result: JobResult
    ) -> JobResult:
        """Send what was emitted with the batch, and with the events of it that are done with."""
        emits = list(_emits_of([batch, *done]))
        batch.emits = ()
        for member in batch.members:
            member.emits = ()
        try:
            if emits:
                await self._deliveries.emitter.send(emits)
        except WalnatsError as error:
            return replace(result, outcome=Outcome.RAISED, error=error)
        return result

    async def _all_done(self, members: list[Delivery]) -> None:
        """Acknowledge events; with `ack="confirmed"` all of them at once."""
        if self._actor.ack != "confirmed":
            for member in members:
                self._settle(member, Ack())
            return
        async with anyio.create_task_group() as tasks:
            for member in open_members(members):
                tasks.start_soon(self._confirm, member)

    async def _some_failed(
        self, batch: DeliveryBatch, result: JobResult, errors: dict[int, Exception]
    ) -> None:
        members = batch.members
        failed = [(members[at], error) for at, error in sorted(errors.items())]
        done = [member for at, member in enumerate(members) if at not in errors]
        sent = await self._send_all(batch, done, result)
        if sent is not result:
            await self._one_of_them_failed(batch, sent)
            return
        try:
            await self._all_done(done)
            await self._hooks.end(batch, result)
            for member, error in failed:
                own = replace(result, error=error, message=member.decoded)
                await self._each.conclude(member, own)
        except BaseException:
            for member in open_members(members):
                self._settle(member, Nak(0.0))  # they failed, whatever has ended this
            raise

    async def _snoozed(self, batch: DeliveryBatch, result: JobResult) -> None:
        """Hand all of them back, each by itself: some may wait as copies in the server."""
        for member in open_members(batch.members):
            await self._each.conclude(member, replace(result, message=member.decoded))

    async def _one_of_them_failed(self, batch: DeliveryBatch, result: JobResult) -> None:
        report_batch(self._actor, batch, result, len(batch.members))
        await self._hooks.end(batch, result)
        for member in open_members(batch.members):
            self._handle_alone(self._deliveries.renew(member))
        batch.settled = HandBack(0.0)


def _emits_of(deliveries: Iterable[Delivery]) -> Iterable[Encoded]:
    for delivery in deliveries:
        yield from delivery.emits or ()


def _nothing() -> None:
    pass
