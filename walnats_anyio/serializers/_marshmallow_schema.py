"""Schemas of marshmallow as JSON Schema, by apispec."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, cast

import marshmallow
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_cls

from walnats_anyio.serializers._json_schema import REF_TEMPLATE

# Its schemas are JSON Schema of draft 2020-12.
_OPENAPI = "3.1.0"
_REFERENCES = "#/components/schemas/"


def schema_of(schema: marshmallow.Schema) -> dict[str, Any]:
    """Describe what a schema writes, the schemas inside it in `$defs`."""
    plugin = MarshmallowPlugin(schema_name_resolver=_Names().name)
    spec = APISpec("", "", _OPENAPI, plugins=[plugin])
    # Set by `APISpec`, which has just been made.
    converter = cast("Any", plugin.converter)
    converter.add_attribute_function(_number_as_text)
    described = {
        **converter.resolve_nested_schema(schema),
        "$defs": spec.to_dict()["components"]["schemas"],
    }
    # Choices of a field may be any objects.
    plain = json.loads(json.dumps(described, default=str))
    return cast("dict[str, Any]", _moved(plain))


def _number_as_text(_converter: object, field: object, ret: dict[str, Any], **_: Any) -> Any:
    """Correct the type of numbers that are written as text, which apispec takes for numbers."""
    if not getattr(field, "as_string", False):
        return {}
    return {"type": ["string", "null"] if "null" in ret.get("type", ()) else "string"}


class _Names:
    """Gives each schema a name of its own; apispec warns of two with the same."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def name(self, schema: Any) -> str:
        # A list only for the name of several schemas, which nobody could look up either.
        cls = cast("type[marshmallow.Schema]", resolve_schema_cls(schema))
        name = cls.__name__.removesuffix("Schema") or cls.__name__
        self._taken[name] += 1
        return name if self._taken[name] == 1 else f"{name}-{self._taken[name]}"


def _moved(part: object) -> object:
    """The same with references to `$defs`."""
    if isinstance(part, list):
        return [_moved(item) for item in cast("list[object]", part)]
    if not isinstance(part, dict):
        return part
    moved: dict[str, object] = {}
    for key, value in cast("dict[str, object]", part).items():
        if key == "$ref" and isinstance(value, str):
            moved[key] = REF_TEMPLATE.format(name=value.removeprefix(_REFERENCES))
        else:
            moved[key] = _moved(value)
    return moved
