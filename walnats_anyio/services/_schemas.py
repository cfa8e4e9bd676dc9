"""JSON Schemas as AsyncAPI takes them.

Serializers give JSON Schemas of draft 2020-12. The Schema Object of AsyncAPI 3.0, which all of its
tools read, is a superset of draft 07. So keywords that came later are written in the older way, or
left out where there is none: then the schema allows a little more than the serializer does.
Definitions (`$defs`) of all events come together under `components/schemas`, each only once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from walnats_anyio.services._json import is_list, is_object
from walnats_anyio.services._names import UniqueNames, clean

Schema = dict[str, Any]

_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
"""Keywords whose value has a schema for each name."""

_LISTS = frozenset({"allOf", "anyOf", "oneOf"})
"""Keywords whose value is a list of schemas."""

_SINGLE = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "contains",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
    }
)
"""Keywords whose value is a schema."""

_LEFT_OUT = frozenset(
    {
        "$anchor",
        "$dynamicAnchor",
        "$dynamicRef",
        "$id",  # references of the document would no longer start at its root
        "$ref",  # see _convert
        "$schema",
        "$vocabulary",
        "contentSchema",
        "dependentRequired",  # see _convert
        "dependentSchemas",  # see _convert
        "discriminator",  # AsyncAPI's is another one: the alternatives name their tags themselves
        "maxContains",
        "minContains",
        "prefixItems",  # see _convert
        "schema",  # none of JSON Schema; to AsyncAPI it says that this is no schema but holds one
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)

_DEFINITION = re.compile(r"#/(?:\$defs|definitions)/([^/]+)(.*)", re.DOTALL)

_ROOT_ONLY = frozenset({"$defs", "$schema", "definitions"})
"""What a schema has in addition when it is not a definition of another one."""

ROOT = ""
"""Stands for the schema itself among its definitions, where something refers to it."""


class Schemas:
    """Collects the schemas of a document.

    Args:
        names: gives the names under `components/schemas`.
    """

    def __init__(self, names: UniqueNames) -> None:
        self._names = names
        self.components: dict[str, Any] = {}
        """What stands under `components/schemas`."""

    def add(self, schema: Mapping[str, Any], name: str | None) -> Schema:
        """Add the schema of a message, and give what stands for it in the document.

        Args:
            schema: a JSON Schema of draft 2020-12.
            name: what the schema itself is called among the others; None: it is not put there
                unless it contains itself.

        Raises:
            ValueError: it refers to a definition that it does not have.
        """
        bundle = _Bundle(schema, name)
        references = {local: self._reference(bundle, local) for local in bundle.parts}
        for local, part in bundle.parts.items():
            key = references[local].rpartition("/")[2]
            if key not in self.components:
                self.components[key] = None  # its place in the order
                self.components[key] = _convert(part, references.__getitem__)
        if ROOT in bundle.parts:
            return {"$ref": references[ROOT]}
        converted = _convert(bundle.root, references.__getitem__)
        assert is_object(converted)
        return converted

    def _reference(self, bundle: _Bundle, local: str) -> str:
        # Two events may have different types of one name, and one type may be in many events.
        shown = clean(bundle.name if local == ROOT else local)
        return f"#/components/schemas/{self._names.give(shown, (shown, bundle.identity(local)))}"


class _Bundle:
    """One JSON Schema with its definitions."""

    def __init__(self, schema: Mapping[str, Any], name: str | None) -> None:
        self.name = name or "message"
        self.root = {word: value for word, value in schema.items() if word not in _ROOT_ONLY}
        self.parts: dict[str, Any] = {**schema.get("definitions", {}), **schema.get("$defs", {})}
        used = {local for part in (self.root, *self.parts.values()) for local in _used(part)}
        missing = used - self.parts.keys() - {ROOT}
        if missing:
            raise ValueError(
                f"the JSON Schema refers to #/$defs/{min(missing)}, which it does not define"
            )
        if ROOT in used or (name is not None and "properties" in self.root):
            self.parts = {ROOT: self.root, **self.parts}

    def identity(self, local: str) -> str:
        """Something that two definitions share only if they, and all they refer to, are equal."""
        reached: dict[str, Any] = {}
        waiting = [local]
        while waiting:
            name = waiting.pop()
            shown = self.name if name == ROOT else name
            if name in self.parts and shown not in reached:
                reached[shown] = self.parts[name]
                waiting.extend(_used(reached[shown]))
        return json.dumps(sorted(reached.items()), default=repr, sort_keys=True)


def _used(schema: Any) -> set[str]:
    """Which definitions a schema refers to."""
    used: set[str] = set()
    stack = [schema]
    while stack:
        part = stack.pop()
        if is_object(part):
            reference = part.get("$ref")
            if isinstance(reference, str) and reference.startswith("#"):
                used.add(_split(reference)[0])
            stack.extend(part.values())
        elif is_list(part):
            stack.extend(part)
    return used


def _split(reference: str) -> tuple[str, str]:
    """The definition that a local reference begins with, and the way on from there."""
    found = _DEFINITION.fullmatch(reference)
    if found is None:
        return ROOT, reference[1:]
    name = unquote(found[1]).replace("~1", "/").replace("~0", "~")
    return name, found[2]


def _convert(schema: Any, reference_of: Callable[[str], str]) -> Schema | bool:
    """Write a schema in the words of draft 07, with references into the document."""
    if not is_object(schema):
        return bool(schema)

    def convert(part: Any) -> Schema | bool:
        return _convert(part, reference_of)

    converted: Schema = {}
    for keyword, value in schema.items():
        if keyword in _MAPS:
            converted[keyword] = {clean(name): convert(part) for name, part in value.items()}
        elif keyword in _LISTS:
            converted[keyword] = [convert(part) for part in value]
        elif keyword in _SINGLE:
            converted[keyword] = convert(value)
        elif keyword not in _LEFT_OUT and _is_json(value):
            converted[keyword] = _cleaned(value)
    if schema.get("minContains") == 0:
        converted.pop("contains", None)
    _convert_tuple(schema, converted, convert)
    _convert_dependencies(schema, converted, convert)
    _convert_reference(schema, converted, reference_of)
    return converted


def _convert_tuple(
    schema: Schema, converted: Schema, convert: Callable[[Any], Schema | bool]
) -> None:
    first: Any = schema.get("prefixItems")
    if not first:
        return
    rest = converted.pop("items", None)
    converted["items"] = [convert(part) for part in first]
    if rest is not None:
        converted["additionalItems"] = rest


def _convert_dependencies(
    schema: Mapping[str, Any], converted: Schema, convert: Callable[[Any], Schema | bool]
) -> None:
    schemas = {name: convert(part) for name, part in schema.get("dependentSchemas", {}).items()}
    dependencies: Schema = {**schemas, **schema.get("dependentRequired", {})}
    if dependencies:
        converted["dependencies"] = dependencies


def _convert_reference(
    schema: Mapping[str, Any], converted: Schema, reference_of: Callable[[str], str]
) -> None:
    reference: Any = schema.get("$ref")
    if not isinstance(reference, str):
        return
    if reference.startswith("#"):
        name, way = _split(reference)
        reference = reference_of(name) + way
    if converted:
        # Draft 07 ignores whatever stands beside a reference.
        converted["allOf"] = [*converted.get("allOf", ()), {"$ref": reference}]
    else:
        converted["$ref"] = reference


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if is_object(value):
        return {clean(str(key)): _cleaned(part) for key, part in value.items()}
    if is_list(value):
        return [_cleaned(part) for part in value]
    return value
