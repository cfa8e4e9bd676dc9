"""Pydantic models as JSON."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pydantic

from walnats_anyio.serializers._base import Serializer
from walnats_anyio.serializers._json_schema import REF_TEMPLATE

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeForm

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class PydanticSerializer(Serializer[T]):
    """Messages as JSON, by pydantic v2."""

    content_type: ClassVar[str] = "application/json"

    _adapter: pydantic.TypeAdapter[T] = dataclasses.field(init=False, repr=False, compare=False)
    """What validates and writes."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_adapter", pydantic.TypeAdapter[Any](self.schema))

    @classmethod
    def new(cls, schema: TypeForm[Any], /) -> Self | None:
        """Make a serializer for a schema. None: there is no pydantic model in it."""
        return cls(schema) if hasattr(schema, "__pydantic_core_schema__") else None

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.schema,))

    def encode(self, message: T) -> bytes:
        """Turn a message into JSON."""
        data = self._adapter.dump_json(message, by_alias=True)
        if self._adapter.validate_json(data) != message:
            raise ValueError("it would arrive as something else")
        return data

    def decode(self, data: bytes) -> T:
        """Turn JSON into a message."""
        return self._adapter.validate_json(data)

    def json_schema(self) -> dict[str, Any]:
        """Describe the messages, as pydantic does it."""
        return self._adapter.json_schema(
            by_alias=True, ref_template=REF_TEMPLATE.replace("{name}", "{model}")
        )
