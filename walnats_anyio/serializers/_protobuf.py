"""Messages of Protocol Buffers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from google.protobuf.message import DecodeError, EncodeError, Message

from walnats_anyio.serializers._base import Serializer
from walnats_anyio.serializers._protobuf_schema import may_be_incomplete, schema_of
from walnats_anyio.serializers._schema import describe

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeForm

M = TypeVar("M", bound=Message)


@dataclasses.dataclass(frozen=True)
class ProtobufSerializer(Serializer[M]):
    """Messages in the binary format of Protocol Buffers: for classes that `protoc` makes.

    Extensions, and fields that the receiver does not know, arrive and stay in the message. Equal
    messages of one version of protobuf give equal bytes. What arrives may be of another version of
    the schema, or of another schema that happens to fit: the format holds numbers of fields, and no
    names.

    Raises:
        TypeError: the schema is no class of messages.
    """

    content_type: ClassVar[str] = "application/protobuf"

    check: bool = True
    """Whether each message is decoded again and compared, so that one that nobody could read is
    refused: it costs more than encoding does. Messages nested 100 times and more are such.
    False leaves it at the class and the required fields."""

    _may_be_incomplete: bool = dataclasses.field(init=False, repr=False, compare=False)
    """Whether there are required fields to look for; to look costs as much as to decode."""

    def __post_init__(self) -> None:
        if not _is_message_class(self.schema):
            raise TypeError(
                "ProtobufSerializer takes a class that protoc made from a `message`,"
                f" not {describe(self.schema)}"
            )
        incomplete = may_be_incomplete(cast("Any", self.schema).DESCRIPTOR)
        object.__setattr__(self, "_may_be_incomplete", incomplete)

    @classmethod
    def new(cls, schema: TypeForm[Any], /) -> Self | None:
        """Make a serializer for a schema. None: it is no class of protobuf messages."""
        return cls(schema) if _is_message_class(schema) else None

    def encode(self, message: M) -> bytes:
        """Turn a message into bytes.

        Raises:
            TypeError: it is not of the schema's class.
            ValueError: a required field is missing, or nobody could decode it.
        """
        kind: type[Any] = type(message)
        if kind is not cast("Any", self.schema):
            raise TypeError(f"expected {_place(self.schema)}, got {_place(kind)}")
        try:
            data = message.SerializeToString(deterministic=True)
        except EncodeError as error:
            raise ValueError(str(error)) from error
        if self.check:
            self._check(message, data)
        return data

    def decode(self, data: bytes) -> M:
        """Turn bytes into a message.

        Raises:
            ValueError: they are no message of the schema, or a required field is missing.
        """
        try:
            message = cast("type[M]", self.schema).FromString(data)
        except DecodeError as error:
            raise ValueError(str(error)) from error
        if self._may_be_incomplete and not message.IsInitialized():
            # Every implementation has it; the published types do not.
            missing = ", ".join(cast("Any", message).FindInitializationErrors())
            raise ValueError(f"required fields are missing: {missing}")
        return message

    def json_schema(self) -> dict[str, Any]:
        """Describe the messages as JSON Schema, in the JSON format of Protocol Buffers.

        Numbers of 64 bits may be text there, `bytes` are base64, enums are names.
        """
        return schema_of(cast("Any", self.schema).DESCRIPTOR)

    def _check(self, message: M, data: bytes) -> None:
        try:
            back = self.decode(data)
        except ValueError as error:
            raise ValueError(f"nobody could decode it: {error}") from error
        # A NaN is equal to nothing, and arrives all the same.
        if back != message and back.SerializeToString(deterministic=True) != data:
            raise ValueError("it would arrive as something else")


def _place(kind: Any) -> str:
    """Name a class by its module too: two files may have messages of one name."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_message_class(schema: object) -> bool:
    # `Message` itself describes nothing.
    return (
        isinstance(schema, type)
        and issubclass(schema, Message)
        and getattr(schema, "DESCRIPTOR", None) is not None
    )
