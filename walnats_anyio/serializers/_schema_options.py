"""What values a JSON Schema lets through, as a flat list of options; for `_compatibility`.

A schema says "a string, or null, or what that other part says". An option is one of these: one type
with the keywords that limit it, or one constant. References and `allOf` are resolved on the way.

Whoever compares two schemas must not be wrong in one direction. So a document is read in one of two
ways where a part cannot be followed (a reference to elsewhere, two parts of an `allOf` that limit
the same thing): the old schema as if it let everything through there, the new one as if it took
nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeGuard, cast

import msgspec

Schema: TypeAlias = "dict[str, Any] | bool"

ANY = "any"
CONSTANT = "constant"
UNCLEAR = "unclear"

TYPES = ("array", "boolean", "null", "number", "object", "string")

MAX_DEPTH = 50
"""References and parts inside of each other. Schemas may come from strangers."""

MAX_PARTS = 10_000
"""Parts of one schema that are looked at, some 100 ms. Each part may refer to another one twice,
and so on: 40 of these in 3 KB are 2**40 parts."""

OBJECT_GROUP = frozenset({"additionalProperties", "patternProperties", "properties"})
ARRAY_GROUP = frozenset({"items", "prefixItems"})
GROUPS = (OBJECT_GROUP, ARRAY_GROUP)
"""Keywords that depend on each other, so that they cannot be taken from two schemas."""

NOT_COMPARED = frozenset(
    {
        "$dynamicRef",
        "contains",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "else",
        "if",
        "maxContains",
        "minContains",
        "not",
        "patternProperties",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
"""Keywords of JSON Schema that limit values, and that are not compared."""

LIMITS = {
    "array": ARRAY_GROUP | {"maxItems", "minItems", "uniqueItems"},
    "number": frozenset(
        {"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"}
    ),
    "object": OBJECT_GROUP | {"maxProperties", "minProperties", "propertyNames", "required"},
    "string": frozenset(
        {
            "contentEncoding",
            "contentMediaType",
            "contentSchema",
            "format",
            "maxLength",
            "minLength",
            "pattern",
        }
    ),
}
"""Keywords that limit the values of each type."""

ALWAYS_WRITTEN = "x-always-written"
"""Names of fields that a reader can do without, and that a writer always writes.

A keyword of this library, which others ignore. JSON Schema has none for it.
"""

ALSO_READ = "x-also-read"
"""Schemas of what a reader takes as well, and a writer does not write: a number for a `Decimal`.

Another keyword of this library.
"""

NO_TEXT = "binary"
"""The `contentEncoding` of what MessagePack does not write as text: bytes, moments, some keys."""

CHOICES = frozenset({"anyOf", "const", "enum", "oneOf", "type"})

KEPT = frozenset[str]().union(
    *LIMITS.values(), NOT_COMPARED, CHOICES, {"discriminator", ALSO_READ, ALWAYS_WRITTEN}
)
"""Keywords that matter here. All others are notes, as are those that JSON Schema does not know."""


class TooLargeError(Exception):
    """A schema is too deep, or two of them need too many steps."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Option:
    """One kind of value that a schema lets through."""

    type: str
    """A type of JSON, or `ANY`, `CONSTANT`, `UNCLEAR`."""

    limits: Mapping[str, Any]
    """The keywords of the schema."""

    value: Any = None
    """The constant; for `UNCLEAR` the keyword that cannot be followed."""

    def __str__(self) -> str:
        match self.type:
            case "any":
                return "anything"
            case "constant":
                return shown(self.value)
            case "boolean":
                return "true or false"
            case "null":
                return "null"
            case _:
                article = "an" if self.type[0] in "aiou" else "a"
                form = self.limits.get("format")
                return f"{article} {self.type}{f' ({form})' if isinstance(form, str) else ''}"


