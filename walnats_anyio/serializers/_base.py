"""What a serializer is, and the two errors an event raises when one refuses."""

from __future__ import annotations

from typing import Protocol, TypeVar

from walnats_anyio._link._errors import WalnatsError

T = TypeVar("T")


class Serializer(Protocol[T]):
    """Turns messages into bytes and back: anything with these two methods.

    Either method may raise whatever it likes for what it does not take; the event turns that into
    an `EncodeError` or a `DecodeError` that names the event. Serializers are part of frozen
    declarations: give them equality by value (a frozen dataclass has it) and no state.
    """

    def encode(self, message: T) -> bytes:
        """Turn a message into bytes."""
        ...

    def decode(self, data: bytes) -> T:
        """Turn bytes back into a message, and make sure it is one."""
        ...


class EncodeError(TypeError, ValueError):
    """A message does not fit the schema of the event it was given to.

    It may be of a wrong type, or break a constraint on its value: hence both bases.
    """


class DecodeError(WalnatsError, ValueError):
    """What arrived as an event is not a message of the event's schema."""
