"""What a middleware is told about a job."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from walnats_anyio._events import HEADER_TRACE
from walnats_anyio._link import HeaderError, Message, Metadata

if TYPE_CHECKING:
    from walnats_anyio._actors.declare._actor import Actor


@dataclasses.dataclass(frozen=True)
class BaseContext:
    """What every kind of context has."""

    actor: Actor[Any, Any]
    """The actor whose job it is."""

    _received: Message
    """What NATS delivered."""

    attempts: int
    """Which attempt this is, from 1: the runs of the handler for this event, this one included.

    Runs that a stop cut short and gave back to the server are not counted.
    """

    @property
    def metadata(self) -> Metadata:
        """What JetStream says about this delivery: sequences, timestamp, stream, consumer."""
        return self._received.metadata

    @property
    def seq_number(self) -> int:
        """The number of the event in its stream."""
        return int(self.metadata.sequence.stream)

    @property
    def trace_id(self) -> str | None:
        """The `trace_id` that the event was emitted with."""
        return self.headers.get(HEADER_TRACE)

    @property
    def headers(self) -> dict[str, str]:
        """All headers of the event; empty where they are malformed, which gives the event up."""
        try:
            return self._received.headers
        except HeaderError:
            return {}


@dataclasses.dataclass(frozen=True)
class Context(BaseContext):
    """A job starts."""

    message: Any
    """The decoded message."""


@dataclasses.dataclass(frozen=True)
class ErrorContext(BaseContext):
    """A job failed."""

    message: Any
    """The decoded message; None where it could not be decoded."""

    exception: BaseException
    """What the handler raised, or a `TimeoutError` where the job took too long."""


@dataclasses.dataclass(frozen=True)
class OkContext(BaseContext):
    """A job succeeded."""

    message: Any
    """The decoded message."""

    duration: float
    """Seconds that the handler took."""
