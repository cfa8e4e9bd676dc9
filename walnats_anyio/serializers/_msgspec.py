"""JSON through msgspec."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import msgspec
from msgspec import inspect

from walnats_anyio.serializers._base import Serializer
from walnats_anyio.serializers._difference import difference
from walnats_anyio.serializers._exact import exact_test, never
from walnats_anyio.serializers._json_schema import REF_TEMPLATE
from walnats_anyio.serializers._msgspec_schema import msgspec_schema
from walnats_anyio.serializers._schema import classes_of, describe, inspect_schema

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeForm

T = TypeVar("T")

_BYTES_LIKE = (inspect.BytesType, inspect.ByteArrayType, inspect.MemoryViewType)


@dataclasses.dataclass(frozen=True)
class MsgspecSerializer(Serializer[T]):
    """Messages as JSON: Structs, dataclasses, attrs classes, containers, dates and the like.

    Decoding validates: types, `msgspec.Meta` constraints, required fields. Encoding promises that
    what arrives equals the message, in value and in type, all the way down, and refuses the message
    where it would not: a field of a wrong type, a broken constraint, a NaN or an infinity, a tuple
    in a field of type `list`, fields that only a subclass has, `{1: ...}` where keys arrive as
    text, a time offset with seconds, a private field of an attrs class.

    Two things count as equal: an `int` where the schema says `float` arrives as a `float` of the
    same value, and a `datetime` in a time zone with a name arrives with its offset in place of
    the name.

    Raises:
        TypeError: msgspec cannot write the schema as JSON and read it back.
    """

    content_type: ClassVar[str] = "application/json"

    check: bool = True
    """Whether to make sure that every message arrives as it is.

    Where that is plain from the classes of its parts, looking at them costs about as much as
    encoding; other messages are decoded again and compared. False leaves it at the class of the
    message: what is inside is on your head.
    """

    _classes: tuple[type, ...] = dataclasses.field(init=False, repr=False, compare=False)
    """What a message must be an instance of."""

    _is_exact: Callable[[Any], bool] = dataclasses.field(init=False, repr=False, compare=False)
    """Whether a message certainly arrives as it is."""

    _encode: Callable[[Any], bytes] = dataclasses.field(init=False, repr=False, compare=False)
    """Of the one encoder."""

    _decode: Callable[[bytes], T] = dataclasses.field(init=False, repr=False, compare=False)
    """Of the one decoder."""

    _info: inspect.Type = dataclasses.field(init=False, repr=False, compare=False)
    """What msgspec makes of the schema."""

    def __post_init__(self) -> None:
        info = inspect_schema(self.schema)
        decoder = msgspec.json.Decoder(cast("type[T]", self.schema))
        object.__setattr__(self, "_info", info)
        object.__setattr__(self, "_classes", classes_of(self.schema))
        object.__setattr__(self, "_is_exact", exact_test(info) if self.check else never)
        object.__setattr__(self, "_encode", msgspec.json.Encoder().encode)
        object.__setattr__(self, "_decode", decoder.decode)
        # In place of the method below, without a call in between: 2 % of the way of an event.
        object.__setattr__(self, "decode", decoder.decode)

    @classmethod
    def new(cls, schema: TypeForm[Any], /) -> Self:
        """Make a serializer for a schema.

        Raises:
            TypeError: msgspec cannot write it as JSON and read it back; or it is `bytearray` or
                `memoryview`, or `bytes` of a limited length. As JSON they would be base64, which
                nobody expects beside `bytes` that go as they are.
        """
        if isinstance(inspect_schema(schema), _BYTES_LIKE):
            raise TypeError(
                f"no serializer for the schema {describe(schema)}: use plain `bytes`,"
                " with `limits` for its size, or pass `serializer=`"
            )
        return cls(schema)

    def __reduce__(self) -> tuple[Any, ...]:
        # msgspec's decoders cannot be pickled: the other side makes its own.
        return (type(self), (self.schema, self.check))

    def encode(self, message: T) -> bytes:
        """Turn a message into JSON.

        Raises:
            TypeError: the message is not of the schema's class, or holds something that JSON
                cannot.
            ValueError: something inside the message does not fit the schema, or would arrive as
                something else; the message says where.
        """
        if self._is_exact(message):
            return self._encode(message)
        if not isinstance(message, self._classes):
            raise TypeError(f"expected {describe(self.schema)}, got {type(message).__name__}")
        data = self._encode(message)
        if self.check:
            found = difference(message, self._decode(data))
            if found is not None:
                raise ValueError(
                    f"{found}: give it as it would arrive, or pass another `serializer=`"
                )
        return data

    def decode(self, data: bytes) -> T:
        """Turn JSON into a message.

        Raises:
            ValueError: it is not JSON, or does not fit the schema; the message says where.
        """
        return self._decode(data)

    def json_schema(self) -> dict[str, Any] | None:
        """Describe the messages, as msgspec does it.

        None: msgspec has no description of a part of the schema.
        """
        try:
            [described], parts = msgspec.json.schema_components(
                [self.schema], ref_template=REF_TEMPLATE
            )
        except TypeError:
            return None
        return described | ({"$defs": parts} if parts else {})

    def wire_schema(self) -> dict[str, Any] | None:
        """Describe what is written and read, to compare it with another version of the schema.

        None: there is no description of a part of the schema.
        """
        try:
            return msgspec_schema(self._info)
        except TypeError:
            return None
