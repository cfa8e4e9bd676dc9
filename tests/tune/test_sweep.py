"""Which levels are measured, and what is concluded from noisy runs of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tune._curves import BEST, Throughput, pool, run_of, sleep, swept
from walnats_anyio.tune import _choice
from walnats_anyio.tune._sweep import MOST_RUNS, Sweep, grid


def concluded(sweep: Sweep) -> int:
    return _choice.recommended(sweep.throughputs(), sweep.noise())


@pytest.mark.parametrize("curve", BEST, ids=lambda curve: curve.__name__)
@settings(max_examples=15, deadline=None)
@given(noise=st.floats(0, 0.02), seed=st.integers(0, 10**6))
def test_the_best_level_is_found_within_15_per_cent(
    curve: Throughput, noise: float, seed: int
) -> None:
    sweep = Sweep(grid(64), seed=seed)
    runs = swept(sweep, curve, noise, seed)
    assert concluded(sweep) == pytest.approx(BEST[curve], rel=0.15)
    assert runs <= 60


def test_disturbed_runs_are_measured_again_and_left_out() -> None:
    sweep = Sweep((1, 2))
    sweep.next_round()
    sweep.add(1, run_of(100))
    sweep.add(2, run_of(50, disturbed=0.4))
    sweep.add(2, run_of(100, disturbed=0.01))
    assert sweep.throughputs() == {1: 100, 2: 100}
    assert sorted(sweep.next_round()) == [1, 2]


def test_a_level_that_is_always_disturbed_is_given_up() -> None:
    sweep = Sweep((1, 2))
    rounds = 0
    while levels := sweep.next_round():
        rounds += 1
        for level in levels:
            sweep.add(level, run_of(100, disturbed=0.2 + 0.1 * rounds))
    assert max(len(runs) for runs in sweep.runs.values()) <= MOST_RUNS


def test_levels_in_between_are_measured_only_where_it_may_add_them() -> None:
    sweep = Sweep((1, 8, 16), refine=False)
    swept(sweep, pool, 0.0, 1)
    assert sorted(sweep.runs) == [1, 8, 16]


def test_a_level_that_was_given_up_is_not_asked_for_again() -> None:
    sweep = Sweep((1, 2, 4))
    sweep.give_up(4)
    swept(sweep, sleep, 0.0, 1)
    assert 4 not in sweep.runs


def test_what_decides_is_undecided_until_it_was_measured_twice() -> None:
    sweep = Sweep((1, 8, 16), refine=False)
    for level in sweep.next_round():
        sweep.add(level, run_of(pool(level)))
    assert sorted(sweep.undecided()) == [8, 16]
    for level in (8, 16):
        sweep.add(level, run_of(pool(level)))
    assert sweep.undecided() == []


def test_levels_come_in_random_order() -> None:
    orders = {tuple(Sweep(grid(64), seed=seed).next_round()) for seed in range(10)}
    assert len(orders) > 5
    assert {tuple(sorted(order)) for order in orders} == {grid(64)}


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5000))
def test_the_grid_reaches_from_one_to_the_top(top: int) -> None:
    levels = grid(top)
    assert (levels[0], levels[-1]) == (1, top)
    assert list(levels) == sorted(set(levels))
