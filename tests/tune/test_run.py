"""What runs add up to: disturbances are made good or left out, processes are added up."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tune._curves import run_of
from walnats_anyio.tune._run import Run, Sketch, Window, point_of, throughputs


def window(throughput: float, **changes: float | Sketch | int) -> Window:
    return msgspec.structs.replace(run_of(throughput).window, **changes)


@settings(max_examples=50, deadline=None)
@given(slots=st.integers(1, 64), core=st.floats(0.1, 1), job=st.floats(0.001, 0.1))
def test_a_handler_that_computes_gets_back_what_others_took(
    slots: int, core: float, job: float
) -> None:
    measured = window(
        core / job,
        seconds=100.0,
        ended=round(100 * core / job),
        busy=core,
        disturbed=1 - core,
        handling=Sketch.of([job / core] * 20),
    )
    assert measured.undisturbed(slots).throughput == pytest.approx(1 / job, rel=0.1)


@settings(max_examples=50, deadline=None)
@given(slots=st.integers(1, 64), disturbed=st.floats(0, 0.3), busy=st.floats(0.01, 0.3))
def test_a_handler_that_waits_gets_no_more_than_its_slots_can_do(
    slots: int, disturbed: float, busy: float
) -> None:
    right = slots / 0.02
    measured = window(
        right, ended=round(right), busy=busy, disturbed=disturbed, handling=Sketch.of([0.02] * 20)
    )
    assert measured.undisturbed(slots).throughput <= right / (1 - disturbed)
    if slots >= 16:
        assert measured.undisturbed(slots).throughput == pytest.approx(right, rel=0.05)


def test_what_is_made_good_ends_where_the_slots_do() -> None:
    measured = window(790, ended=790, busy=0.6, disturbed=0.35, handling=Sketch.of([0.02] * 20))
    assert measured.undisturbed(16).throughput == pytest.approx(800, rel=0.05)


def test_what_was_not_disturbed_stays_as_it_is() -> None:
    measured = window(100, disturbed=0.0, busy=1.0)
    assert measured.undisturbed(4) == measured


def test_processes_are_added_up() -> None:
    both = Window.together([window(100, cpu=0.5), window(50, cpu=0.25)])
    assert (both.throughput, both.cpu, both.ended) == (150, 0.75, 200)
    assert both.memory == 100_000_000
    assert both.handling.count == 20


def test_levels_where_more_jobs_fail_are_no_choice() -> None:
    runs = {1: [run_of(10)], 2: [run_of(20, failed=1)], 4: [run_of(30, failed=20)]}
    assert throughputs(runs) == {1: 10, 2: 20, 4: 0}
    by_chance = {1: [run_of(10, failed=40)], 2: [run_of(20, failed=50)]}
    assert throughputs(by_chance) == {1: 10, 2: 20}


def test_a_point_has_the_median_of_its_runs() -> None:
    assert throughputs({1: [run_of(40), run_of(90)]}) == {1: 90}
    runs = [run_of(90), run_of(100), run_of(140), run_of(10, disturbed=0.9)]
    point = point_of(4, runs)
    assert (point.max_jobs, point.throughput, point.runs) == (4, 100, 4)
    assert point.low < 100 < point.high
    assert point.handling.p50 == 0.02


def test_a_sketch_keeps_the_percentiles_of_many_times() -> None:
    latency = Sketch.of([n / 10_000 for n in range(10_000, 0, -1)]).latency()
    assert latency is not None
    assert latency.count == 10_000
    assert latency.p50 == pytest.approx(0.5, abs=0.01)
    assert latency.p99 == pytest.approx(0.99, abs=0.01)
    assert Sketch.of([]).latency() is None


def test_a_run_can_be_sent_as_json() -> None:
    run = run_of(100)
    assert msgspec.json.decode(msgspec.json.encode(run), type=Run) == run