class Document:
    """A schema as a whole, whose parts may refer to each other."""

    def __init__(self, root: Schema, *, is_old: bool) -> None:
        self._root = root
        self._is_old = is_old
        self._options: dict[int, list[Option]] = {}
        self._parts_seen = 0

    def options(self, schema: Schema) -> list[Option]:
        """List what a part of the document lets through; empty for nothing.

        Raises:
            TooLargeError: it is too deep, or has too many parts.
        """
        key = id(schema)
        found = self._options.get(key)
        if found is None:
            found = self._options[key] = self._expand(self._flat(schema, 0), 0)
        return found

    def target(self, schema: Schema) -> Schema:
        """Follow what is a reference and nothing else, so that a part is known by one address.

        Raises:
            TooLargeError: it leads to another reference, and so on.
        """
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, dict) or "$ref" not in schema or len(schema.keys() & KEPT):
                return schema
            found = self._resolve(schema["$ref"])
            if "allOf" in schema or not isinstance(found, dict):
                return schema
            schema = cast("dict[str, Any]", found)
        raise TooLargeError

    def _flat(self, schema: object, depth: int) -> dict[str, Any] | None:
        """Give the keywords of a schema, those of its references and of `allOf` among them.

        None: it takes nothing.
        """
        self._parts_seen += 1
        if depth > MAX_DEPTH or self._parts_seen > MAX_PARTS:
            raise TooLargeError
        if schema is True:
            return {}
        if schema is False:
            return None
        if not isinstance(schema, dict):
            return {} if self._is_old else {UNCLEAR: "schema"}
        keywords = cast("dict[str, Any]", schema)
        flat = {name: value for name, value in keywords.items() if name in KEPT}
        for part in self._parts(keywords):
            more = self._flat(part, depth + 1)
            if more is None:
                return None
            self._merge(flat, more)
        return flat

    def _parts(self, keywords: dict[str, Any]) -> list[object]:
        parts: list[object] = []
        if "$ref" in keywords:
            parts.append(self._resolve(keywords["$ref"]))
        every: object = keywords.get("allOf", [])
        parts.extend(cast("list[object]", every) if isinstance(every, list) else ["no list"])
        return parts

    def _resolve(self, reference: object) -> object:
        if not isinstance(reference, str) or not reference.startswith("#"):
            return "elsewhere"
        found: object = self._root
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                return "elsewhere"
            found = cast("dict[str, object]", found)[name]
        return found

    def _merge(self, flat: dict[str, Any], more: dict[str, Any]) -> None:
        """Take in keywords of another schema that has to hold as well."""
        for group in GROUPS:
            if not group.isdisjoint(flat) and not group.isdisjoint(more):
                self._merge_group(flat, more, group)
        for name, value in more.items():
            if any(name in group for group in GROUPS) and name in flat:
                continue
            if name == "required" and isinstance(flat.get(name), list) and isinstance(value, list):
                flat[name] = [*flat[name], *cast("list[object]", value)]
            elif name not in flat:
                flat[name] = value
            elif not same(flat[name], value) and not self._is_old:
                flat[UNCLEAR] = "allOf"

    def _merge_group(
        self, flat: dict[str, Any], more: dict[str, Any], group: frozenset[str]
    ) -> None:
        one = {name: flat[name] for name in group & flat.keys()}
        other = {name: more[name] for name in group & more.keys()}
        if same(one, other):
            return
        for name in group:
            flat.pop(name, None)
            more.pop(name, None)
        if not self._is_old:
            flat[UNCLEAR] = "allOf"

    def _expand(self, flat: dict[str, Any] | None, depth: int) -> list[Option]:
        if flat is None:
            return []
        if UNCLEAR in flat:
            return [Option(UNCLEAR, {}, flat[UNCLEAR])]
        also: object = flat.pop(ALSO_READ, None)
        if isinstance(also, list) and not self._is_old:
            return self._expand_union(
                {"anyOf": [flat, *cast("list[object]", also)]}, "anyOf", depth
            )
        for name in ("anyOf", "oneOf"):
            if name in flat:
                return self._expand_union(flat, name, depth)
        limits = {name: value for name, value in flat.items() if name not in CHOICES}
        if "const" in flat or "enum" in flat:
            return self._constants(flat, limits)
        types = _types_of(flat.get("type"))
        if not types:
            if not limits.keys() - {"discriminator"}:
                return [Option(ANY, {})]
            types = TYPES
        if not set(types) <= {*TYPES, "integer"}:
            return [Option(ANY, {})] if self._is_old else [Option(UNCLEAR, {}, "type")]
        return [Option(each, limits) for each in types]

    def _expand_union(self, flat: dict[str, Any], name: str, depth: int) -> list[Option]:
        branches = flat[name]
        if not isinstance(branches, list):
            return [Option(ANY, {})] if self._is_old else [Option(UNCLEAR, {}, name)]
        tag = _tag_of(flat)
        rest = {key: value for key, value in flat.items() if key not in (name, "discriminator")}
        found: list[Option] = []
        for branch in cast("list[object]", branches):
            one = self._flat(branch, depth + 1)
            if one is None:
                continue
            combined = dict(rest)
            self._merge(combined, one)
            if tag is not None:
                # Without its tag no decoder knows what it is, so it is always there.
                combined["required"] = [*_names(combined.get("required")), tag]
            found.extend(self._expand(combined, depth + 1))
        return found

    def _constants(self, flat: dict[str, Any], limits: dict[str, Any]) -> list[Option]:
        values: object = [flat["const"]] if "const" in flat else flat["enum"]
        if not isinstance(values, list):
            return [Option(ANY, {})] if self._is_old else [Option(UNCLEAR, {}, "enum")]
        # An old schema is not cut down: names of fields are text, whatever their schema says.
        types = (not self._is_old and _types_of(flat.get("type"))) or (*TYPES, "integer")
        kept = [
            Option("null", {}) if value is None else Option(CONSTANT, {}, value)
            for value in cast("list[object]", values)
            if any(is_of(value, each) for each in types)
        ]
        if self._is_old or not limits:
            return kept
        return [
            each
            for each in kept
            if any(accepts(Option(kind, limits), each.value) for kind in types)
        ]


