"""How much a stream may hold before the server starts to forget."""

from __future__ import annotations

import dataclasses
from typing import Any

from walnats_anyio._events._arguments import MAX_INT64, check_count, check_seconds

MAX_INT32 = 2**31 - 1
MIN_SECONDS = 0.1
"""The shortest time that the server keeps an event, or the memory of one."""


@dataclasses.dataclass(frozen=True, repr=False)
class Limits:
    """How much the stream of an event may hold. None means no limit.

    An event is removed from its stream as soon as every actor is done with it, so limits matter for
    events that wait: for an actor that is slow, or away. When `age`, `messages` or `bytes` is
    reached, the server drops the oldest events, handled or not, and accepts the new one.

        Limits(age=24 * 3600, messages=1_000_000)

    Args:
        age: how long an event may wait in the stream, in seconds, at least 0.1.
        consumers: how many actors the event may have.
        messages: how many events may wait in the stream.
        bytes: how many bytes the stream may take, headers and overhead included.
        message_size: the largest event accepted, in bytes, headers included.

    Raises:
        TypeError: a limit is neither None nor a number (`bool` is not one here).
        ValueError: a limit is zero, negative, not finite, or more than the server can store.
    """

    age: float | None = None
    """How long an event may wait in the stream, in seconds, at least 0.1.

    Older ones are dropped.
    """

    consumers: int | None = None
    """How many actors the event may have. The server refuses to register one more."""

    messages: int | None = None
    """How many events may wait in the stream. At the limit, each new one pushes out the oldest."""

    bytes: int | None = None
    """How many bytes the stream may take, headers and overhead included.

    At the limit, the oldest go.
    """

    message_size: int | None = None
    """The largest event accepted, in bytes, headers included. Emitting a larger one fails.

    Whatever is set here, the server refuses messages over its own `max_payload` (1 MB unless
    configured).
    """

    def __post_init__(self) -> None:
        if self.age is not None:
            check_seconds("limits.age", self.age, MIN_SECONDS)
        check_count("limits.consumers", self.consumers, MAX_INT64, optional=True)
        check_count("limits.messages", self.messages, MAX_INT64, optional=True)
        check_count("limits.bytes", self.bytes, MAX_INT64, optional=True)
        check_count("limits.message_size", self.message_size, MAX_INT32, optional=True)

    def __repr__(self) -> str:
        limits = [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]
        shown = [f"{name}={limit!r}" for name, limit in limits if limit is not None]
        return f"Limits({', '.join(shown)})"

    def evolve(self, **changes: Any) -> Limits:
        """Make a copy with the given limits changed; the others stay as they are.

        Raises:
            TypeError: there is no such limit, or its value is of a wrong type.
            ValueError: the new value is out of range.
        """
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise TypeError(f"Limits has no {name!r}: there are {', '.join(known)}")
        return dataclasses.replace(self, **changes)


NO_LIMITS = Limits()
