"""What is recommended, from throughputs alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tune._curves import BEST, Throughput
from walnats_anyio.tune import _choice


@pytest.mark.parametrize("curve", BEST, ids=lambda curve: curve.__name__)
def test_the_best_level_of_a_known_curve_is_recommended(curve: Throughput) -> None:
    values = {n: curve(n) for n in range(1, 65)}
    assert _choice.recommended(values) == pytest.approx(BEST[curve], rel=0.05)
    assert _choice.knee(values) == pytest.approx(BEST[curve], rel=0.05)
    assert _choice.peak(values) == pytest.approx(BEST[curve], rel=0.05)


def test_seven_per_cent_are_never_worth_more_jobs() -> None:
    assert _choice.recommended({10: 100, 11: 106, 40: 106}) == 10
    assert _choice.recommended({10: 100, 11: 108, 40: 108}) == 11


def test_fifteen_per_cent_are_not_worth_twice_the_jobs() -> None:
    assert _choice.recommended({1: 100, 2: 114}) == 1
    assert _choice.recommended({1: 100, 2: 116}) == 2
    assert _choice.recommended({1: 100, 64: 114}) == 1
    assert _choice.recommended({1: 100, 64: 116}) == 64


def test_noise_is_no_gain() -> None:
    assert _choice.recommended({10: 100, 11: 109, 40: 109}, noise=0.03) == 10


def test_just_below_a_top_that_is_higher_means_the_top() -> None:
    assert _choice.recommended({60: 98, 64: 100}) == 64
    assert _choice.recommended({60: 100, 64: 98}) == 60


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.integers(1, 1000), st.floats(0.1, 1e6), min_size=1, max_size=20),
    st.floats(0, 0.04),
)
def test_whatever_the_throughputs_a_level_that_was_measured_is_chosen(
    values: dict[int, float], noise: float
) -> None:
    level = _choice.recommended(values, noise)
    assert level in values
    assert _choice.peak(values, noise) in values
    assert _choice.knee(values) in values
    # It gives up at most what is said, and nothing that a lower level would have had.
    best_above = max(value for other, value in values.items() if other >= level)
    assert values[level] * (1 + _choice.DOUBLED) * (1 + noise) >= best_above * 0.999
