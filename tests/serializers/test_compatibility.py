"""Schemas compared: what a new one cannot read of an old one is found, all of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serializers import _evolution as evolution
from walnats_anyio.serializers import (
    Break,
    Codec,
    MessagePackSerializer,
    MsgspecSerializer,
    PydanticSerializer,
    compatibility,
    get_serializer,
    json_schema,
    wire_schema,
)

EXAMPLES = int(os.environ.get("WALNATS_SCHEMA_EXAMPLES", "30"))
"""Pairs of schemas for each serializer. 4000 take some minutes."""

Schema = dict[str, Any] | bool


def told(old: Schema, new: Schema) -> list[str]:
    return [str(each) for each in compatibility(old, new)]


# Real decoders


def check(
    data: st.DataObject,
    make: Callable[[evolution.Shape], Any],
    serializer: Callable[[Any], Codec[Any]],
    to_message: Callable[[Any, Any], Any],
) -> None:
    """No break, or every message of the old version can be read."""
    shape = data.draw(evolution.SHAPES)
    old = serializer(make(shape))
    new = serializer(make(data.draw(evolution.later(shape))))
    written, read = wire_schema(old), wire_schema(new)
    assert written is not None
    assert read is not None
    if compatibility(written, read):
        return
    for _ in range(3):
        try:
            payload = old.encode(to_message(old.schema, data.draw(evolution.values(shape))))  # type: ignore[attr-defined]  # both have one
        except ValueError:  # not a message of it; pydantic's and msgspec's errors are of this class
            continue
        new.decode(payload)


AT_LENGTH = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    database=None,
)


@AT_LENGTH
@given(data=st.data())
def test_no_break_is_never_wrong_of_json(data: st.DataObject) -> None:
    def convert(schema: Any, value: Any) -> Any:
        return msgspec.convert(value, schema)

    check(data, evolution.struct_type, MsgspecSerializer, convert)


@settings(AT_LENGTH, max_examples=EXAMPLES // 2)
@given(data=st.data())
def test_no_break_is_never_wrong_of_message_pack(data: st.DataObject) -> None:
    def convert(schema: Any, value: Any) -> Any:
        return msgspec.convert(value, schema)

    check(data, evolution.struct_type, MessagePackSerializer, convert)


@settings(AT_LENGTH, max_examples=EXAMPLES // 2)
@given(data=st.data())
def test_no_break_is_never_wrong_of_pydantic(data: st.DataObject) -> None:
    def validate(schema: Any, value: Any) -> Any:
        return pydantic.TypeAdapter[Any](schema).validate_python(value)

    check(data, evolution.model_type, PydanticSerializer, validate)


@settings(max_examples=EXAMPLES, deadline=None)
@given(shape=evolution.SHAPES)
def test_a_schema_reads_itself(shape: evolution.Shape) -> None:
    """Also where it is not recognised by its text."""
    for make, serializer in (
        (evolution.struct_type, MsgspecSerializer),
        (evolution.model_type, PydanticSerializer),
    ):
        schema = wire_schema(serializer(make(shape)))
        assert schema is not None
        assert told(schema, {"allOf": [schema]} | {"$defs": schema.get("$defs", {})}) == []


# What is told


class Node(msgspec.Struct):
    value: int
    children: list[Node] = []


class NewNode(msgspec.Struct):
    value: str
    children: list[NewNode] = []


class Cat(msgspec.Struct, tag=True):
    name: str


class Dog(msgspec.Struct, tag=True):
    name: str


class Cow(msgspec.Struct, tag=True):
    name: str


class OldDog(msgspec.Struct, tag="Dog"):
    pass


class Pair(NamedTuple):
    one: int
    two: str


class Money(msgspec.Struct, forbid_unknown_fields=True):
    amount: int


class Priced(msgspec.Struct):
    amount: int
    currency: str = "EUR"


def limited(kind: Any, **limits: Any) -> Any:
    return Annotated[kind, msgspec.Meta(**limits)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (int, str, ["may be an integer, and must be a string now - at `$`"]),
        (int | None, int, ["may be null, and must be an integer now - at `$`"]),
        (dict, dict[str, int], ["may be anything, and must be an integer now - at `$[...]`"]),
        (str, datetime, ['`format` is "iso-date-time" now, and was nothing - at `$`']),
        (date, datetime, ['`format` is "iso-date-time" now, and was "date" - at `$`']),
        (str, Literal["a"], ['may be a string, and must be "a" now - at `$`']),
        (Literal["a", "b"], Literal["a"], ['may be "b", and must be "a" now - at `$`']),
        (list[int], list[str], ["may be an integer, and must be a string now - at `$[...]`"]),
        (
            list[UUID],
            list[int],
            ["may be a string (uuid), and must be an integer now - at `$[...]`"],
        ),
        (
            tuple[int, str],
            tuple[int, int],
            ["may be a string, and must be an integer now - at `$[1]`"],
        ),
        (
            tuple[int, str],
            tuple[int],
            ["`maxItems` is 1 now, and was 2 - at `$`", "is not taken any more - at `$[1]`"],
        ),
        (list[int], set[int], ["`uniqueItems` is true now, and was nothing - at `$`"]),
        (Pair, tuple[int, str], []),
        (tuple[int, str], Pair, []),
        (
            dict[str, int],
            dict[int, int],
            ['`format` is "key:{\\"type\\":\\"integer\\"}" now, and was nothing - at `$.keys()`'],
        ),
        (dict[int, int], dict[str, int], []),
        (dict[Literal["a"], int], dict[Literal["a", "b"], int], []),
        (limited(int, ge=1), limited(int, ge=0), []),
        (limited(int, ge=1), limited(int, gt=0), []),
        (limited(int, gt=1), limited(int, ge=1), []),
        (
            limited(int, ge=1),
            limited(int, gt=1),
            ["`exclusiveMinimum` is 1 now, and was nothing - at `$`"],
        ),
        (limited(int, le=2), limited(int, le=1), ["`maximum` is 1 now, and was 2 - at `$`"]),
        (limited(int, multiple_of=6), limited(int, multiple_of=3), []),
        (
            limited(int, multiple_of=3),
            limited(int, multiple_of=6),
            ["`multipleOf` is 6 now, and was 3 - at `$`"],
        ),
        (
            limited(str, pattern="a"),
            limited(str, pattern="b"),
            ['`pattern` is "b" now, and was "a" - at `$`'],
        ),
        (Node, NewNode, ["may be an integer, and must be a string now - at `$.value`"]),
        (Cat | Dog, Cat | Dog | Cow, []),
        (Cat, Cat | Dog, []),
        (
            Cat | Dog | Cow,
            Cat | Dog,
            ['may be an object with "type": "Cow", which fits nowhere now - at `$`'],
        ),
        (
            Cat | OldDog,
            Cat | Dog,
            ["is required now, and does not exist in the old version - at `$.name`"],
        ),
        (Priced, Money, ["is not taken any more - at `$.currency`"]),
        (Money, Priced, []),
        (int | float, limited(int, ge=0) | float, ["`minimum` is 0 now, and was nothing - at `$`"]),
        (Literal[1] | float, Literal[1, 2] | float, []),
        (int, limited(int, ge=0) | float, ["`minimum` is 0 now, and was nothing - at `$`"]),
        (Literal[1], limited(int, le=0) | float, ["may be 1, and must be an integer now - at `$`"]),
        (float, limited(int, ge=0) | float, ["`minimum` is 0 now, and was nothing - at `$`"]),
    ],
    ids=str,
)
def test_a_change_of_types(old: Any, new: Any, expected: list[str]) -> None:
    written, read = (wire_schema(MsgspecSerializer(schema)) for schema in (old, new))
    assert written is not None
    assert read is not None
    assert told(written, read) == expected


@pytest.mark.parametrize(
    ("old", "new", "readable"),
    [
        ({}, {}, True),
        (True, {}, True),
        ({}, False, False),
        (False, {"type": "string"}, True),
        ({"type": ["string", "null"]}, {"anyOf": [{"type": "null"}, {"type": "string"}]}, True),
        ({"const": 1}, {"type": "integer"}, True),
        ({"const": 1.0}, {"type": "integer"}, False),
        ({"const": True}, {"enum": [1]}, False),
        ({"enum": ["abc"]}, {"type": "string", "maxLength": 3}, True),
        ({"enum": ["abcd"]}, {"type": "string", "maxLength": 3}, False),
        ({"enum": ["a"]}, {"type": "string", "pattern": "a"}, False),
        ({"enum": [None]}, {"type": "null"}, True),
        ({"type": "integer"}, {"type": "number"}, True),
        ({"type": "string"}, {"not": {"type": "null"}}, False),
        ({"type": "string"}, {"type": "string", "title": "T", "x-note": [1]}, True),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "null"}}}, {"type": "null"}, True),
        ({"$ref": "https://example.com/a"}, {"type": "null"}, False),
        ({"type": "null"}, {"$ref": "https://example.com/a"}, False),
        ({"type": "null"}, {"$ref": "#/$defs/missing"}, False),
        ({"allOf": [{"type": "integer"}, {"minimum": 5}]}, {"type": "integer", "minimum": 4}, True),
        (
            {"type": "integer", "minimum": 4},
            {"allOf": [{"type": "integer"}, {"minimum": 5}]},
            False,
        ),
        ({"type": "integer"}, {"allOf": [{"minimum": 4}, {"minimum": 5}]}, False),
        (
            {"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}], "type": "object"},
            {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
            False,
        ),
        (
            {"type": "object", "patternProperties": {"^a": {"type": "integer"}}},
            {"type": "object", "additionalProperties": {"type": "string"}},
            False,
        ),
        (
            {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
            {"type": "object", "properties": {"b": {"type": "string"}}},
            False,
        ),
        ({"type": "object", "minProperties": 2}, {"type": "object", "minProperties": 1}, True),
        ({"type": "object", "required": ["a", "b"]}, {"type": "object", "minProperties": 2}, True),
        ({"type": "object"}, {"type": "object", "minProperties": 1}, False),
        ({"type": "array", "prefixItems": [{}, {}]}, {"type": "array", "maxItems": 2}, True),
        ({"type": "array"}, {"type": "array", "maxItems": 2}, False),
        ({"type": "array", "maxItems": 1}, {"type": "array", "prefixItems": [{}, False]}, True),
        ({"type": "array", "maxItems": 2}, {"type": "array", "prefixItems": [{}, False]}, False),
    ],
    ids=lambda value: None if isinstance(value, bool) else json.dumps(value)[:60],
)
def test_a_change_of_schemas(old: Schema, new: Schema, readable: bool) -> None:
    assert (compatibility(old, new) == []) is readable


def test_a_reference_to_itself_is_no_schema() -> None:
    (found,) = compatibility({"$ref": "#"}, {"type": "string"})
    assert found == Break("$", "the schemas are too large or too deep to be compared")


def test_a_pair_that_turns_out_not_to_fit_is_not_relied_on() -> None:
    """B fits if A does, and A turns out not to fit after that: then B is looked at again."""

    def versions(kind: str, *instead_of_a: Schema) -> Schema:
        ref_a, ref_b = {"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}
        return {
            "type": "array",
            "prefixItems": [{"anyOf": [ref_a, *instead_of_a]}, ref_b],
            "$defs": {
                "A": {"type": "object", "properties": {"b": ref_b, "value": {"type": kind}}},
                "B": {"type": "object", "properties": {"a": ref_a}},
            },
        }

    found = told(versions("integer"), versions("string", {"type": "object"}))
    assert found == ["may be an integer, and must be a string now - at `$[1].a.value`"]


# Strangers

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
KEYWORDS = [
    "$ref", "$defs", "additionalProperties", "allOf", "anyOf", "const", "discriminator", "enum",
    "exclusiveMinimum", "format", "items", "maxItems", "maxLength", "maximum", "minItems",
    "minLength", "minimum", "multipleOf", "oneOf", "patternProperties", "prefixItems", "properties",
    "propertyNames", "required", "type", "uniqueItems", "x-always-written",
]  # fmt: skip
NONSENSE = st.recursive(
    JSON_VALUES
    | st.sampled_from(["#", "#/$defs/a", "#/properties/a", "object", "array", "string", "integer"]),
    lambda inner: (
        st.dictionaries(st.sampled_from([*KEYWORDS, "a"]), inner, max_size=4)
        | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=3 * EXAMPLES, deadline=None)
@given(one=NONSENSE, other=NONSENSE)
def test_nonsense_is_compared_without_an_error(one: Any, other: Any) -> None:
    assert all(isinstance(each, Break) for each in compatibility(one, other))


def test_what_takes_too_many_steps_is_given_up() -> None:
    """Each level has two options on either side, and none of them fits: four times the work."""

    def nested(kind: str) -> Schema:
        parts: dict[str, Any] = {"p20": {"type": kind}}
        for level in range(20):
            inner = {"type": "object", "properties": {"next": {"$ref": f"#/$defs/p{level + 1}"}}}
            parts[f"p{level}"] = {"anyOf": [inner, inner | {"required": ["next"]}]}
        return {"$ref": "#/$defs/p0", "$defs": parts}

    started = time.process_time()
    (found,) = told(nested("string"), nested("integer"))
    assert "too large or too deep" in found
    assert time.process_time() - started < 5


def test_names_of_fields_cannot_forge_a_line_of_the_log() -> None:
    old = {"type": "object", "properties": {"a\nERROR: b": {"type": "string"}}}
    (found,) = told(old, {"type": "object", "additionalProperties": False})
    assert "\n" not in found


@pytest.mark.parametrize(
    "bad", [object(), {1: object()}, {"const": {object()}}], ids=["object", "key", "set"]
)
def test_what_is_no_json_is_refused(bad: Any) -> None:
    for old, new in ((bad, True), (True, bad)):
        with pytest.raises(TypeError):
            compatibility(old, new)


# The schema of a serializer


@attrs.define
class Private:
    shown: int = 1
    _hidden: int = 2


class Moments(msgspec.Struct, omit_defaults=True):
    """With a description."""

    at: Annotated[datetime, msgspec.Meta(tz=True, description="when")]
    local: Annotated[datetime, msgspec.Meta(tz=False)]
    unset: int | msgspec.UnsetType = msgspec.UNSET
    note: str = "n"


class Written(msgspec.Struct, tag="w"):
    unset: int | msgspec.UnsetType = msgspec.UNSET
    note: str = "n"


def part(schema: Any) -> Any:
    found = wire_schema(get_serializer(schema))
    assert found is not None
    return found["$defs"][schema.__name__]


def test_what_is_always_written() -> None:
    assert "x-always-written" not in part(Moments)
    assert part(Written)["x-always-written"] == ["type", "note"]
    assert part(Private)["x-always-written"] == ["shown"]


def test_the_format_of_moments() -> None:
    formats = {name: each.get("format") for name, each in part(Moments)["properties"].items()}
    assert formats["at"] == "date-time"
    assert formats["local"] == "date-time-local"
    assert "description" not in json.dumps(part(Moments))


class Model(pydantic.BaseModel):
    """With a description."""

    title: str = pydantic.Field("d", title="A title", examples=["e"])
    description: int = pydantic.Field(description="what it is")
    default: list[int] = []
    at: pydantic.AwareDatetime | None = None
    keys: dict[int, str] = {}


def test_notes_for_people_are_left_out_and_fields_of_such_names_are_not() -> None:
    schema = wire_schema(get_serializer(Model))
    assert schema == {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "description": {"type": "integer"},
            "default": {"type": "array", "items": {"type": "integer"}},
            "at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
            "keys": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "propertyNames": {"format": 'key:{"type":"integer"}'},
            },
        },
        "required": ["description"],
        "x-always-written": ["title", "default", "at", "keys"],
    }
    assert "title" in (json_schema(get_serializer(Model)) or {})


def test_bytes_have_none() -> None:
    assert wire_schema(get_serializer(bytes)) is None
