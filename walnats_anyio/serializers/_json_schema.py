"""What messages look like, for people and programs that only read about them."""

from __future__ import annotations

from typing import Any

from walnats_anyio.serializers._base import Codec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""The version of JSON Schema that is written."""

REF_TEMPLATE = "#/$defs/{name}"
"""Where a schema refers to its parts."""


def json_schema(serializer: Codec[Any]) -> dict[str, Any] | None:
    """Describe the messages of a serializer as JSON Schema, draft 2020-12.

    Where the bytes are not JSON, such as MessagePack, it describes the values they stand for.

    Args:
        serializer: any; it is asked by its method `json_schema`, if it has one.

    Returns:
        An object of plain JSON, with `$schema` first and shared parts in `$defs`; a new one at each
        call. None: the serializer has no description, as `BytesSerializer`.

    Raises:
        TypeError: the serializer's own method returns something else than a dict or None.
    """
    describe = getattr(serializer, "json_schema", None)
    if not callable(describe):
        return None
    described = describe()
    if described is None:
        return None
    if not isinstance(described, dict):
        raise TypeError(
            f"json_schema() of {serializer!r} must return a dict or None, not {described!r}"
        )
    return {"$schema": DIALECT} | described
