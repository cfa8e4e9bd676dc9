"""YAML: what a reader gets is the document."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from walnats_anyio.services._yaml import to_yaml

texts = st.text(max_size=8) | st.sampled_from(
    ["no", "1e3", "1.10", "0o7", "null", "~", "- a", "a: b", "#", "\x85", "\u2028", "\ufeff", "'"]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(texts, values, max_size=4))
@settings(max_examples=40, deadline=None)
def test_a_document_comes_back(document: dict[str, Any]) -> None:
    assert yaml.safe_load(to_yaml(document)) == document


def test_numbers_with_an_exponent_stay_numbers() -> None:
    document = {"a": 1e22, "b": 1e-7, "c": -1.5e300, "d": "1e3"}
    assert yaml.safe_load(to_yaml(document)) == document


def test_it_is_readable() -> None:
    document = {
        "info": {"title": "a b", "x-y": []},
        "$ref": "#/a",
        "no": [1, {"a": None, "b": {}}, ["x", []]],
    }
    assert to_yaml(document) == (
        "info:\n"
        '  title: "a b"\n'
        "  x-y: []\n"
        '"$ref": "#/a"\n'
        '"no":\n'
        "  - 1\n"
        "  -\n"
        "    a: null\n"
        "    b: {}\n"
        "  -\n"
        '    - "x"\n'
        "    - []\n"
    )


def test_what_json_has_no_number_for_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        to_yaml({"a": float("inf")})
