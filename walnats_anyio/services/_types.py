"""JSON Schemas in words, as the page shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from walnats_anyio.services._json import is_list, is_object
from walnats_anyio.services._markup import Markup, join, tag
from walnats_anyio.services._table import table

_CONSTRAINTS = (
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "default",
)
"""Keywords that are shown beside a type, with their values."""

_PLAIN = ("string", "number", "integer", "boolean", "null")


class Types:
    """Shows the types of a document.

    Args:
        schemas: what stands under `components/schemas`.
        shown: which of these have a place of their own in the page, to link to.
    """

    def __init__(self, schemas: Mapping[str, Any], shown: set[str]) -> None:
        self._schemas = schemas
        self._shown = shown

    def resolved(self, schema: Any) -> Any:
        """What a schema that is only a reference refers to; other schemas as they are."""
        name = reference(schema)
        seen: set[str] = set()
        while name is not None and name in self._schemas and name not in seen:
            seen.add(name)
            schema = self._schemas[name]
            name = reference(schema)
        return schema

    def words(self, schema: Any) -> Markup:
        """Say what a value of the schema is."""
        if not is_object(schema):
            return join("anything" if schema else "nothing")
        name = reference(schema)
        if name is not None:
            return self._linked(name)
        if "const" in schema:
            return _value(schema["const"])
        if "enum" in schema:
            return _alternatives([_value(value) for value in schema["enum"]])
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return _alternatives([self.words(part) for part in schema[keyword]])
        if "allOf" in schema:
            return join(*(self.words(part) for part in schema["allOf"]), between=" and ")
        kinds: Any = schema.get("type")
        kinds = kinds if is_list(kinds) else [kinds]
        return _alternatives([self._of_type(kind, schema) for kind in kinds])

    def table(self, schema: Any) -> Markup:
        """The fields of an object; for other types, what they are."""
        schema = self.resolved(schema)
        if not is_object(schema) or not schema.get("properties"):
            return tag("p", self.words(schema), _constraints(schema), class_="type")
        required: Any = schema.get("required", [])
        rows = [
            (
                tag("code", name),
                join(self.words(part), _constraints(part)),
                "yes" if name in required else "no",
                _description(part),
            )
            for name, part in schema["properties"].items()
        ]
        return table(_COLUMNS, rows)

    def _linked(self, name: str) -> Markup:
        text = tag("code", name)
        return tag("a", text, href=f"#type-{name}") if name in self._shown else text

    def _of_type(self, kind: Any, schema: dict[str, Any]) -> Markup:
        if kind == "array":
            items: Any = schema.get("items", True)
            if is_list(items):
                return join("tuple of ", join(*map(self.words, items), between=", "))
            return join("list of ", self.words(items))
        if kind == "object" and is_object(schema.get("additionalProperties")):
            return join("object with values of ", self.words(schema["additionalProperties"]))
        if kind in _PLAIN and "format" in schema and kind != "null":
            return join(kind, " (", str(schema["format"]), ")")
        return join(str(kind or "anything"))


_COLUMNS = ("Field", "Type", "Required", "Description")


def reference(schema: Any) -> str | None:
    """The component that a schema is, if it is only that, perhaps with a text beside it."""
    if not is_object(schema):
        return None
    target: Any = schema.get("$ref")
    parts: Any = schema.get("allOf")
    if target is None and is_list(parts) and len(parts) == 1 and "type" not in schema:
        return reference(parts[0])
    prefix = "#/components/schemas/"
    if not isinstance(target, str) or not target.startswith(prefix):
        return None
    return target.removeprefix(prefix)


def referred(schema: Any) -> Iterator[str]:
    """All components that a schema refers to, itself included."""
    stack = [schema]
    while stack:
        part = stack.pop()
        if is_object(part):
            name = reference({"$ref": part.get("$ref")})
            if name is not None:
                yield name
            stack.extend(part.values())
        elif is_list(part):
            stack.extend(part)


def _alternatives(words: list[Markup]) -> Markup:
    return join(*dict.fromkeys(words), between=" or ")


def _value(value: Any) -> Markup:
    return tag("code", json.dumps(value, ensure_ascii=False))


def _constraints(schema: Any) -> Markup:
    if not is_object(schema):
        return join()
    shown = [
        tag("span", f"{keyword}: ", _value(schema[keyword]), class_="constraint")
        for keyword in _CONSTRAINTS
        if keyword in schema
    ]
    return join(*shown)


def _description(schema: Any) -> str:
    return str(schema.get("description", "")) if is_object(schema) else ""
