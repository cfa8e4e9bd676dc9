"""Whether a connection is still there. Pure: it is told what was seen, and says what to do.

Theory of operation. A cable is pulled, a firewall forgets a connection, a server hangs: what is
sent goes nowhere, nothing comes, and no error says so. So the connection looks several times in a
`ping_interval`. At every interval it sends a PING, which a server answers in order with everything
else. While the answer is outstanding it looks for progress: bytes of ours that the socket took, or
messages that came. Without progress for `max_outstanding_pings` intervals the connection is lost.

Messages are no proof for long, as they may still come where nothing that is sent arrives: with
them, but without an answer, it is lost after `PATIENCE` intervals. Status messages, such as the
heartbeats of a consumer, are no progress at all, and neither is a frame that hardly grows.

While no answer is outstanding there is nothing to look for, so those looks are left out: a task
that wakes up for nothing is most of what an idle connection costs.

It counts looks, not seconds: a program that stood still itself has not heard anything either, and
gets the time to read what came meanwhile. And it is patient, as what was emitted without `uid` and
not acknowledged is sent again on the new connection: a server that pauses for some seconds must not
cost duplicates.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

LOOKS = 3
"""Looks in a `ping_interval`."""

PATIENCE = 8
"""Intervals without an answer after which messages are no proof any more."""

FRAME_GROWTH = 4096
"""Bytes that an incomplete message has to grow by between two looks, to count as progress."""


class Action(enum.Enum):
    """What the connection is to do."""

    NOTHING = "nothing"
    PING = "send a PING"
    CUT = "give the connection up"


@dataclass(slots=True)
class Seen:
    """What a connection has seen so far; all of it only grows, but `unsent` and `buffered`."""

    pongs: int = 0
    """Answers to a PING."""

    messages: int = 0
    """Chunks with messages that are no status messages."""

    buffered: int = 0
    """Bytes of a message that is not complete."""

    unsent: int = 0
    """Bytes that the socket did not take yet."""


class Keepalive:
    """Decides about one connection, look by look."""

    def __init__(self, max_outstanding_pings: int) -> None:
        self._quiet_looks = LOOKS * max_outstanding_pings
        self._before = Seen()
        self._pinged = False
        self._since_ping = 0
        self._quiet = 0

    @property
    def pause(self) -> int:
        """How many looks later the next one is due; those before it would find nothing to do."""
        return 1 if self._pinged else max(1, LOOKS - self._since_ping)

    def look(self, seen: Seen, after: int = 1) -> Action:
        """Take a look at what was seen.

        Args:
            seen: that; a new object each time.
            after: how many looks later than the last one this is.
        """
        before, self._before = self._before, seen
        if seen.pongs > before.pongs:
            self._pinged = False
            self._since_ping = self._quiet = 0
        self._since_ping += after
        if not self._pinged:
            if self._since_ping < LOOKS:
                return Action.NOTHING
            self._pinged = True
            self._since_ping = self._quiet = 0
            return Action.PING
        if seen.unsent < before.unsent:
            # The PING itself waits behind an upload over a slow line.
            self._since_ping = self._quiet = 0
        elif seen.messages > before.messages or seen.buffered >= before.buffered + FRAME_GROWTH:
            self._quiet = 0
        else:
            self._quiet += 1
        if self._quiet >= self._quiet_looks or self._since_ping >= LOOKS * PATIENCE:
            return Action.CUT
        return Action.PING if self._quiet and self._quiet % LOOKS == 0 else Action.NOTHING
