"""How far a consumer is, as nats-server writes it down and shows it in `CONSUMER.INFO`.

A consumer of nats-server has two states: one that it works with (`Consumer`), and one in its store
(`Progress`), to which it reports each delivery and acknowledgement. The two have rules of their
own, and are not always equal: a message that is given up after `max_deliver` moves the floor of
the first one only. What is shown comes from the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Position: TypeAlias = tuple[int, int]
"""The number of a delivery, and that of a message in the stream."""


@dataclass(slots=True)
class Pending:
    """A message that was delivered, and is not acknowledged."""

    delivery: int
    """The number of its first delivery."""

    time: int = 0
    """From when its `ack_wait` counts; the store has no use for it."""


class Progress:
    """What the store of one consumer holds."""

    def __init__(self, ack_policy: str, last: int) -> None:
        self.delivered: Position = (0, last)
        """The highest numbers that were delivered."""
        self.floor: Position = (0, last)
        """Below which all is acknowledged."""
        self._ack_policy = ack_policy
        self._pending: dict[int, Pending] = {}

    def deliver(self, seq: int, delivery: int, count: int, max_deliver: int) -> None:
        """A message was delivered for the `count`th time; beyond `max_deliver` it is given up."""
        if delivery <= self.floor[0]:
            return
        is_new = seq > self.delivered[1]
        self.delivered = (max(self.delivered[0], delivery), max(self.delivered[1], seq))
        if self._ack_policy == "none":
            self.floor = self.delivered
            return
        if is_new:
            self._pending[seq] = Pending(delivery)
        if 0 < max_deliver < count and count > 1:
            self._pending.pop(seq, None)

    def acknowledge(self, seq: int, delivery: int) -> None:
        """A message is done with, and with `ack_policy` all those before it as well."""
        if delivery <= self.floor[0] or seq not in self._pending:
            return
        if self._ack_policy == "all":
            self.floor = (delivery, seq)
            self._pending = {each: kept for each, kept in self._pending.items() if each > seq}
            return
        first = min(delivery, self._pending.pop(seq).delivery)
        self.floor = moved(self.floor, self._pending, first, seq, self.delivered)

    def replace(self, delivered: Position, floor: Position, pending: Mapping[int, Pending]) -> None:
        """Take over the state that the consumer works with; not when it is older, or is wrong."""
        is_wrong = floor[0] > delivered[0] or floor[1] > delivered[1]
        is_old = delivered[0] < self.delivered[0] or floor[1] < self.floor[1]
        is_outside = any(not floor[1] < seq <= delivered[1] for seq in pending)
        if not (is_wrong or is_old or is_outside):
            self.delivered, self.floor, self._pending = delivered, floor, dict(pending)


def moved(
    floor: Position, pending: Mapping[int, Pending], delivery: int, seq: int, delivered: Position
) -> Position:
    """Where a floor is after a message is done with.

    Args:
        floor: where it was.
        pending: what is still out, by number of the message, in the order of first deliveries.
        delivery: the first delivery of the message.
        seq: the number of the message.
        delivered: the highest numbers that were delivered.
    """
    if not pending:
        return delivered
    if delivery != floor[0] + 1:
        return floor
    # First deliveries go up with the numbers of messages: so the first one is most often it.
    later = next(iter(pending))
    if later < seq:
        later = min((each for each in pending if each > seq), default=0)
    return (pending[later].delivery - 1, later - 1) if later else (delivery, seq)
