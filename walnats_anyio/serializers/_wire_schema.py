"""The schema that says what is on the wire: to be kept, and to be compared with another one."""

from __future__ import annotations

from typing import Any, cast

from walnats_anyio.serializers._base import Codec
from walnats_anyio.serializers._json_schema import json_schema
from walnats_anyio.serializers._schema_options import ALWAYS_WRITTEN

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
    """Describe what a serializer writes and reads, as `register` keeps it, for `compatibility`.

    It is a JSON Schema like that of `json_schema`, which is for people, without titles,
    descriptions, examples and defaults. Of what msgspec writes it says more: the format of dates
    and times, keys that are no text. `x-always-written` names the fields that are always written
    although a reader can do without them, and `x-also-read` what a reader takes as well, although
    it is not written.

    Args:
        serializer: any. It is asked by its method `wire_schema`, or else by `json_schema`, if it
            has one. Of a wrapper it is that of the serializer inside.

    Returns:
        An object of plain JSON, a new one at each call. None: the serializer has no description, as
        `BytesSerializer`.

    Raises:
        TypeError: the serializer's own method returns something else than a dict or None.
    """
    wrapped = getattr(serializer, "serializer", None)
    if wrapped is not None:
        return wire_schema(wrapped)
    describe = getattr(serializer, "wire_schema", None)
    described = describe() if callable(describe) else None
    if described is None:
        described = json_schema(serializer)
        return None if described is None else without_notes(described)
    if not isinstance(described, dict):
        raise TypeError(
            f"wire_schema() of {serializer!r} must return a dict or None, not {described!r}"
        )
    return cast("dict[str, Any]", described)


def without_notes(schema: dict[str, Any], *, writes_defaults: bool = False) -> dict[str, Any]:
    """Leave out of a schema what is for people only.

    Args:
        schema: the schema.
        writes_defaults: whether the writer writes fields that have their default.
    """
    return cast("dict[str, Any]", _Stripper(writes_defaults).strip(schema))


class _Stripper:
    """Leaves out what is for people, in all parts of a schema."""

    def __init__(self, writes_defaults: bool) -> None:
        self._writes_defaults = writes_defaults

    def strip(self, schema: object) -> object:
        if isinstance(schema, list):
            return [self.strip(each) for each in cast("list[object]", schema)]
        if not isinstance(schema, dict):
            return schema
        keywords = cast("dict[str, object]", schema)
        made = {
            name: self._inside(name, value) for name, value in keywords.items() if name not in NOTES
        }
        if self._writes_defaults:
            written = _with_defaults(keywords)
            if written:
                made[ALWAYS_WRITTEN] = written
        return made

    def _inside(self, name: str, value: object) -> object:
        if name in VALUES:
            return value
        if name in MAPS and isinstance(value, dict):
            parts = cast("dict[str, object]", value)
            return {each: self.strip(part) for each, part in parts.items()}
        return self.strip(value)


def _with_defaults(keywords: dict[str, object]) -> list[str]:
    """Name the fields of an object that have a default."""
    fields = keywords.get("properties")
    if not isinstance(fields, dict):
        return []
    return [
        name
        for name, field in cast("dict[str, object]", fields).items()
        if isinstance(field, dict) and "default" in field
    ]
