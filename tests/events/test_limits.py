"""Limits are checked where they are written down."""

from __future__ import annotations

import dataclasses
import math
import pickle
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walnats_anyio._events import Limits

COUNTS = ["consumers", "messages", "bytes", "message_size"]
MAXIMUM = {"message_size": 2**31 - 1}


def test_nothing_is_limited_unless_asked() -> None:
    assert dataclasses.astuple(Limits()) == (None,) * 5


@given(
    age=st.none() | st.floats(0.1, 9_223_372_036) | st.integers(1, 9_223_372_036),
    consumers=st.none() | st.integers(1, 2**63 - 1),
    messages=st.none() | st.integers(1, 2**63 - 1),
    bytes_=st.none() | st.integers(1, 2**63 - 1),
    message_size=st.none() | st.integers(1, 2**31 - 1),
)
def test_limits_are_values(
    age: float | None,
    consumers: int | None,
    messages: int | None,
    bytes_: int | None,
    message_size: int | None,
) -> None:
    limits = Limits(age, consumers, messages, bytes_, message_size)
    same = Limits(
        age=age,
        consumers=consumers,
        messages=messages,
        bytes=bytes_,
        message_size=message_size,
    )
    assert limits == same
    assert hash(limits) == hash(same)
    assert pickle.loads(pickle.dumps(limits)) == limits
    assert Limits().evolve(**dataclasses.asdict(limits)) == limits


def test_limits_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().age = 5  # type: ignore[misc]  # what is tested  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1, -(2**63), 2**63])
def test_a_count_out_of_range_is_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"^limits\.{name} must be 1 to \d+, or None .* {value}$"):
        Limits().evolve(**{name: value})


@pytest.mark.parametrize("name", COUNTS)
def test_the_largest_count_is_that_of_the_server(name: str) -> None:
    maximum = MAXIMUM.get(name, 2**63 - 1)
    Limits().evolve(**{name: maximum})
    with pytest.raises(ValueError, match=f"must be 1 to {maximum}"):
        Limits().evolve(**{name: maximum + 1})


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [True, False, 1.0, math.nan, "1", b"1", Decimal(1), [1]])
def test_a_count_is_an_int(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^limits\.{name} must be an int or None, not "):
        Limits().evolve(**{name: value})


@pytest.mark.parametrize(
    "age", [0, 0.0, -1, -0.5, 0.0999, math.nan, math.inf, -math.inf, 9_223_372_037, 1e30, 10**400]
)
def test_an_age_out_of_range_is_refused(age: float) -> None:
    with pytest.raises(ValueError, match=r"^limits\.age must be 0\.1 to 9223372036 seconds, not "):
        Limits(age=age)


@pytest.mark.parametrize("age", [True, "60", timedelta(minutes=1), Decimal(60), [60]])
def test_an_age_is_a_number(age: Any) -> None:
    with pytest.raises(TypeError, match=r"^limits\.age must be a number of seconds, not "):
        Limits(age=age)


def test_evolve_changes_what_is_named_and_nothing_else() -> None:
    limits = Limits(age=60, messages=5)
    assert limits.evolve(messages=6, bytes=7) == Limits(age=60, messages=6, bytes=7)
    assert limits.evolve(age=None) == Limits(messages=5)
    assert limits.evolve() == limits
    assert limits == Limits(age=60, messages=5)


def test_evolve_checks_too() -> None:
    with pytest.raises(ValueError, match="messages"):
        Limits().evolve(messages=0)
    with pytest.raises(TypeError, match="no 'size': there are age, consumers, messages, bytes"):
        Limits().evolve(size=1)
