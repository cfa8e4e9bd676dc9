"""A clock: an event that is emitted at regular times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Final, get_args
from zoneinfo import ZoneInfo

import anyio
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from walnats_anyio._events._arguments import check_seconds, check_type
from walnats_anyio._events._connection import ConnectedEvents
from walnats_anyio._events._event import BaseEvent, Event
from walnats_anyio._events._headers import header_block
from walnats_anyio._events._replica import Replica
from walnats_anyio._events._server_clock import ServerClock
from walnats_anyio._events._tick_records import Missed
from walnats_anyio._events._ticks import NEVER, Cron, Period, Schedule
from walnats_anyio._link._sharing import link_of

MIN_PERIOD = 0.1
"""Seconds; with a shorter period most of the time goes with asking the server."""

MAX_PERIOD = 366 * 86400.0

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


MINUTE_PASSED: Final = Event("minute-passed", datetime)


class _Default(int):
    """A period that was not given."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, (int(self),)


class _TickTime:
    """Stands for the time of the tick."""

    def __repr__(self) -> str:
        return "TICK_TIME"

    def __reduce__(self) -> str:
        return "TICK_TIME"


TICK_TIME: Final = _TickTime()
"""Stands for the time of the tick where a message is given."""

DEFAULT_PERIOD: Final = _Default(60)


