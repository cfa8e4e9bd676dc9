"""Delayed events that come twice, as their server was killed.

A server that is killed (SIGKILL) and started again may source once more what was due in the last
seconds before that, as a new event: the first one is gone from its stream, and with it what would
tell (nats-server 2.15.1). But both have the same header `Nats-Scheduler`, which names their
schedule, and that has a random token. So this process knows what it is done with.
"""

from __future__ import annotations

from typing import Final

from walnats_anyio._actors.settle import Delivery, HandBack, Nak
from walnats_anyio._actors.settle._verdict import Final as Verdict

HEADER_SCHEDULER: Final = "Nats-Scheduler"
"""The subject of the schedule that an event was (ADR-51)."""

REMEMBERED = 10_000
"""Schedules of one actor that are remembered: some 2 MB."""


class DoneSchedules:
    """The schedules of delayed events that one actor is done with, in this process."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, None] = {}

    def __contains__(self, schedule: str) -> bool:
        return schedule in self._known

    def add(self, schedule: str) -> None:
        """Remember one, and forget the oldest of too many."""
        self._known[schedule] = None
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]


class DelayedDelivery(Delivery, eq=False):
    """A delivery of an event that has waited in the server until it was due."""

    done: DoneSchedules | None = None
    """Where it is remembered when the event is done with."""

    schedule: str = ""
    """What identifies it; empty where somebody has made it up."""

    def settle(self, verdict: Verdict) -> None:
        """See `Delivery.settle`."""
        Delivery.settle(self, verdict)
        if not isinstance(verdict, Nak | HandBack):
            self.acknowledged()

    def acknowledged(self) -> None:
        """See `Delivery.acknowledged`."""
        if self.done is not None and self.schedule:
            self.done.add(self.schedule)
