"""A clock that nats-server keeps: a schedule in its stream of schedules (ADR-51)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from walnats_anyio._events._event import in_namespace
from walnats_anyio._events._headers import header_block
from walnats_anyio._events._last_message import (
    ChangedError,
    LastMessage,
    LastMessages,
    NoStreamError,
)
from walnats_anyio._events._replica import STREAM as RECORDS
from walnats_anyio._events._replica import subject_of
from walnats_anyio._events._schedules import (
    HEADER_SCHEDULE,
    HEADER_TARGET,
    HEADER_TIME_ZONE,
    STREAM,
    cancel_schedule,
    due_subject,
    forget,
    has_schedules,
    keeps_schedules,
    known_schedules,
    schedule_subject,
)
from walnats_anyio._events._server_ticks import HEADER_CLOCK, clock_header
from walnats_anyio._link import STREAM_NOT_FOUND, Link, ServerError, api, parse_headers

if TYPE_CHECKING:
    from walnats_anyio._events._clock import Clock

logger = logging.getLogger("walnats_anyio.events")

TOO_OLD = "that needs nats-server 2.14, and this is {}: emit the ticks with clock.run(conn)"

ATTEMPTS = 5
"""Times that a schedule is written while others write it too."""

HEADERS_OF_SERVER = (
    "nats-sequence",
    "nats-stream",
    "nats-subject",
    "nats-time-stamp",
    "nats-expected-",
    "nats-rollup",
)
"""What names of headers begin with that are no part of a schedule."""


class ServerClock:
    """A clock on the server of a link."""

    def __init__(self, clock: Clock, link: Link) -> None:
        self._clock = clock
        self._link = link
        event = in_namespace(clock.event, link.prefixes)
        self._event = event
        self._records = subject_of(link, event, clock.name)
        self._subject = schedule_subject(link.prefixes, "clock", event.stream_name, clock.name)
        self._messages = LastMessages(link, link.prefixes.stream(STREAM))

    async def is_kept(self) -> bool:
        """Whether the server keeps it.

        Raises:
            ServerError: the server does not answer.
            ConnectionLostError: the link is closed for good.
        """
        if not self._may_keep():
            return False
        try:
            message = await self._messages.read(self._subject)
        except NoStreamError:
            return False
        except ServerError as error:
            if isinstance(error.__cause__, PermissionError):
                # Whoever may not look relies on nobody having registered it.
                return False
            raise
        return message.sequence > 0

    async def register(self) -> None:
        """See `Clock.register`."""
        clock, link = self._clock, self._link
        if clock.missed != "skip":
            raise ValueError(
                f"nats-server does not do missed={clock.missed!r}: emit the ticks with "
                "clock.run(conn), or leave it out"
            )
        payload, headers = self._message()
        what = f"clock {clock.name!r} of event {clock.event.name!r} cannot be kept by nats-server"
        if not self._may_keep():
            raise ServerError(f"{what}: {TOO_OLD.format(link.info.version)}")
        if not await has_schedules(link, clock.event):
            why = known_schedules(link, clock.event).why_not
            forget(link)  # so that what is put right counts at once
            raise ServerError(f"{what}: {why}")
        for _ in range(ATTEMPTS):
            known = await self._messages.read(self._subject)
            if known.sequence and known.data == payload and _of_schedule(known) == headers:
                return
            try:
                await self._messages.replace(self._subject, payload, known.sequence, headers)
            except ChangedError:
                continue
            except ServerError as error:
                raise ServerError(f"{what}: {error}", error.code) from error
            return
        raise ServerError(f"{what}: others write it at the same time, again and again")

    async def unregister(self) -> bool:
        """See `Clock.unregister`."""
        link, replicas = self._link, self._event.replicas
        kept = self._may_keep() and await cancel_schedule(link, self._subject, replicas)
        purge = f"STREAM.PURGE.{link.prefixes.stream(RECORDS)}"
        try:
            await api(link, purge, {"filter": self._records}, replicas=replicas)
        except ServerError as error:
            if error.code != STREAM_NOT_FOUND:
                raise
        return kept

    def _may_keep(self) -> bool:
        return keeps_schedules(self._link.info.version) or self._link.prefixes.elsewhere

    def _message(self) -> tuple[bytes, dict[str, str]]:
        """Payload and headers of the schedule.

        Raises:
            ValueError: nats-server cannot express it.
        """
        clock = self._clock
        schedule = clock.schedule.on_server()
        block = header_block(None, None, clock.meta)
        headers = parse_headers(block) if block else {}
        if clock.emits_time:
            payload = b""
            headers[HEADER_CLOCK] = clock_header(clock.event, clock.schedule, clock.tz)
        else:
            payload = clock.event.encode(clock.message)
        return payload, headers | {
            HEADER_SCHEDULE: schedule.pattern,
            HEADER_TARGET: due_subject(self._link.prefixes, self._event.stream_name),
            HEADER_TIME_ZONE: schedule.tz,
        }


def _of_schedule(message: LastMessage) -> dict[str, str]:
    """The headers without those of the server."""
    return {
        name: value
        for name, value in message.headers.items()
        if not name.lower().startswith(HEADERS_OF_SERVER)
    }
