"""Messages that are bytes already."""

from __future__ import annotations

import dataclasses
import typing
from typing import TYPE_CHECKING, Any, cast

import msgspec

from walnats_anyio.serializers._base import Serializer
from walnats_anyio.serializers._classes import unwrap
from walnats_anyio.serializers._difference import difference
from walnats_anyio.serializers._schema import describe

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeForm


@dataclasses.dataclass(frozen=True)
class BytesSerializer(Serializer[bytes]):
    """Sends bytes as they are: the serializer of the schema `bytes`, and of subclasses of it.

    Raises:
        TypeError: the schema is something else.
    """

    schema: TypeForm[bytes] = bytes
    """`bytes`, or a subclass, which is called with what arrives."""

    _class: type[bytes] = dataclasses.field(init=False, repr=False, compare=False)
    """What a message must be, and nothing derived from it."""

    def __post_init__(self) -> None:
        kind = unwrap(self.schema)
        if not isinstance(kind, type) or not issubclass(kind, bytes):
            raise TypeError(
                f"BytesSerializer takes bytes and subclasses of it, not {describe(self.schema)}"
            )
        object.__setattr__(self, "_class", kind)

    @classmethod
    def new(cls, schema: TypeForm[Any], /) -> Self | None:
        """Make the serializer of `bytes` or a subclass. None: the schema is something else."""
        kind = unwrap(schema)
        fits = isinstance(kind, type) and issubclass(kind, bytes) and not _is_limited(schema)
        return cls(cast("type[bytes]", kind)) if fits else None

    def encode(self, message: bytes) -> bytes:
        """Return the message itself.

        Raises:
            TypeError: the message is not `bytes`. A `bytearray` or a `memoryview` is not either: it
                could change after `emit` returned, while the event still waits to be sent. One of
                another class would arrive as the schema's class.
            ValueError: of a subclass: it would not arrive as it is, such as with attributes.
        """
        if type(message) is not self._class:
            raise TypeError(
                f"expected {self._class.__name__}, got {type(message).__name__}: convert it with"
                f" {self._class.__name__}()"
            )
        if self._class is bytes:
            return message
        data = bytes(memoryview(message))
        found = difference(message, self.decode(data))
        if found is not None:
            raise ValueError(found)
        return data

    def decode(self, data: bytes) -> bytes:
        """Return the data itself, as the schema's class."""
        return data if self._class is bytes else self._class(data)


def _is_limited(schema: Any) -> bool:
    if typing.get_origin(schema) is not typing.Annotated:
        return False
    return any(isinstance(each, msgspec.Meta) for each in schema.__metadata__)
