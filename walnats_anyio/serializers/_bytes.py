"""Messages that are bytes already."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from msgspec import inspect

from walnats_anyio.serializers._base import Serializer
from walnats_anyio.serializers._schema import inspect_schema

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeForm


@dataclasses.dataclass(frozen=True)
class BytesSerializer(Serializer[bytes]):
    """Sends bytes as they are: the serializer of the schema `bytes`."""

    schema: TypeForm[bytes] = bytes
    """`bytes`."""

    @classmethod
    def new(cls, schema: TypeForm[Any], /) -> Self | None:
        """Make the serializer of `bytes`. None: the schema is something else."""
        return cls() if inspect_schema(schema) == inspect.BytesType() else None

    def encode(self, message: bytes) -> bytes:
        """Return the message itself.

        Raises:
            TypeError: the message is not `bytes`. A `bytearray` or a `memoryview` is not either: it
                could change after `emit` returned, while the event still waits to be sent. A
                subclass would arrive as `bytes`.
        """
        if type(message) is not bytes:
            raise TypeError(
                f"expected bytes, got {type(message).__name__}: convert it with bytes()"
            )
        return message

    def decode(self, data: bytes) -> bytes:
        """Return the data itself."""
        return data
