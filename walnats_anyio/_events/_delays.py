"""Emits that are not due at once, or that expire: which subject and headers they are sent with.

| the event | server | is sent |
| --- | --- | --- |
| is delayed | 2.14 and later | to the stream of schedules, see `_schedules` |
| is delayed | older, or where there are no schedules | to its own stream, with `Walnats-Delay` |
| expires | 2.11 and later | with `Nats-TTL`; a schedule with `Nats-Schedule-TTL` |
| expires | older | not at all: that is an error |

With `Walnats-Delay` it is actors that hold the event: they hand it back until it is due, and its
time to live counts from the emit, so the delay is added to it.
"""

from __future__ import annotations

import enum
import logging
import math
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex
from typing import Any

from walnats_anyio._events._arguments import check_count
from walnats_anyio._events._checks import refuse_size
from walnats_anyio._events._emitter import Emitter, EventOnWire
from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._headers import (
    HEADER_DELAY,
    HEADER_DUE,
    HEADER_ID,
    HEADER_TTL,
    HEADER_UID,
    header_block,
)
from walnats_anyio._events._publication import begins
from walnats_anyio._events._schedules import (
    HEADER_TARGET,
    LEAD,
    STREAM,
    cancel_schedule,
    due_subject,
    duration,
    forget,
    has_schedules,
    headers_at,
    known_schedules,
    known_ttl,
    schedule_subject,
    takes_ttl,
    token_of,
)
from walnats_anyio._events._timing import Timing
from walnats_anyio._link import EmitError, Link, Prefixes, parse_headers

logger = logging.getLogger("walnats_anyio.events")

NONCE_BYTES = 8
"""Random bytes that tell two schedules of one `uid`, or of none, apart."""

KEPT_FROM_SCHEDULES = "nats-"
"""What headers begin with that would be about the schedule and not about the event."""


class CancelResult(enum.Enum):
    """What an event was when it was cancelled."""

    DELAYED = "delayed"
    """It was not due yet, and never will be: it was removed from the server."""

    WAITING = "waiting"
    """It waited in its stream, for a retry, or in a process that had not started it.

    So does a retry that waits as a copy in the server.
    """

    RUNNING = "running"
    """Its handler was running. That was cancelled, and has ended with its clean-up."""

    NOT_FOUND = "not found"
    """There is no such event: it is done with already, or was never emitted."""


class Delays:
    """What one connection sends of events that are not due at once, or that expire."""

    def __init__(self, link: Link, emitter: Emitter) -> None:
        self._link = link
        # Somebody may have deleted the stream of schedules.
        emitter.on_missing = partial(forget, link)
        self._said: set[str] = set()

    def is_ready(self, event: BaseEvent[Any], timing: Timing) -> bool:
        """Whether `prepare` would ask nobody; in any thread."""
        link = self._link
        return (timing.due is None or known_schedules(link, event).is_fresh(link)) and (
            timing.ttl is None or known_ttl(link, event).is_fresh(link)
        )

    async def prepare(self, event: BaseEvent[Any], timing: Timing) -> None:
        """Find out how an event can be sent that is due so; to be called before `place`.

        Raises:
            EmitError: its stream takes no time to live.
            ConnectionLostError: the link is closed for good.
        """
        if timing.ttl is not None and not await takes_ttl(self._link, event):
            why = known_ttl(self._link, event).why_not
            raise EmitError(f"event {event.name!r} cannot be emitted with a ttl: {why}")
        if timing.due is not None and not await has_schedules(self._link, event):
            self._say_held(event)

    def place(
        self,
        event: BaseEvent[Any],
        timing: Timing,
        on_wire: EventOnWire,
        payload: bytes,
        headers: bytes,
    ) -> tuple[EventOnWire, bytes]:
        """Give what the event is sent as, and its headers; in any thread.

        Raises:
            ValueError: one of its headers cannot be sent with it.
            MessageTooLargeError: it is too large with the headers that come to it.
        """
        due = timing.due
        if due is not None and due <= self._link.wall():
            due = None
        named, added_later = parse_headers(headers), 0
        if due is None:
            sent, added = on_wire, _at_once(named, timing.ttl)
        elif known_schedules(self._link, event).there:
            if timing.counted:
                due += known_schedules(self._link, event).ahead
            sent, added = schedule(on_wire, named, due, timing.ttl, self._link.prefixes)
            added_later = added_by_server(sent.subject, on_wire.subject, added[HEADER_TARGET])
        else:
            sent, added = on_wire, _held(named, due, timing.ttl, self._link.wall())
        block = header_block(None, None, added)
        size = len(payload) + len(block)
        # What its stream does not take when it is due would keep all later ones from coming.
        if size > self._link.max_payload or size + added_later > sent.largest:
            refuse_size(event, self._link, size + added_later)
        return sent, block

    def _say_held(self, event: BaseEvent[Any]) -> None:
        if event.name not in self._said:
            self._said.add(event.name)
            logger.info(
                "event %r: what is delayed waits with its actors, in places of max_ack_pending: %s",
                event.name, known_schedules(self._link, event).why_not,
            )  # fmt: skip


