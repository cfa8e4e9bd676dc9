"""The time of a tick that nats-server emitted.

A schedule has a payload that is fixed when it is written, so it cannot have the time in it. That of
a clock whose message is the time of the tick has no payload, and a header that says when it ticks.
The server adds when the next tick is (`Nats-Schedule-Next`, ADR-51), and so whoever gets the
message knows which tick it was. This module writes that header, and puts the time into the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._ticks import EPOCH, Cron, Period, Schedule
from walnats_anyio._link import HeaderError, Message, parse_headers
from walnats_anyio._link.protocol._headers import header_block

HEADER_CLOCK: Final = "Walnats-Clock"
"""When a clock ticks whose message is the time: `<kind> <time zone> <period or expression>`.

The kind is `datetime` or `date`. The period is in seconds, and the expression has 6 fields.
"""

HEADER_NEXT: Final = "Nats-Schedule-Next"


def clock_header(event: BaseEvent[Any], schedule: Schedule, tz: str) -> str:
    """The value of the header.

    Raises:
        ValueError: the serializer of the event does not write times as plain text, or
            nats-server cannot express the schedule.
    """
    schema: object = event.schema
    tick = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    message = tick.date() if schema is date else tick
    if event.encode(message) != message.isoformat().encode():
        raise ValueError(
            f"nats-server cannot emit the time of a tick for event {event.name!r}, whose serializer"
            " is its own: give a message, or emit the ticks with clock.run(conn)"
        )
    kind = "date" if schema is date else "datetime"
    when = f"{schedule.seconds:g}" if isinstance(schedule, Period) else schedule.on_server().pattern
    return f"{kind} {tz} {when}"


def tick_text(headers: Mapping[str, str]) -> bytes | None:
    """The time of the tick of a message, as its payload; None for what is no such message.

    Raises:
        ImportError: it is of a cron expression, and cronsim is not installed.
    """
    about, following = headers.get(HEADER_CLOCK), headers.get(HEADER_NEXT)
    if about is None or following is None:
        return None
    try:
        kind, zone_name, when = about.split(" ", 2)
        zone = UTC if zone_name == "UTC" else ZoneInfo(zone_name)
        following_tick = datetime.fromisoformat(following).astimezone(UTC)
        schedule = Cron.of(when, zone, zone_name) if " " in when else _period(float(when))
        tick = schedule.latest(EPOCH, following_tick - timedelta(microseconds=1))
    except (ValueError, LookupError, OSError, ArithmeticError):
        # Anybody may write such a header.
        return None
    if tick is None:
        return None
    local = tick.astimezone(zone)
    return (local.date() if kind == "date" else local).isoformat().encode()


def _period(seconds: float) -> Period:
    if not seconds >= 1:
        raise ValueError(f"a period of {seconds!r} seconds is none that a server keeps")
    return Period(seconds)


def fill_in_tick(message: Message) -> bool:
    """Put the time of the tick into a message; whether it is one without it.

    The header goes: a copy of the message, such as a dead letter, is one like any other.

    Raises:
        ImportError: it is of a cron expression, and cronsim is not installed.
    """
    if message.data or not message.header:
        return False
    try:
        headers = parse_headers(message.header)
    except HeaderError:
        return False
    text = tick_text(headers)
    if text is None:
        return False
    del headers[HEADER_CLOCK]
    message.data, message.header = text, header_block(headers)
    return True
