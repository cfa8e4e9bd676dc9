"""Which serializer a schema gets when the event names none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from msgspec import inspect

from walnats_anyio.serializers._bytes import BytesSerializer
from walnats_anyio.serializers._datetime import DatetimeSerializer
from walnats_anyio.serializers._msgspec import MsgspecSerializer
from walnats_anyio.serializers._schema import describe, inspect_schema

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from walnats_anyio.serializers._base import Serializer

T = TypeVar("T")

_BYTES_LIKE = (inspect.BytesType, inspect.ByteArrayType, inspect.MemoryViewType)


def get_serializer(schema: TypeForm[T]) -> Serializer[T]:
    """Pick the serializer for a schema.

    `bytes` travel as they are, `datetime` and `date` as plain ISO 8601 text, everything else as
    JSON.

    Raises:
        TypeError: there is none; the message names the schema and what to do.
    """
    info = inspect_schema(schema)
    if info == inspect.BytesType():
        return cast("Serializer[Any]", BytesSerializer())
    if isinstance(info, inspect.DateTimeType | inspect.DateType):
        return cast("Serializer[Any]", DatetimeSerializer(cast("Any", schema)))
    if isinstance(info, _BYTES_LIKE):
        # As JSON they would be base64, which nobody expects beside `bytes` that go as they are.
        raise TypeError(
            f"no serializer for the schema {describe(schema)}: use plain `bytes`,"
            " with `limits` for its size, or pass `serializer=`"
        )
    return MsgspecSerializer(schema)
