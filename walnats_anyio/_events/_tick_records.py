"""Which replica of a clock emits which tick: the record of the last one, and what follows from it.

Theory of operation. The stream `walnats-clocks` has one message for each clock: which tick was
claimed last, by which replica, when, and whether it has been emitted. A replica *claims* a tick by
replacing the record that it knows with one of the tick; the server takes that only if it is still
the last one (`Nats-Expected-Last-Subject-Sequence`), so of all replicas one wins. The winner emits
the event with a `uid` made of the name of the clock and the tick, waits until the stream has it,
and then notes in the record that it is emitted.

No tick is emitted twice: a claim is for a tick later than the one in the record, so the ticks of a
clock only go forward, whatever the clocks of machines do. A claim whose replica died, and so was
never noted as emitted, is *repeated* by any other with the same `uid`. The event's stream drops
that if it has the event already, as long as it remembers the `uid`: for `dedup_window` seconds.
Copies of a tick go out between its claim and the claim plus that window only, so any two of them
meet in it. A repetition begins in its first half.

A tick is emitted: after each claim it is emitted, or repeated by whoever looks next. One case is
left: the replica died between claim and note, and nobody looked for half of the window. Then it is
not known whether the stream has the event. `missed="skip"` leaves it at that, so never twice;
`missed="once"` claims the tick again, so never not at all.

What this cannot see: a process that is stopped for half of the window after it has looked at the
time and before it sends, and a record that somebody has deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from walnats_anyio._events._ticks import EPOCH, NEVER, Schedule

Missed = Literal["skip", "once"]

REPEAT_AFTER = 3.0
"""Seconds after which a claim is repeated by another replica, if half of the window is longer."""


class Record(msgspec.Struct, frozen=True):
    """The last tick of a clock that a replica claimed."""

    tick: datetime
    by: str
    """The replica."""

    since: datetime
    """When it was claimed."""

    emitted: bool = False
    """Whether the event's stream has it for certain."""

    def to_wire(self) -> bytes:
        """The payload of the message, in JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def of(cls, data: bytes) -> Record | None:
        """Read a payload; None for what is no record, as anybody may publish."""
        try:
            record = _decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        for moment in (record.tick, record.since):
            # Far away or without a time zone, it cannot be reckoned with.
            if moment.tzinfo is None or not EPOCH.year < moment.year < NEVER.year:
                return None
        tick, since = record.tick.astimezone(UTC), record.since.astimezone(UTC)
        return cls(tick, record.by, since, record.emitted)


_decoder = msgspec.json.Decoder(Record)


@dataclass(frozen=True, slots=True)
class Wait:
    """There is nothing to do before this."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim this tick, and emit it."""

    tick: datetime


@dataclass(frozen=True, slots=True)
class Repeat:
    """Emit the tick of the record again, as its replica may have died."""

    record: Record


Step = Wait | Claim | Repeat


@dataclass(frozen=True, slots=True)
class Rules:
    """What a replica decides by."""

    schedule: Schedule
    missed: Missed
    window: float
    """Seconds for which the event's stream remembers a `uid`."""

    replica: str
    """The name of this one."""

    began: datetime
    """When it began. Ticks before that were missed, unless a replica emitted them."""

    def next_step(self, record: Record | None, now: datetime) -> Step:
        """What to do at this moment."""
        base = self.base(record)
        due = self.schedule.latest(base, now)
        look_at: datetime | None = None
        if record is not None and not record.emitted:
            age = (now - record.since).total_seconds()
            if age < self.window / 2:
                mine = record.by == self.replica
                if mine or due is not None or age >= self._repeat_after:
                    return Repeat(record)
                look_at = record.since + timedelta(seconds=self._repeat_after)
            elif due is None and self.missed == "once":
                due = record.tick
        if due is not None:
            return Claim(due)
        tick = self.schedule.after(max(base, now))
        return Wait(tick if look_at is None else min(tick, look_at))

    def base(self, record: Record | None) -> datetime:
        """Ticks up to here are none that are to be emitted."""
        if record is None:
            return self.began
        return record.tick if self.missed == "once" else max(record.tick, self.began)

    @property
    def _repeat_after(self) -> float:
        return min(REPEAT_AFTER, self.window / 4)
