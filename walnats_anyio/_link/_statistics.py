"""What a connection shows of itself to those who watch it."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic


@dataclass(frozen=True)
class ConnectionStatistics:
    """The state of a connection to NATS at one moment."""

    server: str
    """The server that it is connected to, or was connected to last, without user and password."""

    connected: bool
    """Whether it is connected now."""

    closed: bool
    """Whether it is closed for good: it was left, or its options allow no further attempt."""

    reconnects: int
    """How often it was connected again after it had been lost."""

    uptime: float
    """Seconds since it was connected, for the first time or again; 0 while it is not."""

    downtime: float
    """Seconds since it was lost or closed; 0 while it is connected."""

    last_error: str
    """Why it was last lost, or could not be connected again; empty if it never was.

    It stays after a reconnect. When all servers that answer refuse the credentials, it is their
    refusal. When the connection is closed for good, it is why.
    """

    pending: int
    """Requests that wait for their answer, emits that wait for their acknowledgement included."""

    unsent: int
    """Bytes that wait to be sent, as the connection is lost or the server is slow to read."""


class Uptime:
    """Since when a link is connected or not, and how often it was connected."""

    def __init__(self) -> None:
        self.server = ""
        """The last server."""
        self.reconnects = -1
        """Connections made after the first one, which makes it 0."""
        self._connected = False
        self._since = monotonic()

    def connected(self, server: str) -> None:
        """It is connected to this server."""
        self.server = server
        self.reconnects += 1
        self._change(True)

    def lost(self) -> None:
        """It is not connected any more, unless it was not before."""
        if self._connected:
            self._change(False)

    def so_far(self) -> tuple[float, float]:
        """Seconds that it is connected, and that it is not; one of them is 0."""
        seconds = monotonic() - self._since
        return (seconds, 0.0) if self._connected else (0.0, seconds)

    def _change(self, connected: bool) -> None:
        self._connected = connected
        self._since = monotonic()
