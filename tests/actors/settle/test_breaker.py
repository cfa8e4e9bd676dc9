"""Noticing that most jobs fail: pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walnats_anyio import Actor, Event, Ratio
from walnats_anyio._actors.settle import Breaker
from walnats_anyio._actors.settle._breaker import MARKS


def test_too_few_jobs_say_nothing() -> None:
    breaker = Breaker(Ratio(0.5, jobs=4), 0.0)
    assert [breaker.failure(0, now) for now in (1.0, 2.0, 3.0, 4.0)] == [False, False, False, True]
    # After a pause it counts anew.
    assert [breaker.failure(0, now) for now in (5.0, 6.0, 7.0, 8.0)] == [False, False, False, True]


def test_a_part_of_them() -> None:
    breaker = Breaker(Ratio(0.5, jobs=10), 0.0)
    assert not any(breaker.failure(20, 1.0) for _ in range(19))
    assert breaker.failure(20, 1.0)


def test_what_is_long_ago_does_not_count() -> None:
    breaker = Breaker(Ratio(0.5, jobs=4, within=10.0), 0.0)
    assert not any(breaker.failure(0, now) for now in (0.1, 0.2, 0.3))
    breaker.tick(0, 5.0)
    breaker.tick(0, 10.5)
    assert not breaker.failure(0, 15.5)
    assert not breaker.failure(0, 15.6)
    assert not breaker.failure(0, 15.7)
    assert breaker.failure(0, 15.8)


def test_what_is_kept_does_not_grow_with_the_failures() -> None:
    """However many there are within the time that counts."""
    breaker = Breaker(Ratio(1.0, jobs=10**6, within=64.0), 1000.0)
    for number in range(1000):
        assert not breaker.failure(0, 1000.0 + number * 0.064)
    assert len(breaker._marks) <= MARKS + 1


@given(
    st.floats(0.05, 1.0),
    st.integers(1, 30),
    st.lists(st.tuples(st.booleans(), st.floats(0, 5)), max_size=200),
)
def test_it_trips_only_if_so_many_have_failed(
    failed: float, jobs: int, ended: list[tuple[bool, float]]
) -> None:
    ratio = Ratio(failed, jobs=jobs, within=20.0)
    breaker, now, handled = Breaker(ratio, 0.0), 0.0, 0
    since: list[bool] = []
    for succeeded, passed in ended:
        now += passed
        since.append(succeeded)
        if succeeded:
            handled += 1
        elif breaker.failure(handled, now):
            assert len(since) >= jobs
            assert since.count(False) >= failed * jobs - 1e-9
            since.clear()


@pytest.mark.parametrize(
    ("field", "value"),
    [("failed", 0), ("failed", 1.1), ("jobs", 0), ("within", 0), ("pause", 0), ("pause", -1)],
)
def test_a_ratio_out_of_range(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"Ratio: {field} must be"):
        Ratio(**{field: value})  # type: ignore[arg-type]  # the fields have several types


@pytest.mark.parametrize(("field", "value"), [("failed", "half"), ("failed", True), ("jobs", 1.5)])
def test_a_ratio_of_a_wrong_type(field: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"Ratio: {field} must be"):
        Ratio(**{field: value})  # type: ignore[arg-type]  # what is to be refused


def test_what_is_no_ratio() -> None:
    with pytest.raises(TypeError, match="actor 'a': pause_on_failures must be of Ratio or None"):
        Actor("a", Event("e", int), print, pause_on_failures=0.5)  # type: ignore[call-overload]  # refused
