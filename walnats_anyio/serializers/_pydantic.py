"""Pydantic models as JSON."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pydantic
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from walnats_anyio.serializers._annotations import (
    annotated_bases,
    annotations_of,
    has_fields,
    local_names,
)
from walnats_anyio.serializers._base import Serializer
from walnats_anyio.serializers._classes import unwrap
from walnats_anyio.serializers._difference import difference
from walnats_anyio.serializers._json_schema import REF_TEMPLATE
from walnats_anyio.serializers._pydantic_schema import WireDescriber
from walnats_anyio.serializers._pydantic_unions import Nesting, nesting_of
from walnats_anyio.serializers._schema import describe
from walnats_anyio.serializers._wire_schema import without_notes

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeForm

T = TypeVar("T")

_MARKS = ("__pydantic_core_schema__", "__get_pydantic_core_schema__")
"""What a class has that pydantic knows how to validate, and nobody else."""

_METADATA = ("pydantic", "annotated_types")
"""The packages whose marks in `Annotated` pydantic respects, and msgspec does not."""

_SHOWN_ERRORS = 3
"""Errors that a message shows. A wrong list of 1000 items has 1000."""


@dataclasses.dataclass(frozen=True)
class PydanticSerializer(Serializer[T]):
    """Messages as JSON, by pydantic v2.

    It takes models, pydantic dataclasses, `RootModel`, and whatever `pydantic.TypeAdapter` takes:
    lists and dicts of models, unions with or without a discriminator, dataclasses with models in
    them, `Annotated[int, Field(gt=0)]`.

    Decoding validates as the models say: lax unless they are strict, unknown fields ignored unless
    they are forbidden. Encoding promises that what arrives equals the message, in value and in
    type, all the way down: each message is decoded again and compared, so that it takes several
    times as long as encoding alone. A message that would change is refused: fields that only a
    subclass has, private attributes with other values than a new model has, `SecretStr`, fields
    with `exclude=True` that are not at their default, fields that a pydantic dataclass with
    `extra="allow"` does not declare, NaN.

    Fields go out under their serialization alias; both that and the name are read, where the
    validation alias is the same. Computed fields are left out, as they are computed again.

    Models of a union without a discriminator that contain each other are tried at every level, so
    that messages of them that are nested deep are refused, by both sides.

    Raises:
        TypeError: pydantic cannot validate the schema, or a part of it is not defined yet.
    """

    content_type: ClassVar[str] = "application/json"

    check: bool = True
    """Whether to make sure that every message arrives as it is. False: it is on your head."""

    _adapter: pydantic.TypeAdapter[T] = dataclasses.field(init=False, repr=False, compare=False)
    """What validates and writes."""

    _nesting: Nesting | None = dataclasses.field(init=False, repr=False, compare=False)
    """What a message may be nested in. None: anything, as each part is validated once."""

    def __post_init__(self) -> None:
        try:
            adapter = _adapter_of(self.schema)
        except Exception as error:
            # Of what is no type at all it says so in various ways.
            first = str(error).partition("\n")[0]
            raise TypeError(
                f"no serializer for the schema {describe(self.schema)}: {first};"
                " use types that pydantic supports, all defined before the event is declared,"
                " or pass `serializer=`"
            ) from error
        object.__setattr__(self, "_adapter", adapter)
        object.__setattr__(self, "_nesting", nesting_of(adapter.core_schema))

    @classmethod
    def new(cls, schema: TypeForm[Any], /) -> Self | None:
        """Make a serializer for a schema. None: there is nothing of pydantic in it.

        Raises:
            TypeError: pydantic cannot validate it.
        """
        return cls(schema) if any(map(_is_of_pydantic, _Walk().over(schema))) else None

    def __reduce__(self) -> tuple[Any, ...]:
        # The other side makes its own validator.
        return (type(self), (self.schema, self.check))

    def encode(self, message: T) -> bytes:
        """Turn a message into JSON.

        Raises:
            ValueError: it does not fit the schema, or would arrive as something else; the error
                says where.
        """
        try:
            # Fields of a wrong type are found by decoding them.
            data = self._adapter.dump_json(message, by_alias=True, round_trip=True, warnings=False)
        except pydantic.ValidationError as error:
            raise ValueError(_told(error)) from None
        if self.check:
            found = difference(message, self.decode(data))
            if found is not None:
                raise ValueError(
                    f"{found}: give it as it would arrive, or pass another `serializer=`"
                )
        return data

    def decode(self, data: bytes) -> T:
        """Turn JSON into a message.

        Raises:
            ValueError: it is not JSON, or does not fit the schema; the error says where, and what
                was expected, but not what was found: messages may be secret, and errors are logged.
        """
        if self._nesting is not None:
            self._nesting.check(data)
        try:
            return self._adapter.validate_json(data, by_alias=True, by_name=True)
        except pydantic.ValidationError as error:
            # Without the cause, whose text has the values.
            raise ValueError(_told(error)) from None

    def json_schema(self) -> dict[str, Any] | None:
        """Describe the messages, as pydantic does it, by what it validates.

        None: pydantic has no description of a part of the schema.
        """
        return self._described(_Describer)

    def wire_schema(self) -> dict[str, Any] | None:
        """Describe what is written and read, to compare it with another version of the schema.

        None: pydantic has no description of a part of the schema.
        """
        described = self._described(WireDescriber)
        return None if described is None else without_notes(described, writes_defaults=True)

    def _described(self, describer: type[GenerateJsonSchema]) -> dict[str, Any] | None:
        try:
            return self._adapter.json_schema(
                by_alias=True,
                ref_template=REF_TEMPLATE.format(name="{model}"),
                schema_generator=describer,
            )
        except pydantic.PydanticUserError:
            return None


class _Describer(GenerateJsonSchema):
    """Describes what can be described, and keeps quiet about the rest."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Called with what is left out: a default that is no JSON, an option of a union."""


