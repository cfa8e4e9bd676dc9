"""What time it is at the server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import anyio

from walnats_anyio._link import Link

MEASURED_FOR = 60.0
"""Seconds after which the server is asked again, as clocks drift, and are set."""


class ServerTime:
    """The server's time, which goes on with the clock of the event loop.

    So it is the same for all replicas, whatever their machines say, and under a mock clock it is
    that of the test. Servers before 2.10 do not tell their time; then it is that of this machine.
    """

    def __init__(self, link: Link) -> None:
        # A clock that jumps would be taken for one that was set, so a server is asked only once.
        self._is_mock = link.backend.move_clock is not None
        self._at_loop = 0.0
        self._time: datetime | None = None

    @property
    def trusted_for(self) -> float:
        """Seconds until the server is to be asked again; 0 or less: now."""
        if self._time is None:
            return 0.0
        return inf if self._is_mock else self._at_loop + MEASURED_FOR - anyio.current_time()

    def measured(self, info: dict[str, Any], asked_at: float) -> None:
        """Note the time that the server told.

        Args:
            info: its answer to a request for a stream.
            asked_at: the time of the event loop at which it was asked.
        """
        now = anyio.current_time()
        try:
            told = datetime.fromisoformat(info["ts"]).astimezone(UTC)
        except (KeyError, TypeError, ValueError, OverflowError):
            told = datetime.now(UTC)
            asked_at = now
        self._time = told + timedelta(seconds=(now - asked_at) / 2)
        self._at_loop = now

    def now(self) -> datetime:
        """The server's time at this moment, in UTC.

        Raises:
            RuntimeError: it was never measured.
        """
        if self._time is None:
            raise RuntimeError("the server's time was not measured")
        return self._time + timedelta(seconds=anyio.current_time() - self._at_loop)
