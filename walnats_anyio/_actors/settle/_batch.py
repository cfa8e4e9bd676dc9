"""Several deliveries that one job handles together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from walnats_anyio._actors.declare._contexts import Context
from walnats_anyio._actors.settle._delivery import Delivery
from walnats_anyio._actors.settle._verdict import Final


class DeliveryBatch(Delivery, eq=False):
    """Several deliveries of first attempts; a job runs it as it runs one.

    What a `Delivery` tells of its message is that of the first one. The members are held and
    settled each by itself.
    """

    members: list[Delivery] = msgspec.field(default_factory=list[Delivery])
    """In the order of the messages."""

    _is_traced: bool = False
    _trace: str | None = None

    @classmethod
    def of(cls, members: list[Delivery]) -> DeliveryBatch:
        """Put deliveries together."""
        first = members[0]
        return cls(first.deliveries, first.message, first.tick, members=members)

    def settle(self, verdict: Final) -> None:
        """Settle all of them, but those that the end of `listen` has settled.

        Raises:
            RuntimeError: that was done already, which is a defect.
        """
        if self.settled is not None:
            raise RuntimeError(f"{self!r} cannot be settled again with {verdict}")
        self.settled = verdict
        for member in self.members:
            if member.settled is None:
                member.settle(verdict)

    @property
    def trace_id(self) -> str | None:
        """The `trace_id` that all of the events share; None where they have different ones."""
        if not self._is_traced:
            traces = {member.trace_id for member in self.members}
            self._trace = traces.pop() if len(traces) == 1 else None
            self._is_traced = True
        return self._trace

    def context(self) -> Context:
        actor = self.deliveries.actor
        return Context(actor, self.message, self.attempt, self.messages, _job=self)

    def contexts(self) -> tuple[Context, ...]:
        return tuple(member.own_context() for member in self.members)

    @property
    def messages(self) -> list[Any]:
        """The decoded messages, once the job has begun."""
        return [member.decoded for member in self.members]


def open_members(members: Sequence[Delivery]) -> list[Delivery]:
    """Those that are not settled."""
    return [member for member in members if member.settled is None]
