"""A limit over all processes, as one connection has it."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from math import inf
from typing import Any

import anyio

from walnats_anyio._link import ConnectionLostError, Link, ServerError
from walnats_anyio.decorators._counts import (
    ANSWERED_WITHIN,
    CompareAndSet,
    CounterStream,
    Counts,
    Declared,
    open_stream,
)
from walnats_anyio.decorators._turns import Claim, Turns
from walnats_anyio.decorators._windows import Windows

logger = logging.getLogger("walnats_anyio.decorators")

LOOK_AGAIN_AFTER = 0.1
"""Seconds until a job looks for the stream again that waits in its slot."""

MISSING_AGAIN_WITHIN = 5.0
"""Seconds in which a stream that is missing once more is trouble."""

WARN_EVERY = 60.0
"""Seconds between two lines of the log that the server cannot be asked."""


class SharedTurns:
    """Gives the turns of a limit that all processes share.

    Args:
        link: the connection of the actor, where the turns are counted.
        limit: how it is declared here.
    """

    def __init__(self, link: Link, limit: Declared) -> None:
        self._link = link
        self._limit = limit
        self._has_described = False
        self._told_of = str(limit)
        """The last declaration that was told, if it is not the one here."""
        self._counts: Counts | None = None
        self._lock = anyio.Lock()
        self._said_at = -inf
        self._missed_at = -inf
        self._windows = Windows(limit.max_jobs, limit.period, self._request)
        self.turns = Turns(self._windows, limit.period)
        """Who waits."""

    async def take(self, claim: Claim) -> None:
        """Start a job; waits for its turn.

        Raises:
            Snooze: its turn comes later than its patience lasts.
        """
        if self._needs_look():
            async with self._lock:
                if self._needs_look():
                    await self._look(claim.patience)
        if not self.turns.take_at_once():
            await self.turns.take(claim)

    def granted(self, window: int, turns: int, is_used_up: bool) -> None:
        """See `Told`."""
        self._windows.granted(window, turns, is_used_up, anyio.current_time())
        self.turns.wake_first()

    def failed(self, reason: str) -> None:
        """See `Told`."""
        self._counts = None  # the stream may have been deleted
        self._windows.failed(anyio.current_time())
        self.turns.wake_first()
        now = time.monotonic()
        if now - self._said_at >= WARN_EVERY:
            self._said_at = now
            logger.error(
                "rate limit %r: its turns cannot be counted, so its jobs do not start, and their "
                "events are snoozed: %s",
                self._limit.name, reason, extra={"limit": self._limit.name},
            )  # fmt: skip

    def missing(self, reason: str) -> None:
        """See `Told`."""
        now = anyio.current_time()
        if now - self._missed_at < MISSING_AGAIN_WITHIN:
            self.failed(reason)
            return
        # The next job makes it anew.
        self._missed_at = now
        self._counts = None
        self._windows.failed(now, again_after=LOOK_AGAIN_AFTER)
        self.turns.wake_first()

    def _request(self, window: int, wanted: int) -> None:
        if self._counts is None:
            # There was trouble, and nobody has come since who could look.
            self._windows.failed(anyio.current_time(), again_after=LOOK_AGAIN_AFTER)
            return
        try:
            self._counts.request(window, wanted)
        except (ConnectionLostError, ServerError) as error:
            self.failed(str(error))

    def _needs_look(self) -> bool:
        now = anyio.current_time()
        if self._windows.is_in_trouble(now):
            return False
        return self._counts is None or self._windows.time.is_stale(now)

    async def _look(self, patience: float) -> None:
        """Look at the stream: whether it is there, what it can, and what time it is there."""
        link, asked_at = self._link, anyio.current_time()
        try:
            if not link.connected:
                raise ServerError(f"not connected: {link.trouble}")
            timeout = min(ANSWERED_WITHIN, max(patience, 0.1))
            answer = await open_stream(link, self._limit, timeout, describe=not self._has_described)
        except (ConnectionLostError, ServerError) as error:
            if self._counts is None:
                self.failed(str(error))
            else:
                self._windows.time.keep(anyio.current_time(), time.monotonic())
            return
        self._compare(answer["config"])
        now = anyio.current_time()
        server = _time_in(answer) + (now - asked_at) / 2
        self._windows.time.measured(server, now, time.monotonic())
        if self._counts is None:
            counts = CounterStream if answer["config"].get("allow_msg_counter") else CompareAndSet
            self._counts = counts(link, self._limit.name, self._limit.max_jobs, self)

    def _compare(self, config: dict[str, Any]) -> None:
        """Warn where another process has declared the limit differently."""
        self._has_described = True
        other = self._limit.other(config)
        if other is None or other == self._told_of:
            return
        self._told_of = other
        logger.warning(
            "rate limit %r: %s here, and %s where another process or version declares it, so that "
            "more jobs may start than one of them allows: declare it alike",
            self._limit.name, self._limit, other, extra={"limit": self._limit.name},
        )  # fmt: skip


def _time_in(answer: dict[str, Any]) -> float:
    """The server's time, in seconds since the epoch."""
    try:
        return datetime.fromisoformat(answer["ts"]).timestamp()
    except (KeyError, ValueError, TypeError):
        # Servers before 2.10 do not tell, so the clocks of the machines have to agree.
        return time.time()
