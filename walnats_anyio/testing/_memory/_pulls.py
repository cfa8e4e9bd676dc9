"""Pull requests that wait at a consumer."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


class NextRequest(msgspec.Struct):
    """The body of a pull request; durations are nanoseconds."""

    batch: int = 0
    expires: int = 0
    no_wait: bool = False
    max_bytes: int = 0
    idle_heartbeat: int = 0


@dataclass(slots=True, eq=False)
class Waiting:
    """A request that has not got all that it asked for."""

    reply: str
    left: int
    """Messages that it still wants."""
    max_bytes: int
    bytes_left: int
    no_wait: bool
    expires: int
    """When it is over; 0 for never."""
    idle_heartbeat: int
    heartbeat_at: int
    """When the next heartbeat is due; 0 for none."""
    got: int = 0
    """Messages that it has got."""

    @classmethod
    def of(cls, reply: str, request: NextRequest, now: int) -> Waiting:
        """What comes of a request."""
        beat = request.idle_heartbeat
        return cls(
            reply,
            request.batch,
            request.max_bytes,
            request.max_bytes,
            request.no_wait,
            now + request.expires if request.expires else 0,
            beat,
            now + beat if beat else 0,
        )

    @property
    def due(self) -> int:
        """When something is to be done about it; 0 for never."""
        times = [time for time in (self.expires, self.heartbeat_at) if time]
        return min(times, default=0)

    def expired(self, now: int) -> bool:
        """Whether its time is up."""
        return 0 < self.expires <= now

    def take(self, size: int, now: int) -> bool:
        """Count a message; whether it wants more."""
        if self.max_bytes:
            self.bytes_left -= size
            if not self.bytes_left:
                self.left = 1
        self.got += 1
        self.left -= 1
        if self.idle_heartbeat:
            self.heartbeat_at = now + self.idle_heartbeat
        return self.left > 0

    def pending_headers(self) -> dict[str, object]:
        """What it still asked for, as a status says it."""
        return {
            "Nats-Pending-Messages": self.left,
            "Nats-Pending-Bytes": self.bytes_left,
        }
