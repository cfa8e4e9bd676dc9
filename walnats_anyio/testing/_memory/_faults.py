"""What goes wrong on purpose: messages that are lost, or late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from walnats_anyio.testing._memory._commands import Publish, headers_of
from walnats_anyio.testing._memory._subjects import matches

Direction: TypeAlias = Literal["to_server", "to_client"]


@dataclass(frozen=True, slots=True)
class MemoryMessage:
    """A message on its way, as `MemoryServer.drop` and `MemoryServer.delay` show it."""

    subject: str
    """What it was published to. A delivery of JetStream has the subject of its event."""

    reply: str
    """Where an answer or acknowledgement goes; empty for nowhere."""

    header: bytes
    """The header block; empty when there is none."""

    data: bytes
    """The payload."""

    inbox: str
    """The subject of the subscription that gets it; the same as `subject` on the way to the
    server."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers, the first of each name."""
        return headers_of(self.header)


def shown(publish: Publish, inbox: str) -> MemoryMessage:
    """A message as it is shown."""
    return MemoryMessage(publish.subject, publish.reply, publish.header, publish.payload, inbox)


Match: TypeAlias = str | Callable[[MemoryMessage], bool]


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong."""

    match: Match
    direction: Direction
    left: int | None
    """How many messages are still to be hit; None for all."""

    delay: int | None
    """Nanoseconds that a message is late; None for one that is lost."""

    def hits(self, direction: Direction, publish: Publish, inbox: str) -> bool:
        """Whether it concerns this message."""
        if direction != self.direction or self.left == 0:
            return False
        if isinstance(self.match, str):
            return matches(self.match, publish.subject) or matches(self.match, inbox)
        return bool(self.match(shown(publish, inbox)))


class Faults:
    """All that is to go wrong, first set first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Have it go wrong from now on."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Nothing more goes wrong."""
        self._faults.clear()

    def hit(self, direction: Direction, publish: Publish, inbox: str) -> Fault | None:
        """What goes wrong with a message; it is counted."""
        for fault in self._faults:
            if fault.hits(direction, publish, inbox):
                if fault.left is not None:
                    fault.left -= 1
                    if not fault.left:
                        self._faults.remove(fault)
                return fault
        return None
