"""A schema in the words of draft 07 takes exactly what the one of draft 2020-12 takes."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from tests.services._official import resolved
from walnats_anyio.services._names import UniqueNames
from walnats_anyio.services._schemas import Schemas

NAMES = st.sampled_from(["a", "b", "a/b", "$ref", "items"])
DEFINED = ["one", "two/2", "three"]

messages = st.recursive(
    st.sampled_from([None, True, 0, 1, 2, "", "a", "ab"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=5,
)

words = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["null", "integer", "string", "array"])}),
    st.fixed_dictionaries({"type": st.just(["object", "string"]), "minLength": st.just(1)}),
    st.fixed_dictionaries({"const": messages}),
    st.fixed_dictionaries({"enum": st.lists(messages, min_size=1, max_size=2)}),
    st.fixed_dictionaries({"required": st.lists(NAMES, unique=True, max_size=2)}),
    st.fixed_dictionaries({"dependentRequired": st.dictionaries(NAMES, st.just(["a"]))}),
    st.sampled_from(DEFINED).map(
        lambda name: {"$ref": f"#/$defs/{name.replace('/', '~1')}", "description": "one of them"}
    ),
)


def with_parts(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, min_size=1, max_size=2)
    keywords = st.one_of(
        st.fixed_dictionaries({"properties": st.dictionaries(NAMES, inner, max_size=2)}),
        st.fixed_dictionaries({"additionalProperties": inner}),
        st.fixed_dictionaries({"items": inner}),
        st.fixed_dictionaries({"prefixItems": lists, "items": inner | st.booleans()}),
        st.fixed_dictionaries({"prefixItems": lists}),
        st.fixed_dictionaries({"contains": inner, "minContains": st.just(0)}),
        st.fixed_dictionaries({"anyOf": lists}),
        st.fixed_dictionaries({"allOf": lists}),
        st.fixed_dictionaries({"not": inner}),
    )
    return st.tuples(keywords, words | st.just({})).map(lambda both: {**both[0], **both[1]})


schemas = st.recursive(words | st.booleans(), with_parts, max_leaves=5)


def acyclic(definitions: list[Any]) -> dict[str, Any]:
    """Definitions without those that refer to any: a validator would follow them for ever."""
    return {
        name: {"type": "string"} if "'$ref'" in repr(part) else part
        for name, part in zip(DEFINED, definitions, strict=True)
    }


@given(
    schemas.filter(lambda schema: isinstance(schema, dict)),
    st.lists(schemas, min_size=3, max_size=3),
    st.lists(messages, min_size=5, max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_what_a_schema_takes_stays_the_same(
    schema: dict[str, Any], definitions: list[Any], candidates: list[Any]
) -> None:
    whole = {**schema, "$defs": acyclic(definitions)}
    collected = Schemas(UniqueNames("A-Za-z0-9_.-"))
    payload = collected.add(whole, None)
    document = {"components": {"schemas": collected.components}}
    later = Draft202012Validator(whole)
    earlier = Draft7Validator({**document, "allOf": [payload]})
    for message in candidates:
        assert later.is_valid(message) == earlier.is_valid(message)


def test_the_same_schema_twice_changes_nothing() -> None:
    collected = Schemas(UniqueNames("A-Za-z0-9_.-"))
    schema = {
        "type": "object",
        "properties": {"next": {"$ref": "#"}, "x": {"$ref": "#/$defs/X"}},
        "$defs": {"X": {"items": {"$ref": "#/$defs/X"}}},
    }
    first = collected.add(schema, "Node")
    before = repr(collected.components)
    assert collected.add(schema, "Node") == first == {"$ref": "#/components/schemas/Node"}
    assert repr(collected.components) == before
    document = {"components": {"schemas": collected.components}}
    assert resolved(document, "#/components/schemas/X") == {
        "items": {"$ref": "#/components/schemas/X"}
    }
