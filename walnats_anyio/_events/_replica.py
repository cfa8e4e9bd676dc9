"""A replica of a clock: waits for ticks, and emits those that it wins."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskStatus

from walnats_anyio._events._connection import ConnectedEvents
from walnats_anyio._events._event import BaseEvent, in_namespace
from walnats_anyio._events._last_message import ChangedError, LastMessages, NoStreamError
from walnats_anyio._events._server_time import ServerTime
from walnats_anyio._events._tick_records import Claim, Record, Repeat, Rules, Wait
from walnats_anyio._link import (
    STREAM_NOT_FOUND,
    EmitError,
    Link,
    ServerError,
    api,
    ensure_helper_stream,
)

if TYPE_CHECKING:
    from walnats_anyio._events._clock import Clock

logger = logging.getLogger("walnats_anyio.events")

STREAM = "walnats-clocks"
"""The stream of the last ticks."""

SUBJECTS = "walnats.clocks"
"""What their subjects begin with: `walnats.clocks.<stream of the event>.<name of the clock>`."""

AGAIN_AFTER = 1.0
"""Seconds until something is tried again that the server did not do."""

AHEAD = 60.0
"""Seconds by which a last tick that is later than now is worth a warning."""

WARN_EVERY = 60.0
"""Seconds between two warnings of one clock."""


def subject_of(link: Link, event: BaseEvent[Any], name: str) -> str:
    """Where the last tick of a clock is kept."""
    return link.prefixes.subject(f"{SUBJECTS}.{event.stream_name}.{name}")


async def create_stream(link: Link, replicas: int) -> None:
    """Create the stream of the last ticks, or raise it to so many replicas.

    Raises:
        ServerError: the server refuses it, or does not answer.
    """
    await ensure_helper_stream(
        link,
        {
            "name": link.prefixes.stream(STREAM),
            "description": "the last ticks of clocks",
            "subjects": [link.prefixes.subject(f"{SUBJECTS}.*.*")],
            "retention": "limits",
            "storage": "file",
            "num_replicas": replicas,
            "max_msgs_per_subject": 1,
            "discard": "old",
            "allow_direct": True,
        },
    )


class Replica:
    """One of the replicas of a clock.

    Args:
        clock: the clock.
        conn: what it emits over.
        link: the connection below.
        is_kept: tells whether the server keeps the clock, so that it emits the ticks.
    """

    def __init__(
        self,
        clock: Clock,
        conn: ConnectedEvents,
        link: Link,
        is_kept: Callable[[], Any],
    ) -> None:
        self._clock = clock
        self._conn = conn
        self._link = link
        self._is_kept = is_kept
        event = in_namespace(clock.event, link.prefixes)
        self._replicas = event.replicas
        self._subject = subject_of(link, event, clock.name)
        self._stream = link.prefixes.stream(STREAM)
        self._messages = LastMessages(link, self._stream)
        self._time = ServerTime(link)
        self._rules: Rules
        self._record: Record | None = None
        self._sequence = 0
        self._has_stream = True
        self._knows = False
        """Whether the record is known, as far as anybody told."""
        self._emitted: datetime | None = None
        """The last tick that is known to be emitted since this replica began."""
        self._warned_at = -inf
        self._said_kept = False

    async def run(self, burst: bool, task_status: TaskStatus[None]) -> None:
        """Emit ticks until cancelled; with `burst`, until one is emitted.

        Raises:
            ServerError: the stream of the last ticks is not there and cannot be made.
            ConnectionLostError: the connection is closed for good.
        """
        await create_stream(self._link, self._replicas)
        await self._measure()
        clock = self._clock
        window = effective_window(clock.event)
        replica, began = secrets.token_hex(8), self._time.now()
        self._rules = Rules(clock.schedule, clock.missed, window, replica, began)
        # In a cluster the stream may have no leader just now: that passes.
        await self._try(self._read)
        task_status.started()
        while not (burst and self._emitted):
            await self._try(self._step)

    async def _try(self, action: Callable[[], Awaitable[None]]) -> None:
        try:
            await action()
        except ChangedError:
            self._knows = False
        except (ServerError, EmitError) as error:
            if isinstance(error.__cause__, PermissionError):
                raise
            self._knows = False
            self._warn("it is tried again", error)
            await anyio.sleep(AGAIN_AFTER)
            self._has_stream = self._has_stream and not _is_missing(error)

    async def _step(self) -> None:
        if not self._has_stream:
            await create_stream(self._link, self._replicas)
            self._has_stream = True
        if self._time.trusted_for <= 0:
            await self._measure()
        if not self._knows:
            await self._read()
            return
        now = self._time.now()
        step = self._rules.next_step(self._record, now)
        if isinstance(step, Wait):
            if self._record is not None:
                self._warn_if_ahead(self._record)
            seconds = min((step.until - now).total_seconds(), self._time.trusted_for)
            await anyio.sleep(max(seconds, 0.0))
            if self._record is not None and not self._record.emitted:
                self._knows = False
        elif isinstance(step, Repeat):
            logger.info(
                "clock %r of event %r: the replica that claimed the tick of %s has not said that it"
                " is emitted, so it is sent again",
                self._clock.name, self._clock.event.name, step.record.tick,
            )  # fmt: skip
            await self._emit(step.record)
        else:
            await self._claim(step)

    async def _claim(self, step: Claim) -> None:
        kept = await self._is_kept()
        if kept and not self._said_kept:
            logger.warning(
                "clock %r of event %r: nats-server keeps it, so its replicas emit nothing until it "
                "is unregistered", self._clock.name, self._clock.event.name,
            )  # fmt: skip
        self._said_kept = kept
        record = Record(step.tick, self._rules.replica, self._time.now(), emitted=kept)
        await self._write(record)
        if kept:
            self._emitted = step.tick
        else:
            await self._emit(record)

    async def _emit(self, record: Record) -> None:
        """Emit the tick of a record that is not noted as emitted, and note it."""
        window = self._rules.window
        age = max((self._time.now() - record.since).total_seconds(), 0.0)
        if age >= window / 2:
            return  # it was not known in time that it is ours
        clock, tick = self._clock, record.tick
        message, uid = clock.message_at(tick), clock.uid_at(tick)
        await self._conn.emit_within(clock.event, message, uid, clock.meta, window - age)
        self._emitted = tick
        await self._write(replace_emitted(record))

    async def _write(self, record: Record) -> None:
        """Replace the record that is known."""
        self._knows = False  # unless the server tells otherwise
        self._sequence = await self._messages.replace(
            self._subject, record.to_wire(), self._sequence
        )
        self._record, self._knows = record, True
        self._remember(record)

    async def _read(self) -> None:
        message = await self._messages.read(self._subject)
        record = Record.of(message.data) if message.sequence else None
        if message.sequence and record is None:
            self._warn("its last tick cannot be read", f"{message.data[:40]!r} is none")
        self._sequence, self._record, self._knows = message.sequence, record, True
        if record is None:
            return
        if record.emitted and record.tick > self._rules.began:
            self._emitted = record.tick
        self._remember(record)
        self._warn_if_ahead(record)

    def _warn_if_ahead(self, record: Record) -> None:
        ahead = (record.tick - self._time.now()).total_seconds()
        if ahead > AHEAD:
            self._warn(
                "it waits",
                f"its last tick was at {record.tick}, which is {ahead:.0f} seconds ahead: the "
                "server's clock was set back, or clock.unregister(conn) removes that tick",
            )

    def _remember(self, record: Record) -> None:
        # Should somebody delete the stream, what was emitted does not come again.
        if record.emitted and record.tick > self._rules.began:
            self._rules = replace(self._rules, began=record.tick)

    async def _measure(self) -> None:
        asked_at = anyio.current_time()
        info = await api(self._link, f"STREAM.INFO.{self._stream}", replicas=self._replicas)
        self._time.measured(info, asked_at)

    def _warn(self, what: str, reason: object) -> None:
        now = monotonic()
        if now - self._warned_at >= WARN_EVERY:
            self._warned_at = now
            logger.warning(
                "clock %r of event %r: %s: %s",
                self._clock.name, self._clock.event.name, what, reason,
            )  # fmt: skip


def _is_missing(error: Exception) -> bool:
    """Whether there is no stream of the last ticks any more."""
    if isinstance(error, ServerError) and error.code == STREAM_NOT_FOUND:
        return True
    return isinstance(error, NoStreamError)


def replace_emitted(record: Record) -> Record:
    """The record, emitted."""
    return Record(record.tick, record.by, record.since, emitted=True)


def effective_window(event: BaseEvent[Any]) -> float:
    """Seconds for which the stream of an event remembers a `uid`."""
    window: float = event.stream_config()["duplicate_window"] / 1e9
    return window