async def cancel_delayed(link: Link, event: BaseEvent[Any], uid: str) -> bool:
    """Remove what waits in the server, and is not due yet; gives whether anything did.

    Raises:
        ServerError: the server does not answer, or this user may not do it.
        ConnectionLostError: the link is closed for good.
    """
    subject = schedule_subject(link.prefixes, "delay", event.stream_name, token_of(uid), "*")
    return await cancel_schedule(link, subject, event.replicas)


def check_cancelled_event(uid: object, event: object, sequence: int | None) -> None:
    """Refuse what identifies no event.

    Raises:
        TypeError: `uid` is no text.
        ValueError: it is empty, or it is not one of both that is given.
    """
    check_count("sequence", sequence, optional=True)
    if (uid is None) is (sequence is None):
        raise ValueError("pass the uid of an event, or event and sequence, and not both")
    if sequence is not None and event is None:
        raise ValueError("a sequence is the number in a stream: pass event as well")
    if uid is None:
        return
    if not isinstance(uid, str):
        raise TypeError(f"uid must be a str, not {type(uid).__name__}: {uid!r}")
    if not uid:
        raise ValueError("uid is empty: pass what the event was emitted with")


def schedule(
    event: EventOnWire, headers: dict[str, str], due: float, ttl: int | None, prefixes: Prefixes
) -> tuple[EventOnWire, dict[str, str]]:
    """Give the schedule of an event, as an event of the stream of schedules, and its headers.

    Raises:
        ValueError: one of the headers would be about the schedule and not about the event.
    """
    uid = headers.pop(HEADER_ID, None)
    for name in headers:
        if name.lower().startswith(KEPT_FROM_SCHEDULES):
            raise ValueError(
                f"event {event.name!r}: meta has {name}={headers[name]!r}, which the server would "
                "apply to the wait and not to the event: emit it without a delay, or drop that "
                f"header{' and pass ttl' if name.lower() == HEADER_TTL.lower() else ''}"
            )
    nonce = token_hex(NONCE_BYTES)
    tokens = (nonce,) if uid is None else (token_of(uid), nonce)
    if uid is not None:
        headers[HEADER_UID] = uid
    stream, target = prefixes.stream(STREAM), due_subject(prefixes, event.stream)
    # Ids are compared over all events. Without a uid it is one that nobody else has, so that what
    # is sent again after a lost connection is stored once.
    headers[HEADER_ID] = f"delay {event.stream} {uid or nonce}"
    headers[HEADER_DUE] = f"{due:.6f}"
    # Its time to live counts whole seconds from when it is in its stream.
    lives = None if ttl is None else ttl + math.ceil(LEAD)
    headers |= headers_at(datetime.fromtimestamp(due - LEAD, UTC), target, lives)
    sent = replace(
        event,
        subject=schedule_subject(prefixes, "delay", event.stream, *tokens).encode(),
        stream=stream,
        acknowledgement=begins(stream, prefixes.domain),
    )
    return sent, headers


def added_by_server(schedule: bytes, event: bytes, target: str) -> int:
    """Bytes of headers, at most, that an event has more when it is due."""
    source = f"Nats-Stream-Source: {'-' * 300} {2**64} {target} {target} 12345678 \r\n"
    headers = f"Nats-Scheduler: \r\nNats-Schedule-Next: purge\r\n{source}"
    return len(headers.encode()) + len(schedule) + len(event)


def _at_once(headers: dict[str, str], ttl: int | None) -> dict[str, str]:
    if ttl is not None:
        _add(headers, HEADER_TTL, duration(ttl), "ttl")
    return headers


def _held(headers: dict[str, str], due: float, ttl: int | None, now: float) -> dict[str, str]:
    _add(headers, HEADER_DELAY, f"{due:.6f}", "delay")
    return _at_once(headers, None if ttl is None else ttl + math.ceil(due - now))


def _add(headers: dict[str, str], name: str, value: str, argument: str) -> None:
    if name in headers:
        raise ValueError(
            f"meta has {name}={headers[name]!r} and {argument} sets it too: drop one of them"
        )
    headers[name] = value