def _types_of(types: object) -> tuple[str, ...]:
    if isinstance(types, str):
        return (types,)
    if isinstance(types, list):
        return tuple(str(each) for each in cast("list[object]", types))
    return ()


def _tag_of(flat: dict[str, Any]) -> str | None:
    discriminator: object = flat.get("discriminator")
    if not isinstance(discriminator, dict):
        return None
    name = cast("dict[str, object]", discriminator).get("propertyName")
    return name if isinstance(name, str) else None


def _names(names: object) -> list[str]:
    if not isinstance(names, list):
        return []
    return [each for each in cast("list[object]", names) if isinstance(each, str)]


def limits_of(option: Option) -> dict[str, Any]:
    """Give the keywords that limit values of the option's type."""
    kind = "number" if option.type == "integer" else option.type
    own = LIMITS.get(kind, frozenset())
    return {
        name: value for name, value in option.limits.items() if name in own or name in NOT_COMPARED
    }


def accepts(option: Option, value: Any) -> bool:
    """Whether an option certainly lets a value through. False where that is not plain."""
    if option.type == ANY:
        return True
    if option.type == CONSTANT:
        return same(option.value, value)
    if not is_of(value, option.type) or isinstance(value, list | dict):
        return False
    return all(_within(name, limit, value) for name, limit in limits_of(option).items())


def _within(name: str, limit: Any, value: Any) -> bool:
    if not is_number(limit):
        return False
    match name:
        case "minLength":
            return len(value) >= limit
        case "maxLength":
            return len(value) <= limit
        case "minimum":
            return bool(value >= limit)
        case "maximum":
            return bool(value <= limit)
        case "exclusiveMinimum":
            return bool(value > limit)
        case "exclusiveMaximum":
            return bool(value < limit)
        case _:
            return False


def is_of(value: Any, kind: str) -> bool:
    """Whether a value is of a type of JSON. An integral number with a point is no integer."""
    match kind:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return is_number(value)
        case "string":
            return isinstance(value, str)
        case "null":
            return value is None
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case _:
            return False


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number of JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same as JSON; to Python 1, 1.0 and True are equal."""
    if type(one) is not type(other):
        return False
    return bool(one == other) and text_of(one) == text_of(other)


def text_of(value: Any) -> bytes:
    """Write a value as JSON, always the same way."""
    return msgspec.json.encode(value, order="deterministic")


def shown(value: Any) -> str:
    """A value as a person reads it, in one short line."""
    text = text_of(value).decode()
    return text if len(text) <= 40 else f"{text[:37]}..."
