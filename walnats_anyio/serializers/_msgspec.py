"""JSON and MessagePack through msgspec."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from msgspec import inspect

from walnats_anyio.serializers._adapt import Adapted, adapt, one_at_a_time
from walnats_anyio.serializers._base import Serializer
from walnats_anyio.serializers._classes import classes_of, unwrap
from walnats_anyio.serializers._customs import DECODE_HOOKS, encode_hook
from walnats_anyio.serializers._describe import described
from walnats_anyio.serializers._difference import difference
from walnats_anyio.serializers._exact import exact_test, never
from walnats_anyio.serializers._msgspec_schema import msgspec_schema
from walnats_anyio.serializers._schema import describe, inspect_schema
from walnats_anyio.serializers._wire import Wire

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeForm

T = TypeVar("T")

_ANYTHING: Any = object


@dataclasses.dataclass(frozen=True)
class _ByMsgspec(Serializer[T]):
    """What the serializers by msgspec have in common."""

    wire: ClassVar[Wire]
    """The format."""

    check: bool = True
    """Whether to make sure that every message arrives as it is.

    Where that is plain from the classes of its parts, looking at them costs about as much as
    encoding; other messages are decoded again and compared. False leaves it at the class of the
    message: what is inside is on your head.
    """

    _adapted: Adapted = dataclasses.field(init=False, repr=False, compare=False)
    """The schema as msgspec takes it."""

    _info: inspect.Type = dataclasses.field(init=False, repr=False, compare=False)
    """What msgspec makes of that."""

    _classes: tuple[type, ...] = dataclasses.field(init=False, repr=False, compare=False)
    """What a message must be an instance of."""

    _is_exact: Callable[[Any], bool] = dataclasses.field(init=False, repr=False, compare=False)
    """Whether a message certainly arrives as it is."""

    _encode: Callable[[Any], bytes] = dataclasses.field(init=False, repr=False, compare=False)
    """Of the one encoder."""

    _decode: Callable[[bytes], T] = dataclasses.field(init=False, repr=False, compare=False)
    """Of the one decoder."""

    def __post_init__(self) -> None:
        with one_at_a_time:
            self._prepare()

    def _prepare(self) -> None:
        try:
            adapted = adapt(self.schema)
        except NameError as error:
            raise TypeError(
                f"no serializer for the schema {describe(self.schema)}: {error};"
                " or pass `serializer=`"
            ) from error
        with adapted.in_place():
            for choice in adapted.choices:
                choice.prepare(DECODE_HOOKS)
            info, customs = inspect_schema(adapted.schema, self.wire, describe(self.schema))
            hook = DECODE_HOOKS[self.wire] if customs else None
            decoder = self.wire.library.Decoder(adapted.schema, dec_hook=hook)
            is_exact = exact_test(info) if self.check else never
        encoder = self.wire.library.Encoder(enc_hook=encode_hook(customs) if customs else None)
        object.__setattr__(self, "_adapted", adapted)
        object.__setattr__(self, "_info", info)
        object.__setattr__(self, "_classes", classes_of(self.schema))
        object.__setattr__(self, "_is_exact", is_exact)
        object.__setattr__(self, "_encode", encoder.encode)
        object.__setattr__(self, "_decode", decoder.decode)
        # In place of the method below, without a call in between: 2 % of the way of an event.
        object.__setattr__(self, "decode", decoder.decode)

    def __reduce__(self) -> tuple[Any, ...]:
        # msgspec's decoders cannot be pickled: the other side makes its own.
        return (type(self), (self.schema, self.check))

    def encode(self, message: T) -> bytes:
        """Turn a message into bytes.

        Raises:
            TypeError: the message is not of the schema's class, or holds something that cannot be
                written.
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
        """Turn bytes into a message.

        Raises:
            ValueError: they are not of the format, or do not fit the schema; the message says
                where.
        """
        return self._decode(data)

    def json_schema(self) -> dict[str, Any] | None:
        """Describe the messages, as msgspec does it.

        None: msgspec has no description of a part of the schema, such as a default that cannot be
        written.
        """
        with self._adapted.in_place():
            return described(self._adapted.schema)

    def wire_schema(self) -> dict[str, Any] | None:
        """Describe what is written and read, to compare it with another version of the schema.

        None: there is no description of a part of the schema.
        """
        with self._adapted.in_place():
            return msgspec_schema(self._info, self.wire)


@dataclasses.dataclass(frozen=True)
class MsgspecSerializer(_ByMsgspec[T]):
    """Messages as JSON: Structs, dataclasses, attrs classes, containers, dates and the like.

    Decoding validates: types, `msgspec.Meta` constraints, required fields, and unknown ones where
    the class has `forbid_unknown_fields`. Encoding promises that what arrives equals the message,
    in value and in type, all the way down, and refuses the message where it would not: a field of a
    wrong type, a broken constraint, a NaN or an infinity, a tuple in a field of type `list`, fields
    that only a subclass has, `{1: ...}` where keys arrive as text, a time offset with seconds, a
    private field of an attrs class.

    Two things count as equal: an `int` where the schema says `float` arrives as a `float` of the
    same value, and a `datetime` in a time zone with a name arrives with its offset in place of
    the name.

    Beyond what msgspec takes by itself, a schema may have: subclasses of `str`, `int`, `float`,
    `bytes`, `dict`, `list`, `tuple`, `set`, `frozenset`, `datetime` and `date`, which are made by
    calling the class; unions of dataclasses, attrs classes and TypedDicts, told apart by their
    fields; and classes of a function under postponed annotations.

    Raises:
        TypeError: the schema cannot be written as JSON and read back.
    """

    wire: ClassVar[Wire] = Wire.JSON
    content_type: ClassVar[str] = "application/json"

    @classmethod
    def new(cls, schema: TypeForm[Any], /) -> Self | None:
        """Make a serializer for a schema.

        Raises:
            TypeError: it cannot be written as JSON and read back; or it is `bytearray` or
                `memoryview`, or `bytes` of a limited length. As JSON they would be base64, which
                nobody expects beside `bytes` that go as they are.
        """
        if unwrap(schema) in (bytes, bytearray, memoryview):
            raise TypeError(
                f"no serializer for the schema {describe(schema)}: use plain `bytes`,"
                " with `limits` for its size, or pass `serializer=`"
            )
        return cls(schema)


@dataclasses.dataclass(frozen=True)
class MessagePackSerializer(_ByMsgspec[T]):
    """Messages as MessagePack: smaller than JSON, and bytes, infinities and keys stay as they are.

    It takes the schemas of `MsgspecSerializer`, and keeps the same promise. Other than in JSON, the
    keys of a dict may be numbers, tuples and whatever else can be hashed; bytes are not written as
    text, and infinities arrive. An `int` has at most 64 bits. A `datetime` with a time zone arrives
    in UTC, so one with another offset is refused.

    Raises:
        TypeError: the schema cannot be written as MessagePack and read back.
    """

    schema: TypeForm[T] = _ANYTHING
    """The type of the messages. `object`: whatever MessagePack itself knows."""

    wire: ClassVar[Wire] = Wire.MESSAGE_PACK
    content_type: ClassVar[str] = "application/vnd.msgpack"
