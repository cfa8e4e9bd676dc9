"""Finding the number of jobs, in simulated time: near the best, whatever jobs compete for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.run._simulated import Noise, Simulation, World, exponential, steady, uniform
from walnats_anyio import Auto
from walnats_anyio._actors.run._auto_limit import AutoLimit, Phase

MOST = 64
WARM = 12.0
END = 40.0


def auto(most: int = MOST, *, start: int = 8) -> AutoLimit:
    return AutoLimit(Auto(most=most, start=start), 10**6, 0.0)


def sleep(noise: Noise = steady) -> World:
    return World(0.02, noise=noise)


def lock(noise: Noise = steady) -> World:
    return World(0.02, places=1, noise=noise)


def pool(noise: Noise = steady) -> World:
    return World(0.05, places=10, noise=noise)


def service(noise: Noise = steady) -> World:
    return World(0.04, knee=30, noise=noise)


BEST: dict[Callable[[Noise], World], int] = {sleep: MOST, lock: 1, pool: 10, service: 30}


@pytest.mark.parametrize("world", BEST)
@pytest.mark.parametrize(("noise", "share"), [(steady, 0.9), (uniform, 0.9), (exponential, 0.8)])
def test_near_the_best_fixed_number(
    world: Callable[[Noise], World], noise: Noise, share: float
) -> None:
    best = Simulation(world(noise), BEST[world]).run(END).throughput(WARM, END)
    found = auto()
    assert Simulation(world(noise), found).run(END).throughput(WARM, END) >= share * best
    assert found.statistics().goal <= max(4, 1.7 * BEST[world])
    assert not found.capped or world is sleep


def slower(world: World) -> None:
    world.seconds *= 5


def as_before(world: World) -> None:
    world.seconds /= 5


def test_what_jobs_wait_for_is_slow_for_a_while() -> None:
    changes = [(15.0, slower), (30.0, as_before)]
    best = Simulation(World(0.02, changes=list(changes)), MOST).run(45.0)
    found = Simulation(World(0.02, changes=list(changes)), auto()).run(45.0)
    # It takes five times as long for however few: fewer at once would help nobody.
    for since in (12.0, 18.0, 24.0, 33.0, 39.0):
        mine, right = (each.throughput(since, since + 3.0) for each in (found, best))
        assert mine >= 0.9 * right, since


def test_a_pool_that_shrinks_and_grows() -> None:
    def shrink(world: World) -> None:
        world.places = 2

    def grow(world: World) -> None:
        world.places = 10

    found = auto()
    simulation = Simulation(World(0.05, places=10, changes=[(15.0, shrink), (30.0, grow)]), found)
    simulation.run(29.0)
    assert found.statistics().goal <= 5
    assert found.statistics().phase in (Phase.STEERING, Phase.PROBING)


def test_it_recovers_within_seconds() -> None:
    def grow(world: World) -> None:
        world.places = 10

    found = Simulation(World(0.05, places=2, changes=[(15.0, grow)]), auto()).run(30.0)
    assert found.throughput(22.0, 30.0) >= 0.9 * 10 / 0.0506


def test_without_enough_to_do_nothing_is_learnt() -> None:
    found = auto()
    Simulation(World(0.02, wanted=3), found).run(20.0)
    assert found.statistics().goal <= 8
    assert not found.capped


def test_what_it_shows() -> None:
    found = auto(most=500)
    shown = found.statistics()
    assert (shown.limit, shown.goal, shown.phase) == (4, 8, Phase.PROBING)
    assert (shown.base, shown.time, shown.probes, shown.changes) == (None, None, 0, 0)
    Simulation(sleep(), found).run(14.0)
    shown = found.statistics()
    assert shown.base == pytest.approx(0.0206, rel=0.01)
    assert shown.time == pytest.approx(0.0206, rel=0.01)
    assert shown.probes >= 2
    assert shown.changes == 6
    assert shown.goal == 500
    assert found.capped


def test_a_slow_handler_takes_a_while() -> None:
    found = auto()
    Simulation(World(2.0, places=20), found).run(200.0)
    assert 16 <= found.statistics().goal <= 30


@given(
    st.integers(1, 50),
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(1, 100),
    st.lists(st.tuples(st.floats(0, 100), st.integers(1, 200), st.floats(0, 10)), max_size=300),
)
def test_whatever_jobs_take_it_stays_within_its_bounds(
    least: int, start: int, most: int, allowed: int, jobs: list[tuple[float, int, float]]
) -> None:
    found = AutoLimit(Auto(least, least + start + most, least + start), allowed, 0.0)
    now = 0.0
    for seconds, running, passed in jobs * 3:
        now += passed
        before = found.limit
        assert found.finished(seconds, running, now) == (found.limit != before)
        assert min(least, allowed) <= found.limit <= min(allowed, least + start + most)
