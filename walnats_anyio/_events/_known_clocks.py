"""The clocks that the server knows of: those that it keeps, and those that programs run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from walnats_anyio._events._last_message import LastMessage, LastMessages
from walnats_anyio._events._replica import STREAM as RECORDS
from walnats_anyio._events._replica import SUBJECTS as RECORD_SUBJECTS
from walnats_anyio._events._schedules import (
    HEADER_SCHEDULE,
    HEADER_TIME_ZONE,
    cancel_schedule,
    schedule_subject,
)
from walnats_anyio._events._schedules import STREAM as SCHEDULES
from walnats_anyio._events._server_ticks import HEADER_CLOCK
from walnats_anyio._events._tick_records import Record
from walnats_anyio._events._ticks import NEVER, Cron
from walnats_anyio._link import STREAM_NOT_FOUND, Link, ServerError, api

PAGE = 100_000
"""Subjects in an answer of `STREAM.INFO`, at most."""


@dataclass(frozen=True)
class KnownClock:
    """A clock, as far as the server tells."""

    stream: str
    """The stream of its event."""

    name: str
    """Its own name."""

    kept: bool
    """Whether nats-server keeps it."""

    pattern: str | None = None
    """The cron expression of 6 fields by which the server keeps it."""

    tz: str | None = None
    """The time zone of that."""

    message: bytes | None = None
    """What the server emits; None: the time of the tick, or programs emit it."""

    last_tick: datetime | None = None
    """The last tick that a program claimed."""

    emitted: bool = False
    """Whether that tick is known to be emitted."""

    def next_tick(self, after: datetime) -> datetime | None:
        """When the server lets it tick next; None where nobody can tell here.

        Raises:
            ImportError: cronsim is not installed.
        """
        if self.pattern is None or self.tz is None:
            return None
        try:
            zone = UTC if self.tz == "UTC" else ZoneInfo(self.tz)
            tick = Cron.of(self.pattern, zone, self.tz).after(after)
        except (ValueError, LookupError, OSError):
            return None  # somebody else's, or there is no such time zone here
        return None if tick == NEVER else tick.astimezone(zone)


async def known_clocks(link: Link) -> list[KnownClock]:
    """Find them, in the order of streams and names; those of the namespace of the link.

    Raises:
        ServerError: this user may not look, or the server does not answer.
        ConnectionLostError: the link is closed for good.
    """
    found: dict[tuple[str, str], KnownClock] = {}
    prefix = schedule_subject(link.prefixes, "clock", "")
    for (stream, name), message in await _messages(link, SCHEDULES, prefix):
        headers = message.headers
        found[stream, name] = KnownClock(
            stream, name, True, headers.get(HEADER_SCHEDULE), headers.get(HEADER_TIME_ZONE, "UTC"),
            None if HEADER_CLOCK in headers else message.data,
        )  # fmt: skip
    prefix = link.prefixes.subject(f"{RECORD_SUBJECTS}.")
    for key, message in await _messages(link, RECORDS, prefix):
        record = Record.of(message.data)
        if key not in found:
            tick, emitted = (record.tick, record.emitted) if record else (None, False)
            found[key] = KnownClock(*key, kept=False, last_tick=tick, emitted=emitted)
    return [found[key] for key in sorted(found)]


async def forget_clock(link: Link, clock: KnownClock) -> None:
    """Have the server forget a clock, and its last tick.

    Raises:
        ServerError: this user may not, or the server does not answer.
        ConnectionLostError: the link is closed for good.
    """
    if clock.kept:
        subject = schedule_subject(link.prefixes, "clock", clock.stream, clock.name)
        await cancel_schedule(link, subject)
    record = link.prefixes.subject(f"{RECORD_SUBJECTS}.{clock.stream}.{clock.name}")
    try:
        await api(link, f"STREAM.PURGE.{link.prefixes.stream(RECORDS)}", {"filter": record})
    except ServerError as error:
        if error.code != STREAM_NOT_FOUND:
            raise


async def _messages(
    link: Link, stream: str, prefix: str
) -> list[tuple[tuple[str, str], LastMessage]]:
    """The last message of each clock in a stream, with what is after the prefix in its subject."""
    name = link.prefixes.stream(stream)
    messages = LastMessages(link, name)
    found: list[tuple[tuple[str, str], LastMessage]] = []
    for subject in await _subjects(link, name, f"{prefix}*.*"):
        event_stream, clock = subject.removeprefix(prefix).split(".")
        message = await messages.read(subject)
        if message.sequence:  # else it was removed meanwhile
            found.append(((event_stream, clock), message))
    return found


async def _subjects(link: Link, stream: str, wanted: str) -> list[str]:
    found: list[str] = []
    while True:
        body = {"subjects_filter": wanted, "offset": len(found)}
        try:
            info = await api(link, f"STREAM.INFO.{stream}", body)
        except ServerError as error:
            if error.code == STREAM_NOT_FOUND:
                return []
            raise
        page: dict[str, int] = info["state"].get("subjects") or {}
        found += page
        if len(page) < PAGE:
            return found
