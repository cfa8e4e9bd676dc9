"""Messages by schemas of marshmallow, as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, cast

import marshmallow
from marshmallow.exceptions import SCHEMA

from walnats_anyio.serializers._base import Serializer
from walnats_anyio.serializers._difference import difference
from walnats_anyio.serializers._schema import describe

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeForm

_MOST_ERRORS = 10
"""Errors of one validation that are told."""

_LONGEST_NAME = 80
"""Characters of a field's name that are told."""


@dataclasses.dataclass(frozen=True)
class MarshmallowSerializer(Serializer[Any]):
    """Messages as JSON, by a schema of marshmallow: what its `load` returns, and its `dump` takes.

    That is a dict, or the object that a `post_load` method makes. For a type checker the schema is
    not the type of the messages, so pass the serializer, and the type as the schema of the event:

        Event("order-placed", dict[str, Any], serializer=MarshmallowSerializer(OrderSchema))

    Each message is dumped, loaded again and compared. So `encode` refuses what the receiver's
    validation would, a value for a `load_only` or an unknown field, a missing field with a
    `load_default`, and every message of a schema with a `dump_only` field that refuses it again.

    An object that has no `__eq__` of its own is compared by its attributes.

    Raises:
        TypeError: the schema is no class derived from `marshmallow.Schema`, or cannot be made
            without arguments.
    """

    schema: TypeForm[Any]
    """A class derived from `marshmallow.Schema`."""

    content_type: ClassVar[str] = "application/json"

    check: bool = True
    """Whether each message is loaded again and compared, at the price of one `load`. False leaves
    everything to the `dump` of the schema, which takes nearly anything."""

    # marshmallow is half typed.
    _made: Any = dataclasses.field(init=False, repr=False, compare=False)
    """The one instance of the schema."""

    def __post_init__(self) -> None:
        if not _is_schema_class(self.schema):
            raise TypeError(
                "MarshmallowSerializer takes a class derived from marshmallow.Schema,"
                f" not {describe(self.schema)}"
            )
        try:
            made = cast("type[marshmallow.Schema]", self.schema)()
        except Exception as error:
            raise TypeError(
                f"the schema {describe(self.schema)} must be one that can be made without"
                f" arguments: {error}"
            ) from error
        object.__setattr__(self, "_made", made)

    def __reduce__(self) -> tuple[Any, ...]:
        # Schemas have no equality and hold functions: the other side makes its own.
        return (type(self), (self.schema, self.check))

    @classmethod
    def new(cls, schema: TypeForm[Any], /) -> Self | None:
        """Make a serializer for a schema. None: it is no class of schemas of marshmallow."""
        return cls(schema) if _is_schema_class(schema) else None

    def encode(self, message: Any) -> bytes:
        """Turn a message into JSON.

        Raises:
            TypeError: it holds what cannot be written as JSON.
            ValueError: it would not be loaded, or would arrive as something else; the error says
                where.
        """
        text: str | bytes = self._made.dumps(message)
        # Some JSON libraries, which a schema may name in its `render_module`, write bytes.
        data = text.encode() if isinstance(text, str) else text
        if self.check:
            self._check(message, data)
        return data

    def decode(self, data: bytes) -> Any:
        """Turn JSON into a message.

        Raises:
            ValueError: it is not JSON, or does not fit the schema; the error says where.
        """
        try:
            return self._made.loads(data.decode())
        except marshmallow.ValidationError as error:
            raise ValueError(_summary(cast("Any", error).messages)) from error

    def json_schema(self) -> dict[str, Any] | None:
        """Describe what is written, as the package apispec does it for OpenAPI 3.1.

        Fields that are only loaded or only dumped are `writeOnly` or `readOnly` there. None:
        apispec, which the extra installs, is not there.
        """
        try:
            from walnats_anyio.serializers._marshmallow_schema import schema_of
        except ModuleNotFoundError:
            return None
        return schema_of(self._made)

    def _check(self, message: Any, data: bytes) -> None:
        try:
            back = self.decode(data)
        except ValueError as error:
            raise ValueError(f"it would not be loaded: {error}") from error
        found = difference(message, back)
        if found is None:
            return
        field = self._changed_field(message, back)
        if field is not None:
            found = f"the field {field!r} would {'get lost' if field in message else 'be added'}"
        raise ValueError(f"{found}: give it as `load` of {describe(self.schema)} returns it")

    def _changed_field(self, message: Any, back: Any) -> str | None:
        """Name a field that only one of two dicts has. None: there is none."""
        if not isinstance(message, dict) or not isinstance(back, dict):
            return None
        # Other keys may be data, and stay out of errors.
        names = (field.attribute or name for name, field in self._made.fields.items())
        return next((name for name in names if (name in message) != (name in back)), None)


def _is_schema_class(schema: object) -> bool:
    return (
        isinstance(schema, type)
        and issubclass(schema, marshmallow.Schema)
        and schema is not marshmallow.Schema
    )


def _summary(messages: object) -> str:
    """The first errors of a validation; whoever sends rubbish does not write our logs."""
    told = list(islice(_told(messages), _MOST_ERRORS + 1))
    return "; ".join(told[:_MOST_ERRORS]) + ("; and more" if len(told) > _MOST_ERRORS else "")


def _told(messages: object, path: str = "$") -> Iterator[str]:
    """The errors of a validation, a text for each, with the place it belongs to."""
    if isinstance(messages, Mapping):
        for key, inside in cast("Mapping[object, object]", messages).items():
            yield from _told(inside, path + _step(key))
    elif isinstance(messages, list):
        for inside in cast("list[object]", messages):
            yield from _told(inside, path)
    else:
        yield f"{messages} - at `{path}`"


def _step(key: object) -> str:
    if key == SCHEMA:
        return ""
    return f"[{key}]" if isinstance(key, int) else f".{str(key)[:_LONGEST_NAME]}"
