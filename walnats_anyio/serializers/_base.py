"""What a serializer is, and the two errors an event raises when one refuses."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from walnats_anyio._link._errors import WalnatsError

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeForm

T = TypeVar("T")


class Codec(Protocol[T]):
    """Anything that turns messages into bytes and back: what an event takes as `serializer=`.

    Either method may raise whatever it likes for what it does not take; the event turns that into
    an `EncodeError` or a `DecodeError` that names the event. It is part of frozen declarations:
    give it equality by value (a frozen dataclass has it) and no state. `Serializer` is a base class
    for one, but none is needed.
    """

    def encode(self, message: T) -> bytes:
        """Turn a message into bytes."""
        ...

    def decode(self, data: bytes) -> T:
        """Turn bytes back into a message, and make sure it is one."""
        ...


@dataclasses.dataclass(frozen=True)
class Serializer(ABC, Generic[T]):
    """Base class of serializers: it takes the schema, and turns messages of it into bytes and back.

    A subclass has `encode` and `decode`, and may have `new` and `json_schema`. Without fields of
    its own it needs no decorator; with some it is a frozen dataclass as well. It is a value: it is
    equal to another one of equal fields, and holds no state.

    The law of every serializer here: what `decode` makes of the bytes equals the message, in value
    and in type, or `encode` raises. Keep to it in your own.
    """

    schema: TypeForm[T]
    """The type of the messages."""

    content_type: ClassVar[str] = "application/octet-stream"
    """The media type of what `encode` returns."""

    @classmethod
    def new(cls, schema: TypeForm[Any], /) -> Self | None:
        """Make a serializer for a schema. None: this class is not the one for it.

        `get_serializer` calls it, of the classes of the library, to find the one for a schema. For
        your own class it need not be written: it makes `cls(schema)`.

        Raises:
            TypeError: this class is the one for the schema, but a part of it cannot be written and
                read back.
        """
        return cls(schema)

    @abstractmethod
    def encode(self, message: T) -> bytes:
        """Turn a message into bytes.

        Raises:
            TypeError: the message is of a wrong type.
            ValueError: it does not fit the schema, or would arrive as something else.
        """

    @abstractmethod
    def decode(self, data: bytes) -> T:
        """Turn bytes back into a message, and make sure it is one.

        Raises:
            ValueError: the bytes are no message of the schema.
        """

    def json_schema(self) -> dict[str, Any] | None:
        """Describe the messages as JSON Schema, draft 2020-12. None: there is no description.

        It is for people and programs that read about events, not for decoding. Call the function
        `json_schema` instead, which takes any serializer and checks what this method gives.
        """
        return None


class EncodeError(TypeError, ValueError):
    """A message does not fit the schema of the event it was given to.

    It may be of a wrong type, or break a constraint on its value: hence both bases.
    """


class DecodeError(WalnatsError, ValueError):
    """What arrived as an event is not a message of the event's schema."""
