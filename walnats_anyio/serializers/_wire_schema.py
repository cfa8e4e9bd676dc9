"""The schema that says what is on the wire: to be kept, and to be compared with another one."""

from __future__ import annotations

from typing import Any, cast

from walnats_anyio.serializers._base import Codec
from walnats_anyio.serializers._json_schema import json_schema
from walnats_anyio.serializers._msgspec import MsgspecSerializer

NOTES = frozenset(
    {
        "$comment",
        "$schema",
        "default",
        "deprecated",
        "description",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
"""Keywords for people."""

MAPS = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
"""Keywords whose value has names as keys, not keywords."""

VALUES = frozenset({"const", "discriminator", "enum", "required"})
"""Keywords whose value is no schema."""


def wire_schema(serializer: Codec[Any]) -> dict[str, Any] | None:
    """Describe what a serializer writes and reads, as `register` keeps it and `compatibility` uses.

    It is a JSON Schema like that of `json_schema`, which is for people, without titles,
    descriptions, examples and defaults. Of what msgspec writes it says more: the format of dates
    and times, keys that are no text, and in `x-always-written` which fields are always written
    although a reader could do without.

    Returns:
        None: the serializer has no description, as `BytesSerializer`.

    Raises:
        TypeError: the serializer's own `json_schema` returns something else than a dict or None.
    """
    wrapped = getattr(serializer, "serializer", None)
    if wrapped is not None:
        return wire_schema(wrapped)
    if isinstance(serializer, MsgspecSerializer):
        found = serializer.wire_schema()
        if found is not None:
            return found
    schema = json_schema(serializer)
    return None if schema is None else cast("dict[str, Any]", without_notes(schema))


def without_notes(schema: object) -> object:
    """Leave out what is for people only."""
    if isinstance(schema, list):
        return [without_notes(each) for each in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _inside(name, value)
        for name, value in cast("dict[str, object]", schema).items()
        if name not in NOTES
    }


def _inside(name: str, value: object) -> object:
    if name in VALUES:
        return value
    if name in MAPS and isinstance(value, dict):
        parts = cast("dict[str, object]", value)
        return {each: without_notes(part) for each, part in parts.items()}
    return without_notes(value)