def _adapter_of(schema: Any) -> pydantic.TypeAdapter[Any]:
    adapter = pydantic.TypeAdapter[Any](schema)
    if not adapter.pydantic_complete:  # it may lack names that only a function has
        names: dict[str, Any] = {}
        for part in _Walk().over(schema):
            if isinstance(part, type):
                names |= local_names(part)
        adapter.rebuild(raise_errors=True, _types_namespace=names)
    return adapter


def _told(error: pydantic.ValidationError) -> str:
    """Say what is wrong, and where, without the values."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{each['msg']} - at `{_path(each['loc'])}`" for each in found[:_SHOWN_ERRORS]]
    more = len(found) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _path(location: Sequence[int | str]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _is_of_pydantic(part: Any) -> bool:
    package = type(part).__module__.partition(".")[0]
    return package in _METADATA or any(hasattr(part, mark) for mark in _MARKS)


class _Walk:
    """Lists the classes of a schema, and what `Annotated` has; a schema may contain itself."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def over(self, part: Any) -> Iterator[Any]:
        if id(part) in self._seen:
            return
        self._seen.add(id(part))
        origin = typing.get_origin(part)
        if origin is typing.Annotated:
            yield from part.__metadata__
        elif isinstance(part, type):
            yield part
        for each in self._parts(part, origin):
            yield from self.over(each)

    def _parts(self, part: Any, origin: Any) -> Iterator[Any]:
        bare = unwrap(part)
        if bare is not part:
            yield bare
        elif origin is typing.Literal:
            return
        elif origin is not None:
            yield origin
            yield from typing.get_args(part)
        elif has_fields(part):
            for kind in annotated_bases(part):
                yield from _annotated(kind)


def _annotated(kind: type) -> Iterable[Any]:
    try:
        return annotations_of(kind).values()
    except Exception:  # noqa: BLE001 - whoever takes the schema says what is wrong with them
        return ()
