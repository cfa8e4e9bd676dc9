"""The Universal Scalability Law is found again in points that follow it, and not in others."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tune._curves import Throughput, pool, service
from walnats_anyio.tune._law import Measured, fit_law, law

LEVELS = (1, 2, 4, 8, 16, 24, 32, 48, 64)


def points_of(a: float, s: float, k: float, noise: float, seed: int) -> list[Measured]:
    chance = random.Random(seed)
    return [
        Measured(n, float(law(n, a, s, k)) * chance.gauss(1, noise), 0.01 * float(law(n, a, s, k)))
        for n in LEVELS
    ]


@settings(max_examples=20, deadline=None)
@given(
    a=st.floats(1, 10_000),
    s=st.floats(0.01, 0.3),
    peak=st.floats(8, 60),
    seed=st.integers(0, 1000),
)
def test_a_known_law_is_found_in_noisy_points(a: float, s: float, peak: float, seed: int) -> None:
    k = (1 - s) / peak**2
    fit = fit_law(points_of(a, s, k, 0.01, seed))
    assert fit is not None
    assert fit.good
    assert fit.a == pytest.approx(a, rel=0.1)
    assert fit.peak is not None
    # Around its peak a law is flat: what counts is the throughput that is lost.
    assert law(fit.peak, a, s, k) >= 0.95 * law(peak, a, s, k)
    for band in fit.band:
        assert band.low <= band.throughput <= band.high


@settings(max_examples=10, deadline=None)
@given(a=st.floats(1, 10_000), s=st.floats(0.0, 0.9), seed=st.integers(0, 1000))
def test_without_coherency_there_is_no_peak_within_the_levels(
    a: float, s: float, seed: int
) -> None:
    fit = fit_law(points_of(a, s, 0.0, 0.002, seed))
    assert fit is not None
    assert fit.good
    assert fit.peak is None or law(64, a, s, 0) >= 0.95 * law(min(fit.peak, 64), a, s, 0)


def test_the_peak_is_where_gunther_has_it() -> None:
    fit = fit_law(points_of(100, 0.1, 0.001, 0.0, 1))
    assert fit is not None
    assert fit.s == pytest.approx(0.1, abs=1e-4)
    assert fit.k == pytest.approx(0.001, abs=1e-6)
    assert fit.peak == pytest.approx(math.sqrt(0.9 / 0.001), rel=0.01)
    assert fit.residual < 1e-6


@pytest.mark.parametrize("curve", [pool, service])
def test_what_has_a_corner_does_not_fit(curve: Throughput) -> None:
    fit = fit_law([Measured(n, curve(n), 0.01 * curve(n)) for n in (*LEVELS, 10, 30)])
    assert fit is not None
    assert not fit.good


def test_the_law_is_that_of_gunther() -> None:
    assert law(1, 100, 0.1, 0.001) == 100
    assert law(10, 100, 0.1, 0.001) == pytest.approx(1000 / (1 + 0.9 + 0.09))


def test_three_levels_are_too_few() -> None:
    assert fit_law(points_of(100, 0.1, 0.001, 0.0, 1)[:3]) is None


def test_levels_at_which_every_job_failed_are_left_out() -> None:
    points = points_of(100, 0.1, 0.001, 0.0, 1)
    fit = fit_law([*points, Measured(128, 0.0, 0.0)])
    assert fit is not None
    assert fit.good