@dataclass(frozen=True)
class Clock:
    """Emits an event at regular times, once for each tick.

        CLOCK = Clock()  # emits "minute-passed" every minute
        REPORTS = Clock(REPORT_DUE, message="daily", cron="0 7 * * mon-fri", tz="Asia/Tokyo")

        async with Events(CLOCK.event).connect() as conn:
            await conn.register()
            await CLOCK.run(conn)

    There are two ways to have it tick. `run` emits the ticks from a program; any number of programs
    may run the same clock, and together they emit each tick once. `register` leaves it to
    nats-server (2.14 and later), and then no program needs to run.

    A value: frozen, comparable, with no connection and no state.

    Raises:
        TypeError: an argument is of a wrong type, or an event whose messages are no times has no
            `message`.
        ValueError: an argument is out of its range, `cron` is no expression, there is no such time
            zone, both `period` and `cron` are given, or the message does not fit the event.
        ImportError: `cron` is given, and cronsim is not installed: the extra `cron` has it.
    """

    event: BaseEvent[Any] = MINUTE_PASSED
    """The event that is emitted. It must be in the registry of the connection.

    The message of an event of `datetime` is the time of the tick, with its time zone, and that of
    an event of `date` its date there. Any other event needs a `message`.
    """

    meta: Mapping[str, str] | None = None
    """Further headers of each message. None: there are none."""

    period: float | None = DEFAULT_PERIOD
    """Seconds from tick to tick: 0.1 to 366 days; 60 unless there is a `cron`.

    Ticks are at the whole multiples of it since 1970-01-01 in UTC: those of 60 when a minute
    begins, whenever the program was started.
    """

    _: KW_ONLY

    cron: str | None = None
    """A cron expression, such as `"*/5 9-17 * * mon-fri"`. None: there is a `period`.

    5 fields: minute, hour, day of month, month, day of week; or 6, with the second before them. Or
    `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Names of months and days are as in
    English. Where both day of month and day of week are given and neither starts with `*`, one of
    them has to match.
    """

    tz: str = "UTC"
    """The time zone of `cron` and of the time in messages, such as `"Europe/Amsterdam"`."""

    message: Any = TICK_TIME
    """What is emitted, the same at each tick. `TICK_TIME`, the default: the time of the tick."""

    name: str = "clock"
    """Tells the clocks of one event apart: 1 to 64 letters, digits, `-` and `_`.

    Programs that run a clock of the same event and name are replicas of it.
    """

    missed: Missed = "skip"
    """What becomes of ticks at which no program ran this clock.

    `"skip"`: nothing. `"once"`: the last one of them is emitted when a program runs it again. Of
    ticks at which programs ran but could not reach the server, the last one is emitted late in any
    case. A clock that nats-server keeps does as it does, see `register`.
    """

    schedule: Schedule = field(init=False, repr=False, compare=False)
    """When it ticks."""

    _zone: tzinfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_type("Clock: event", self.event, BaseEvent)
        _check_name(self.name)
        _check_meta(self.meta)
        if self.missed not in get_args(Missed):
            raise ValueError(f"Clock: missed must be 'skip' or 'once', not {self.missed!r}")
        header_block("uid", None, self.meta)
        object.__setattr__(self, "_zone", _zone_of(self.tz))
        object.__setattr__(self, "schedule", self._make_schedule())
        self._check_message()

    def __hash__(self) -> int:
        # A message need not be hashable; equal clocks have equal events and names.
        return hash((self.event, self.name))

    def next_tick(self, after: datetime | None = None) -> datetime | None:
        """The first tick after a moment, in the time zone of the clock. None: there is none.

        Never blocks. A clock that `register` has given to nats-server may differ from it on the
        days on which daylight saving time begins and ends; see there.

        Args:
            after: the moment, with a time zone. None: now, by the clock of this machine.

        Raises:
            ValueError: `after` has no time zone.
        """
        if after is None:
            after = datetime.now(UTC)
        if after.tzinfo is None:
            raise ValueError(
                f"after={after!r} has no time zone: pass datetime.now(UTC) or moment.astimezone()"
            )
        tick = self.schedule.after(after.astimezone(UTC))
        return None if tick == NEVER else tick.astimezone(self._zone)

    async def run(
        self,
        conn: ConnectedEvents,
        burst: bool = False,
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Emit the ticks, until it is cancelled.

        Any number of programs may run the clock at once, on any number of machines: they agree over
        the stream `walnats-clocks`, and each tick is emitted by one of them. If that one dies
        before the event is stored, another one emits the tick within seconds. The time is that of
        the server (that of this machine with nats-server 2.9), so the clocks of machines do not
        matter. A tick that could not be emitted until the next one was due is skipped.

        While nats-server keeps the clock (see `register`) it emits nothing.

        Reconnects by itself, and logs what the server refuses; it is tried again every second.

        Args:
            conn: the connection, with the event in its registry and its stream registered.
            burst: return when one tick has been emitted, by this or another program.
            task_status: for `await task_group.start(clock.run, conn)`, which returns when the clock
                runs.

        Raises:
            TypeError: `conn` is no `ConnectedEvents`.
            ValueError: the event is not in the registry of the connection.
            ServerError: this user may not make, read or write the stream `walnats-clocks`. At the
                start: there is no JetStream, or it does not answer.
            ConnectionLostError: the connection is closed for good.
        """
        await checkpoint()
        self._check(conn)
        kept = ServerClock(self, link_of(conn))
        await Replica(self, conn, link_of(conn), kept.is_kept).run(burst, task_status)

    async def register(self, conn: ConnectedEvents) -> None:
        """Have nats-server keep the clock, so that no program needs to run.

        Can be called any number of times, by any number of programs: a clock that the server keeps
        already stays as it is, and one that was declared otherwise takes its place. Blocks for two
        to eight requests.

        Replicas that `run` the clock emit nothing from then on. The middlewares of `conn` see no
        emit. Where the message is the time of the tick, the server sends none, and actors of this
        library put it in: let replicas run while others listen to the event.

        Args:
            conn: the connection, with the event in its registry and its stream registered.

        Raises:
            TypeError: `conn` is no `ConnectedEvents`.
            ValueError: the event is not in the registry, or nats-server cannot express the
                schedule: a period that does not divide a minute, an hour or a day, the last day of
                a month, the n-th day of the week, `missed="once"`, or the time of the tick through
                a serializer of your own.
            ServerError: the server is older than 2.14, the stream of the event is missing, this
                user may not make the stream `walnats-schedules`, or the server refuses the
                schedule, such as one that does not tick within five years.
            ConnectionLostError: the connection is closed for good.
        """
        await checkpoint()
        self._check(conn)
        await ServerClock(self, link_of(conn)).register()

    async def unregister(self, conn: ConnectedEvents) -> bool:
        """Have nats-server forget the clock, and the last tick that was emitted.

        Replicas that run it go on with the next tick.

        Args:
            conn: the connection. The event need not be in its registry.

        Returns:
            Whether nats-server kept the clock.

        Raises:
            TypeError: `conn` is no `ConnectedEvents`.
            ServerError: the server does not answer, or this user may not remove it.
            ConnectionLostError: the connection is closed for good.
        """
        await checkpoint()
        check_type("Clock: conn", conn, ConnectedEvents)
        return await ServerClock(self, link_of(conn)).unregister()

    @property
    def emits_time(self) -> bool:
        """Whether the message is the time of the tick."""
        return self.message is TICK_TIME

    def message_at(self, tick: datetime) -> Any:
        """The message of a tick."""
        if not self.emits_time:
            return self.message
        local = tick.astimezone(self._zone)
        schema: object = self.event.schema
        return local.date() if schema is date else local

    def uid_at(self, tick: datetime) -> str:
        """The `uid` of a tick."""
        return f"{self.name}@{tick.astimezone(UTC).isoformat()}"

    def _make_schedule(self) -> Schedule:
        if self.cron is None:
            if self.period is None:
                raise ValueError("Clock: give a period in seconds, or a cron expression")
            check_seconds("Clock: period", self.period, MIN_PERIOD)
            if self.period > MAX_PERIOD:
                raise ValueError(
                    f"Clock: period must be at most 366 days, not {self.period!r} seconds: give a "
                    "cron expression"
                )
            if self.period is DEFAULT_PERIOD:
                object.__setattr__(self, "period", int(DEFAULT_PERIOD))
            return Period(self.period)
        check_type("Clock: cron", self.cron, (str, type(None)))
        if self.period is not None and self.period is not DEFAULT_PERIOD:
            raise ValueError(
                f"Clock: period={self.period!r} and cron={self.cron!r} both say when: drop one"
            )
        object.__setattr__(self, "period", None)
        return Cron.of(self.cron, self._zone, self.tz)

    def _check_message(self) -> None:
        if not self.emits_time:
            self.event.encode(self.message)
        elif not is_of_time(self.event):
            raise TypeError(
                f"Clock: the messages of event {self.event.name!r} are no times of ticks, so give "
                "what is emitted, as in Clock(event, message=...)"
            )

    def _check(self, conn: ConnectedEvents) -> None:
        check_type("Clock: conn", conn, ConnectedEvents)
        conn.check_registered(self.event)


def is_of_time(event: BaseEvent[Any]) -> bool:
    """Whether the messages of an event are times or dates."""
    schema: object = event.schema
    return schema is datetime or schema is date


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(
            "Clock: name must be 1 to 64 of the letters A to Z and a to z, digits, '-' and '_', "
            f"not {name!r}"
        )


def _check_meta(meta: object) -> None:
    if meta is not None and not isinstance(meta, Mapping):
        raise TypeError(
            "Clock: meta must be a mapping of header names to values, the same for each tick, not "
            f"{meta!r}"
        )


def _zone_of(name: object) -> tzinfo:
    if not isinstance(name, str):
        raise TypeError(f"Clock: tz must be the name of a time zone, not {name!r}")
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError(
            f"Clock: there is no time zone {name!r} here: give one such as 'Europe/Amsterdam'; "
            "where the machine has none at all, install the package tzdata"
        ) from None
