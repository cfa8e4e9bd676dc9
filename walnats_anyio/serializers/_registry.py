"""Which serializer a schema gets when the event names none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from walnats_anyio.serializers._base import Serializer
from walnats_anyio.serializers._bytes import BytesSerializer
from walnats_anyio.serializers._dataclass import DataclassSerializer
from walnats_anyio.serializers._datetime import DatetimeSerializer
from walnats_anyio.serializers._msgspec import MsgspecSerializer
from walnats_anyio.serializers._optional import OPTIONAL, load
from walnats_anyio.serializers._primitive import PrimitiveSerializer
from walnats_anyio.serializers._schema import describe

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")

_BUILT_IN: tuple[type[Serializer[Any]], ...] = (
    BytesSerializer,
    DatetimeSerializer,
    PrimitiveSerializer,
    DataclassSerializer,
    MsgspecSerializer,
)
"""In the order in which they are asked; the first that takes the schema is used."""


def get_serializer(schema: TypeForm[T]) -> Serializer[T]:
    """Pick the serializer for a schema.

    `bytes` travel as they are, `datetime` and `date` as plain ISO 8601 text, everything else as
    JSON: by pydantic if there is something of it in the schema, otherwise by msgspec.

    Raises:
        LookupError: there is none; the message names the schema, what would work and the extra that
            it needs.
    """
    reason: TypeError | None = None
    try:
        for kind in _candidates():
            serializer = kind.new(schema)
            if serializer is not None:
                return cast("Serializer[T]", serializer)
    except TypeError as error:
        reason = error
    raise LookupError(f"{reason or _unknown(schema)}. {_also()}") from reason


def _unknown(schema: object) -> str:
    return f"no serializer for the schema {describe(schema)}: pass `serializer=`"


def _also() -> str:
    optional = ", ".join(
        f"{needs.schemas} (pip install 'walnats-anyio[{needs.extra}]')"
        for needs in OPTIONAL.values()
        if needs.schemas
    )
    return f"Besides what msgspec supports, a schema may be one of {optional}"


def _candidates() -> Iterator[type[Serializer[Any]]]:
    # Whoever has a schema of an optional package has imported the package.
    for name, needs in OPTIONAL.items():
        if needs.schemas and needs.package in sys.modules:
            yield load(name)
    yield from _BUILT_IN
