"""Jobs of an actor that handles batches: its handler is called with a list of messages."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import Context as ContextVars
from contextvars import copy_context
from typing import Any

from walnats_anyio._actors.declare._choices import BatchError
from walnats_anyio._actors.run import _forks
from walnats_anyio._actors.run._job import Jobs, Running
from walnats_anyio._actors.settle import MOVED, Delivery, DeliveryBatch, JobResult, Outcome
from walnats_anyio._events import current_job, data_of, fill_in_tick
from walnats_anyio._link import Scope


class BatchJobs(Jobs):
    """Runs the jobs of one actor.

    A delivery that is no `DeliveryBatch` is handled as a list of one: the last of a batch that is
    not full, or one that was delivered before.

    Args:
        handle_alone: has a delivery handled alone.
        handle_together: has it handled with others.
    """

    def __init__(
        self,
        *arguments: Any,
        handle_alone: Callable[[Delivery], None],
        handle_together: Callable[[Delivery], None],
    ) -> None:
        super().__init__(*arguments)
        self._handle_alone = handle_alone
        self._handle_together = handle_together
        assert self.actor.batch is not None
        self._size = self.actor.batch.size

    def begin(
        self, running: Running, delivery: Delivery, scope: Scope
    ) -> JobResult | Coroutine[Any, Any, JobResult] | None:
        if isinstance(delivery, DeliveryBatch):
            self._decode_members(delivery)
            if not delivery.members:
                return MOVED
            messages = delivery.messages
        else:
            if self._size > 1 and _has_never_run(delivery):
                self._handle_together(delivery)
                return MOVED
            try:
                messages = [self._decode_one(delivery)]
            except Exception as error:  # noqa: BLE001 - a payload can fail in any way
                return self._undecodable(delivery, error)
        # The rest is that of `Jobs.begin`, where a call of its own would cost every job.
        if not self._is_plain:
            context = copy_context()
            context.run(current_job.set, delivery)
            return self._run(running, delivery, scope, messages, context)
        current_job.set(delivery)
        context = copy_context()
        try:
            begun = self._first_step(context.run, self._handler, messages)
        except BaseException as error:  # noqa: BLE001 - what is not the handler's is raised again
            return self._raised(error, scope, messages, context)
        if self._forked:
            _forks.end_child()
        if begun is not None:
            return self._go_on(running, delivery, scope, messages, context, begun)
        if delivery.emits or _member_emits(delivery):
            return JobResult(Outcome.RETURNED, None, messages)
        return None

    def _decode_members(self, batch: DeliveryBatch) -> None:
        """Decode the messages; what cannot be decoded is given up alone, and leaves the batch."""
        members: list[Delivery] = []
        for member in batch.members:
            try:
                self._decode_one(member)
            except Exception:  # noqa: BLE001 - a payload can fail in any way
                self._handle_alone(member)
            else:
                members.append(member)
        batch.members = members
        if members:
            batch.message = members[0].message

    def _decode_one(self, delivery: Delivery) -> Any:
        received = delivery.message
        try:
            # A malformed header block spoils its message.
            header = received.header
            data = data_of(header, received.data) if header else received.data
            delivery.decoded = message = self._decode(data)
        except Exception:
            if not received.data and fill_in_tick(received):
                return self._decode_one(delivery)
            raise
        return message

    def _raised(
        self, error: BaseException, scope: Scope, message: Any, context: ContextVars
    ) -> JobResult:
        if isinstance(error, BatchError):
            # The handler may have emptied the list.
            job = context[current_job]
            count = len(job.members) if isinstance(job, DeliveryBatch) else 1
            error = _checked(error, count)
        return super()._raised(error, scope, message, context)


def _has_never_run(delivery: Delivery) -> bool:
    """Whether it was only handed back before, as far as is known."""
    clean = delivery.attempt == 1 and not delivery.deaths and not delivery.alone
    return delivery.redelivered and clean


def _member_emits(delivery: Delivery) -> bool:
    return isinstance(delivery, DeliveryBatch) and any(each.emits for each in delivery.members)


def _checked(error: BatchError, count: int) -> Exception:
    """The error of a batch of so many; that of its message where it has one."""
    beyond = [at for at in error.errors if at >= count]
    if beyond:
        wrong = ValueError(
            f"BatchError names the message {beyond[0]}, and the batch has {count}, counted from 0"
        )
        wrong.__cause__ = error
        return wrong
    return error.errors[0] if count == 1 else error
