"""The recommendation in one sentence that a person can act on."""

from __future__ import annotations

import msgspec

from walnats_anyio.tune import _choice
from walnats_anyio.tune._law import law
from walnats_anyio.tune._result import Curve, Fit, Point, Setting

BUSY = 0.85
"""Share of a core from which on the process has none left."""

BLOCKED = 0.5
"""Event-loop lag, in durations of the handler, from which on the handler is what blocks it."""

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
) -> Curve:
    """What follows from the points, and from the law where it describes them.

    Args:
        setting: what it was measured with.
        points: what was measured.
        measured: jobs per second by level; 0 at those that are no choice.
        fit: the law.
        noise: by how much the throughputs are uncertain, as a share.
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
        peak_max_jobs=max(recommended, _choice.peak(values, noise)),
        knee_max_jobs=_choice.knee(values),
        advice="",
        points=tuple(points),
        fit=fit,
    )
    return msgspec.structs.replace(curve, advice=_sentence(curve, values))


def throughput_at(curve: Curve, level: int) -> float:
    """Jobs per second at a level: by the law where it is good, else by the nearest point."""
    if curve.fit is not None and curve.fit.good:
        return float(law(level, curve.fit.a, curve.fit.s, curve.fit.k))
    return curve.point(level).throughput


def _sentence(curve: Curve, values: dict[int, float]) -> str:
    parts = [_main(curve, values), _beyond(curve, values), _failing(curve)]
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
    if (reason := _busy_loop(curve)) is not None:
        return reason
    top = max(values)
    if curve.recommended_max_jobs == top:
        if top == 1:
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


def _busy_loop(curve: Curve) -> str | None:
    """Whether the event loop is what more jobs would wait for."""
    point = curve.point(curve.recommended_max_jobs)
    workers = curve.setting.workers
    handler = point.handling.p50
    blocked = point.loop_lag.p95 > max(SHORTEST_BLOCK, BLOCKED * handler)
    if curve.recommended_max_jobs == max(each.max_jobs for each in curve.points) > 1:
        return None
    if point.cpu >= BUSY * workers:
        return (
            f"the handler keeps its core busy ({point.cpu / workers:.0%}): more processes bring "
            "more (--workers, ExecuteIn.PROCESS), more jobs do not"
        ).replace("%", " %")
    if blocked:
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
