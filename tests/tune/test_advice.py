"""The sentence says what to do, and why."""

from __future__ import annotations

import msgspec
import pytest

from tests.tune._curves import run_of
from walnats_anyio import ExecuteIn
from walnats_anyio.tune import Curve, Latency, Point, Setting
from walnats_anyio.tune._advice import curve_of
from walnats_anyio.tune._law import Measured, fit_law, law
from walnats_anyio.tune._run import point_of


def point(max_jobs: int, throughput: float, **changes: float | Latency) -> Point:
    return msgspec.structs.replace(point_of(max_jobs, [run_of(throughput)]), **changes)


def curve(*points: Point, execute_in: ExecuteIn = ExecuteIn.MAIN) -> Curve:
    values = {each.max_jobs: each.throughput for each in points}
    return curve_of(Setting(), list(points), values, None, 0.0, execute_in)


def late(seconds: float) -> Latency:
    return Latency(p50=seconds, p95=2 * seconds, p99=2 * seconds, count=100)


COMPUTES = (
    "the handler keeps its core busy (97 %): more processes bring more (--workers, "
    "ExecuteIn.PROCESS), more jobs do not"
)
BLOCKS = (
    "the handler blocks the event loop while it waits: run it with ExecuteIn.THREAD, or await what "
    "it waits for"
)


@pytest.mark.parametrize(
    ("points", "what", "why"),
    [
        (
            [point(10, 97), point(20, 100), point(40, 60)],
            "max_jobs=10: the peak throughput, 97 jobs/s",
            "beyond 10 the throughput falls, by 38 % at 40",
        ),
        (
            [point(10, 96), point(20, 100), point(40, 100)],
            "max_jobs=10: 96 % of the peak throughput at 52 % of its latency, 96 jobs/s",
            "more jobs only wait for each other",
        ),
        (
            [point(10, 100), point(20, 200)],
            "max_jobs=20: the peak throughput, 200 jobs/s",
            "it still rises at 20, the highest level measured: try more",
        ),
        ([point(10, 5)], "max_jobs=10: the peak throughput, 5 jobs/s", None),
        (
            [point(1, 50, cpu=0.97), point(2, 51, cpu=1.0)],
            "max_jobs=1: the peak throughput, 50 jobs/s",
            COMPUTES,
        ),
        (
            [point(1, 50, loop_lag=late(0.01)), point(2, 51)],
            "max_jobs=1: the peak throughput, 50 jobs/s",
            BLOCKS,
        ),
    ],
    ids=["falls", "flat", "rises", "alone", "computes", "blocks"],
)
def test_the_sentence(points: list[Point], what: str, why: str | None) -> None:
    assert curve(*points).advice == (what if why is None else f"{what}; {why}")


def test_the_peak_is_that_of_the_law_where_it_is_certain() -> None:
    levels = (1, 2, 4, 8, 16, 32, 64, 128)
    rising = [Measured(n, float(law(n, 45, 0.03, 0.0003)), 0.1) for n in levels]
    points = [point(each.max_jobs, each.throughput) for each in rising]
    values = {each.max_jobs: each.throughput for each in rising}
    found = curve_of(Setting(), points, values, fit_law(rising), 0.0, ExecuteIn.MAIN)
    assert found.peak_max_jobs == 57
    assert 25 < found.recommended_max_jobs < 45
    assert "of its latency" in found.advice


def test_a_handler_in_a_thread_does_not_block_the_event_loop() -> None:
    found = curve(point(1, 50, loop_lag=late(0.01)), point(2, 51), execute_in=ExecuteIn.THREAD)
    assert "event loop" not in found.advice


def test_where_jobs_fail_is_said() -> None:
    points = [point(1, 50), point(2, 100), point(4, 0.0, failed=0.5)]
    assert curve(*points).advice.endswith("; jobs fail from max_jobs=4 on")
