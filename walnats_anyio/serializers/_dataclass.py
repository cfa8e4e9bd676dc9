"""Dataclasses and attrs classes as JSON."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import TYPE_CHECKING, Any, TypeVar

from walnats_anyio.serializers._annotations import is_object_class
from walnats_anyio.serializers._classes import unwrap
from walnats_anyio.serializers._msgspec import MsgspecSerializer
from walnats_anyio.serializers._schema import describe

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeForm

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class DataclassSerializer(MsgspecSerializer[T]):
    """Messages as JSON objects: dataclasses, attrs classes, TypedDicts, and unions of them.

    It is a `MsgspecSerializer` for these alone, and keeps the same promise. Fields may be
    dataclasses themselves, or unions of them; all is validated when it is decoded.

    Nothing in the JSON names the class. In a union, an object is of the class that has its fields;
    where several have, of the first whose types fit. A message that would arrive as one of another
    class is refused: give the classes a field with different `Literal` types, or use msgspec
    Structs with `tag=True`.

    Raises:
        TypeError: the schema is none of these, or cannot be written as JSON and read back.
    """

    def __post_init__(self) -> None:
        if not _is_of_objects(self.schema):
            raise TypeError(
                "DataclassSerializer takes dataclasses, attrs classes, TypedDicts and unions of"
                f" them, not {describe(self.schema)}: use MsgspecSerializer"
            )
        super().__post_init__()

    @classmethod
    def new(cls, schema: TypeForm[Any], /) -> Self | None:
        """Make a serializer for a schema. None: it is none of dataclasses alone.

        Raises:
            TypeError: a part of it cannot be written as JSON and read back.
        """
        return cls(schema) if _is_of_objects(schema) else None


def _is_of_objects(schema: Any) -> bool:
    bare = unwrap(schema)
    origin = typing.get_origin(bare)
    if origin in (typing.Union, types.UnionType):
        return all(map(_is_of_objects, typing.get_args(bare)))
    return is_object_class(origin or bare)
