"""The recommendation in one sentence that a person can act on."""

from __future__ import annotations

import os

import msgspec

from walnats_anyio._actors import ExecuteIn
from walnats_anyio.tune import _choice
from walnats_anyio.tune._law import law
from walnats_anyio.tune._result import Curve, Fit, Point, Setting

BUSY = 0.85
"""Share of a core from which on the process has none left."""

BLOCKED = 0.25
"""Median lag of the event loop, in durations of the handler, from which on it is blocked by it."""

SHORTEST_BLOCK = 0.002
"""Seconds of lag below which nothing is blocked."""

FALLS = 0.93
"""Share of the peak below which the throughput has fallen."""

FAILING = 0.02
"""Share of failed jobs that is worth a word."""


def curve_of(
    setting: Setting,
    points: list[Point],
    measured: dict[int, float],
    fit: Fit | None,
    noise: float,
    execute_in: ExecuteIn,
) -> Curve:
    """What follows from the points, and from the law where it describes them.

    Args:
        setting: what it was measured with.
        points: what was measured.
        measured: jobs per second by level; 0 at those that are no choice.
        fit: the law.
        noise: by how much the throughputs are uncertain, as a share.
        execute_in: where the handler runs.
    """
    points = sorted(points, key=lambda point: point.max_jobs)
    values = measured
    if fit is not None and fit.good:
        # The law is smoother than what was measured, and knows the levels in between.
        right = [level for level, value in measured.items() if value > 0]
        levels = range(min(right), max(right) + 1)
        values = {level: float(law(level, fit.a, fit.s, fit.k)) for level in levels}
        noise = 0.0
    recommended = _choice.recommended(values, noise)
    curve = Curve(
        setting=setting,
        recommended_max_jobs=recommended,
        peak_max_jobs=max(recommended, _peak(fit, values, noise)),
        knee_max_jobs=_choice.knee(values),
        advice="",
        points=tuple(points),
        fit=fit,
    )
    return msgspec.structs.replace(curve, advice=_sentence(curve, values, execute_in))


def _peak(fit: Fit | None, values: dict[int, float], noise: float) -> int:
    """The peak of the law, if it is certain that it has one among the levels; else of the values.

    Where the throughput only levels off the law may have a peak anywhere, which means nothing.
    """
    if fit is None or not fit.good or fit.peak is None:
        return _choice.peak(values, noise)
    certain = fit.k > 2 * fit.k_error and fit.peak <= max(values)
    return round(fit.peak) if certain else _choice.peak(values, noise)


def throughput_at(curve: Curve, level: int) -> float:
    """Jobs per second at a level: by the law where it is good, else by the nearest point."""
    if curve.fit is not None and curve.fit.good:
        return float(law(level, curve.fit.a, curve.fit.s, curve.fit.k))
    return curve.point(level).throughput


def _sentence(curve: Curve, values: dict[int, float], execute_in: ExecuteIn) -> str:
    beyond = _busy(curve, execute_in) or _beyond(curve, values)
    parts = [_main(curve, values), beyond, _failing(curve)]
    return "; ".join(part for part in parts if part)


def _main(curve: Curve, values: dict[int, float]) -> str:
    level, peak = curve.recommended_max_jobs, curve.peak_max_jobs
    rate = _rate(values[level])
    if level == peak:
        return f"max_jobs={level}: the peak throughput, {rate} jobs/s"
    share = min(1.0, values[level] / values[peak])
    latency = (level / values[level]) / (peak / values[peak])
    return (
        f"max_jobs={level}: {share:.0%} of the peak throughput at {latency:.0%} of its latency, "
        f"{rate} jobs/s"
    ).replace("%", " %")


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _beyond(curve: Curve, values: dict[int, float]) -> str | None:
    """What happens with more jobs than that."""
    top = max(values)
    if curve.recommended_max_jobs == top:
        lower = max((level for level in values if level < top), default=None)
        if lower is None or values[top] <= values[lower]:
            return None
        return f"it still rises at {top}, the highest level measured: try more"
    level = curve.peak_max_jobs
    if not values[top]:
        return None
    if values[top] < FALLS * values[level]:
        return f"beyond {level} the throughput falls, by {_loss(values, level)} at {top}"
    return "more jobs only wait for each other"


def _loss(values: dict[int, float], level: int) -> str:
    return f"{1 - values[max(values)] / values[level]:.0%}".replace("%", " %")


def _busy(curve: Curve, execute_in: ExecuteIn) -> str | None:
    """Whether it is the event loop, or the cores, that more jobs would wait for."""
    if curve.recommended_max_jobs == max(each.max_jobs for each in curve.points) > 1:
        return None
    point = curve.point(curve.recommended_max_jobs)
    cores = os.cpu_count() or 1
    if point.cpu >= BUSY * cores and cores > curve.setting.workers:
        return f"all {cores} cores are busy: another machine brings more, more jobs do not"
    if execute_in is not ExecuteIn.MAIN:
        return None
    share = point.cpu / curve.setting.workers
    if share >= BUSY:
        return (
            f"the handler keeps its core busy ({share:.0%}): more processes bring more "
            "(--workers, ExecuteIn.PROCESS), more jobs do not"
        ).replace("%", " %")
    if point.loop_lag.p50 > max(SHORTEST_BLOCK, BLOCKED * point.handling.p50):
        return (
            "the handler blocks the event loop while it waits: run it with ExecuteIn.THREAD, or "
            "await what it waits for"
        )
    return None


def _failing(curve: Curve) -> str | None:
    failing = [point.max_jobs for point in curve.points if point.failed > FAILING]
    if not failing:
        return None
    everywhere = len(failing) == len(curve.points)
    return "jobs fail " + ("at every level" if everywhere else f"from max_jobs={min(failing)} on")
