"""Numbers, text, lists and dicts as JSON, and subclasses of these."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any, TypeVar

from walnats_anyio.serializers._annotations import has_fields
from walnats_anyio.serializers._classes import unwrap
from walnats_anyio.serializers._msgspec import MsgspecSerializer
from walnats_anyio.serializers._schema import describe

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeForm

T = TypeVar("T")

_PRIMITIVES = (str, int, float, list, dict)


@dataclasses.dataclass(frozen=True)
class PrimitiveSerializer(MsgspecSerializer[T]):
    """Messages as JSON: `str`, `int`, `float`, `bool`, `None`, `list`, `dict`, and subclasses.

    It is a `MsgspecSerializer` for these alone, and keeps the same promise: a message of a subclass
    arrives as one. The subclass is called with the plain value, so what it checks is checked when
    it is decoded; attributes besides the value would be lost, and the message is refused.

    Raises:
        TypeError: the schema is none of these.
    """

    def __post_init__(self) -> None:
        if not _is_primitive(self.schema):
            raise TypeError(
                "PrimitiveSerializer takes str, int, float, bool, None, list, dict and subclasses"
                f" of them, not {describe(self.schema)}: use MsgspecSerializer"
            )
        super().__post_init__()

    @classmethod
    def new(cls, schema: TypeForm[Any], /) -> Self | None:
        """Make a serializer for a schema. None: it is no primitive."""
        return cls(schema) if _is_primitive(schema) else None


def _is_primitive(schema: Any) -> bool:
    bare = unwrap(schema)
    if bare is None or bare is type(None):
        return True
    if not isinstance(bare, type) or has_fields(bare) or issubclass(bare, enum.Enum):
        return False
    return issubclass(bare, _PRIMITIVES)
