"""When a clock ticks: periods and cron expressions, as pure functions of time.

Theory of operation. A schedule gives the ticks after a moment, and everything else follows from
that. It has no state, so all replicas of a clock agree on its ticks, whenever they start. Moments
and ticks are in UTC: `datetime` objects of one time zone are compared by what the clock on the wall
shows, which goes back by an hour once a year.

The parser of cron expressions is `cronsim`. With 5 fields it does as Debian's cron where daylight
saving time begins or ends; with 6 fields a tick is wherever the clock on the wall shows a time that
matches, which is what nats-server does with all expressions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cronsim import CronSim

FIELDS = {
    "second": "0 to 59",
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day of month": "1 to 31, L for the last day, LW for the last one from Monday to Friday",
    "month": "1 to 12 or JAN to DEC",
    "day of week": "0 (Sunday) to 7 or SUN to SAT, 5#2 for the second Friday, 5L for the last one",
}
"""The fields of an expression, and what they may have."""

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""Names of expressions, as every cron has them."""

MISSING = "Clock(cron=...) needs the package cronsim: pip install 'walnats-anyio[cron]'"

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""A tick that does not come."""

FIRST_LOOK = datetime(2000, 1, 1, tzinfo=UTC)
"""From when on an expression is tried where it is declared, so that this does not depend on now."""

LOOK_BACK = (60, 3600, 86400, 32 * 86400, 367 * 86400)
"""Seconds before a moment in which its last tick is looked for, one after the other."""

MAX_SHOWN = 80
"""Characters of an expression that an error shows."""

MINUTE, HOUR, DAY = 60, 3600, 86400

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ServerSchedule:
    """A schedule as nats-server 2.14 and later keeps it (ADR-51)."""

    pattern: str
    """The value of `Nats-Schedule`."""

    tz: str
    """The value of `Nats-Schedule-Time-Zone`."""


class Schedule(Protocol):
    """When a clock ticks."""

    def after(self, moment: datetime) -> datetime:
        """The first tick after a moment; `NEVER` where there is none."""
        ...

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """The last tick after one moment and not after another; None where there is none."""
        ...

    def on_server(self) -> ServerSchedule:
        """The same schedule as nats-server has it.

        Raises:
            ValueError: nats-server cannot express it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Period:
    """Ticks at the whole multiples of a period since the epoch, 1970-01-01 in UTC."""

    seconds: float

    def after(self, moment: datetime) -> datetime:
        """See `Schedule`."""
        try:
            return min(self._tick((moment - EPOCH) // self._step + 1), NEVER)
        except OverflowError:
            return NEVER

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """See `Schedule`."""
        tick = self._tick((until - EPOCH) // self._step)
        return tick if tick > after else None

    def on_server(self) -> ServerSchedule:
        """See `Schedule`."""
        seconds = int(self.seconds)
        if seconds == self.seconds and (pattern := _pattern_of_period(seconds)):
            return ServerSchedule(pattern, "UTC")
        raise ValueError(
            f"nats-server cannot keep period={self.seconds:g} in step with the clock on the wall: "
            "choose whole seconds that divide a minute, minutes that divide an hour or hours that "
            "divide a day; or emit the ticks with clock.run(conn)"
        )

    @property
    def _step(self) -> timedelta:
        return timedelta(seconds=self.seconds)

    def _tick(self, number: int) -> datetime:
        return EPOCH + number * self._step


def _pattern_of_period(seconds: int) -> str | None:
    if MINUTE % seconds == 0:
        return f"{_every(seconds, MINUTE)} * * * * *"
    if seconds % MINUTE == 0 and HOUR % seconds == 0:
        return f"0 {_every(seconds // MINUTE, HOUR // MINUTE)} * * * *"
    if seconds % HOUR == 0 and DAY % seconds == 0:
        return f"0 0 {_every(seconds // HOUR, DAY // HOUR)} * * *"
    return None


def _every(step: int, end: int) -> str:
    return "*" if step == 1 else _listed(range(0, end, step))


@dataclass(frozen=True, slots=True)
class Cron:
    """Ticks where the clock on the wall of a time zone shows what an expression matches."""

    expression: str
    zone: tzinfo
    zone_name: str

    @classmethod
    def of(cls, expression: str, zone: tzinfo, zone_name: str) -> Cron:
        """Check an expression.

        Raises:
            ImportError: cronsim is not installed.
            ValueError: it is none, or never matches.
        """
        expanded = NICKNAMES.get(expression.strip().lower(), expression)
        cron = cls(expanded, zone, zone_name)
        if cron.after(FIRST_LOOK) == NEVER:
            raise ValueError(f"cron={expression!r} matches nothing in 50 years: look at its days")
        return cron

    def after(self, moment: datetime) -> datetime:
        """See `Schedule`."""
        return next(self._ticks_after(moment), NEVER)

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """See `Schedule`."""
        for seconds in LOOK_BACK:
            begin = max(after, until - timedelta(seconds=seconds))
            if (found := self._last_in(begin, until)) or begin == after:
                return found
        return self._last_in(after, until)

    def on_server(self) -> ServerSchedule:
        """See `Schedule`."""
        return ServerSchedule(_pattern_of_cron(self._parse(FIRST_LOOK)), self.zone_name)

    def _last_in(self, after: datetime, until: datetime) -> datetime | None:
        found: datetime | None = None
        for tick in self._ticks_after(after):
            if tick > until:
                break
            found = tick
        return found

    def _ticks_after(self, moment: datetime) -> Iterator[datetime]:
        last = moment
        parsed = self._parse(moment)
        while True:
            try:
                tick = next(parsed).astimezone(UTC)
            except (StopIteration, OverflowError):
                return
            # Of an hour that the wall clock shows twice the parser means the first one, also where
            # it was asked in the second.
            if tick >= NEVER:
                return
            if tick > last:
                last = tick
                yield tick

    def _parse(self, moment: datetime) -> CronSim:
        try:
            from cronsim import CronSim, CronSimError
        except ImportError as error:
            raise ImportError(MISSING) from error
        try:
            return CronSim(self.expression, moment.astimezone(self.zone))
        except CronSimError as error:
            reason = str(error)
        except (AssertionError, ValueError, OverflowError) as error:  # as of `1/2/3`
            reason = repr(error)
        raise ValueError(f"cron={_shown(self.expression)}: {_problem(self.expression, reason)}")


def _problem(expression: str, reason: str) -> str:
    """What is wrong with an expression, and where."""
    parts = expression.split()
    names = list(FIELDS)[-len(parts) :]
    if len(parts) not in (5, 6):
        return (
            f"has {len(parts)} fields; give 5 (minute, hour, day of month, month, day of week), or "
            "6 with the second before them"
        )
    wrong = reason.removeprefix("Bad ").replace("-", " ")
    if wrong not in names:
        return f"it cannot be read: {reason}"
    part = _shown(parts[names.index(wrong)])
    if part.strip("'") in ("30", "31"):
        return f"its {wrong} is {part}, which its months never have"
    return f"its {wrong} is {part}: it may have {FIELDS[wrong]}, and *, lists, ranges and steps"


def _shown(text: str) -> str:
    return repr(text) if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]!r}..."


def _pattern_of_cron(parsed: CronSim) -> str:
    """The same expression as nats-server reads it.

    Raises:
        ValueError: it cannot express that.
    """
    days, weekdays = set(parsed.days), {_weekday(day) for day in parsed.weekdays}
    if min(days) < 0:
        raise ValueError(_beyond("the last day of a month"))
    all_days, all_weekdays = len(days) == 31, len(weekdays) == 7
    if not parsed.day_and:
        # Either of them has to match, which the server does where neither has a star.
        last = _listed(days), _listed(weekdays)
    elif all_days or all_weekdays:
        last = "*" if all_days else _listed(days), "*" if all_weekdays else _listed(weekdays)
    else:
        raise ValueError(_beyond("a day of the month and a day of the week that both must match"))
    return " ".join(
        (
            _field(parsed.seconds, 60),
            _field(parsed.minutes, 60),
            _field(parsed.hours, 24),
            last[0],
            _field(parsed.months, 12),
            last[1],
        )
    )


def _weekday(day: int | tuple[int, int]) -> int:
    if isinstance(day, tuple):
        raise ValueError(_beyond("the n-th day of the week in a month"))  # noqa: TRY004 - a value
    return day % 7


def _beyond(what: str) -> str:
    return f"nats-server has no schedules with {what}: emit the ticks with clock.run(conn)"


def _field(values: set[int], count: int) -> str:
    return "*" if len(values) == count else _listed(values)


def _listed(values: set[int] | range) -> str:
    return ",".join(map(str, sorted(values)))
