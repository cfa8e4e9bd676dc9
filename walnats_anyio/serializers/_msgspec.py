"""JSON through msgspec."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from walnats_anyio.serializers._schema import classes_of, describe, inspect_schema

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class MsgspecSerializer(Generic[T]):
    """Messages as JSON: Structs, dataclasses, attrs classes, containers, dates and the like.

    Decoding validates: types, `msgspec.Meta` constraints, required fields. So does encoding, in two
    steps: the message must be an instance of the schema's class (of `list` for `list[int]`), and
    what it was encoded to must decode. A Struct whose field holds a wrong type, a NaN (which JSON
    does not have), a broken constraint are refused where the event is emitted rather than in every
    actor. Inside a message it is the JSON that counts: a tuple in a field of type `list` passes,
    and arrives as a list.

    Raises:
        TypeError: msgspec cannot write the schema as JSON and read it back.
    """

    schema: TypeForm[T]
    """The type of the messages."""

    check: bool = True
    """Whether to decode again what was encoded, to be sure that every actor can.

    That costs about as much as decoding does: 0.2 us for a Struct of two fields, and more CPU time
    than encoding itself for a large message. False leaves it at the class of the message.
    """

    _classes: tuple[type, ...] = dataclasses.field(init=False, repr=False, compare=False)
    """What a message must be an instance of."""

    _encode: Callable[[Any], bytes] = dataclasses.field(init=False, repr=False, compare=False)
    """Of the one encoder."""

    _decode: Callable[[bytes], T] = dataclasses.field(init=False, repr=False, compare=False)
    """Of the one decoder."""

    def __post_init__(self) -> None:
        inspect_schema(self.schema)
        decoder = msgspec.json.Decoder(cast("type[T]", self.schema))
        object.__setattr__(self, "_classes", classes_of(self.schema))
        object.__setattr__(self, "_encode", msgspec.json.Encoder().encode)
        object.__setattr__(self, "_decode", decoder.decode)

    def __reduce__(self) -> tuple[Any, ...]:
        # msgspec's decoders cannot be pickled: the other side makes its own.
        return (type(self), (self.schema, self.check))

    def encode(self, message: T) -> bytes:
        """Turn a message into JSON.

        Raises:
            TypeError: the message is not of the schema's class, or holds something that JSON
                cannot.
            ValueError: something inside the message does not fit the schema.
        """
        if not isinstance(message, self._classes):
            raise TypeError(f"expected {describe(self.schema)}, got {type(message).__name__}")
        data = self._encode(message)
        if self.check:
            self._decode(data)
        return data

    def decode(self, data: bytes) -> T:
        """Turn JSON into a message.

        Raises:
            ValueError: it is not JSON, or does not fit the schema; the message says where.
        """
        return self._decode(data)
