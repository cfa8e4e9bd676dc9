"""Subjects: what matches and what overlaps, for subjects of any kind."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walnats_anyio.testing._memory._subjects import (
    expression,
    is_literal,
    is_subset,
    is_valid,
    matches,
    overlap,
)

literals = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(".".join)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    tokens = draw(st.lists(st.sampled_from(["a", "b", "*"]), max_size=3))
    if draw(st.booleans()) or not tokens:
        tokens.append(">")
    return ".".join(tokens)


ALL = [".".join(each) for size in range(1, 6) for each in itertools.product("ab", repeat=size)]
"""Every subject of up to five tokens: more than the patterns here have."""


@settings(max_examples=40)
@given(patterns(), patterns())
def test_patterns_overlap_where_a_subject_falls_under_both(one: str, other: str) -> None:
    both = any(matches(one, each) and matches(other, each) for each in ALL)
    assert overlap(one, other) == both
    assert overlap(other, one) == both


@settings(max_examples=40)
@given(patterns())
def test_a_regular_expression_says_the_same(pattern: str) -> None:
    found = re.compile(expression(pattern))
    assert all(bool(found.fullmatch(each)) == matches(pattern, each) for each in ALL)


@settings(max_examples=40)
@given(patterns(), patterns())
def test_a_subset_has_nothing_that_the_other_has_not(narrow: str, wide: str) -> None:
    inside = all(matches(wide, each) for each in ALL if matches(narrow, each))
    # `*.>` and `>` differ in name only.
    if is_subset(narrow, wide):
        assert inside
    if is_literal(narrow):
        assert is_subset(narrow, wide) == matches(wide, narrow)


@settings(max_examples=40)
@given(literals)
def test_a_subject_falls_under_itself(subject: str) -> None:
    assert matches(subject, subject)
    assert matches(">", subject)
    assert is_valid(subject)


@pytest.mark.parametrize("subject", ["", ".", "a.", ".a", "a..b", "a b", "a.>.b", "a\r\n", "\t"])
def test_what_is_no_subject(subject: str) -> None:
    assert not is_valid(subject)
