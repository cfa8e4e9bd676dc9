"""A tuning as a chart: throughput with the law and what is recommended, and latency below it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from walnats_anyio.tune._optional import optional
from walnats_anyio.tune._result import Curve, Latency, Tuning

SUFFIXES = (".png", ".svg", ".pdf")

BLUE, GREY, ORANGE, GREEN = "#1f6f8b", "#8a949b", "#d9822b", "#3a8f5c"

OTHERS = ("#8fb7c5", "#c9a66b", "#a3b899", "#b79fb8")
"""Colours of the settings beside the best one."""


def check_chart(path: Path) -> None:
    """See whether a chart can be drawn there.

    Raises:
        ValueError: the suffix says nothing of a picture.
        ModuleNotFoundError: Matplotlib is missing.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"a chart's name must end in {', '.join(SUFFIXES)}, not {str(path)!r}")
    optional("matplotlib.figure")


def draw(tuning: Tuning, path: str | Path) -> None:
    """Draw a tuning; the suffix of the path picks the format.

    Args:
        tuning: what `tune` gave.
        path: a file that ends in .png, .svg or .pdf; it is replaced.

    Raises:
        ValueError: the path has another suffix.
        ModuleNotFoundError: Matplotlib is missing (extra `tune`).
        OSError: the file cannot be written.
    """
    path = Path(path)
    check_chart(path)
    figure = optional("matplotlib.figure").Figure(figsize=(8, 7), layout="constrained")
    optional("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    curve = tuning.curve()
    others = [each for each in tuning.curves if each.setting != tuning.setting]
    _draw_throughput(above, curve, others)
    _draw_latency(below, curve)
    above.set_title(f"{tuning.actor} ({curve.setting})", loc="left", fontweight="bold")
    _name_levels(below, curve)
    figure.supxlabel(_folded(tuning.advice), fontsize=9)
    figure.savefig(path, dpi=120)


def _folded(text: str, width: int = 95) -> str:
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}"
    return "\n".join(line.strip() for line in lines)


def _draw_throughput(axis: Any, curve: Curve, others: list[Curve]) -> None:
    for other, colour in zip(others, OTHERS * len(others), strict=False):
        axis.plot(
            [point.max_jobs for point in other.points],
            [point.throughput for point in other.points],
            color=colour,
            marker=".",
            linewidth=1,
            label=str(other.setting),
        )
    points = curve.points
    if curve.fit is not None:
        _draw_fit(axis, curve)
    axis.errorbar(
        [point.max_jobs for point in points],
        [point.throughput for point in points],
        yerr=[
            [point.throughput - point.low for point in points],
            [point.high - point.throughput for point in points],
        ],
        fmt="o",
        color=BLUE,
        capsize=3,
        markersize=5,
        label="measured, with 95 % interval",
        zorder=3,
    )
    _mark(axis, curve)
    axis.set_ylabel("jobs per second")
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter(_number)
    _finish(axis)


def _draw_fit(axis: Any, curve: Curve) -> None:
    assert curve.fit is not None  # for the type checker: the caller has looked
    band = curve.fit.band
    levels = [each.max_jobs for each in band]
    good = curve.fit.good
    label = "Universal Scalability Law" + ("" if good else ", which does not fit")
    axis.plot(
        levels,
        [each.throughput for each in band],
        color=BLUE if good else GREY,
        linestyle="-" if good else ":",
        linewidth=1.3,
        label=label,
    )
    if good:
        axis.fill_between(
            levels,
            [each.low for each in band],
            [each.high for each in band],
            color=BLUE,
            alpha=0.15,
            linewidth=0,
        )
    else:
        points = curve.points
        axis.plot(
            [point.max_jobs for point in points],
            [point.throughput for point in points],
            color=BLUE,
            linewidth=1,
            alpha=0.5,
        )


def _mark(axis: Any, curve: Curve) -> None:
    axis.axvline(
        curve.recommended_max_jobs,
        color=ORANGE,
        linewidth=2,
        label=f"recommended: {curve.recommended_max_jobs}",
    )
    axis.axvline(
        curve.knee_max_jobs, color=GREEN, linestyle="--", label=f"knee: {curve.knee_max_jobs}"
    )
    axis.axvline(
        curve.peak_max_jobs, color=GREY, linestyle=":", label=f"peak: {curve.peak_max_jobs}"
    )


def _draw_latency(axis: Any, curve: Curve) -> None:
    _draw_times(axis, curve, "handling", BLUE)
    _draw_times(axis, curve, "queueing", ORANGE)
    axis.axvline(curve.recommended_max_jobs, color=ORANGE, linewidth=2, alpha=0.5)
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high * (high / low) ** 0.25)  # room for the legend
    axis.set_ylabel("milliseconds")
    axis.yaxis.set_major_formatter(_number)
    _finish(axis, loc="upper center", ncols=4)


def _draw_times(axis: Any, curve: Curve, which: str, colour: str) -> None:
    found: list[tuple[int, Latency]] = [
        (point.max_jobs, latency)
        for point in curve.points
        if (latency := getattr(point, which)) is not None
    ]
    if not found:
        return
    levels = [level for level, _ in found]
    # A logarithm has no 0: a microsecond is as good as none.
    middle = [max(latency.p50 * 1e3, 1e-3) for _, latency in found]
    high = [max(latency.p95 * 1e3, 1e-3) for _, latency in found]
    axis.plot(levels, middle, color=colour, marker="o", markersize=4, label=f"{which}, median")
    axis.plot(
        levels, high, color=colour, marker="o", markersize=3, linestyle="--", linewidth=1,
        label=f"{which}, 95th percentile",
    )  # fmt: skip


def _name_levels(axis: Any, curve: Curve) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xlabel("max_jobs")
    axis.xaxis.set_major_formatter(_number)
    levels = [point.max_jobs for point in curve.points]
    axis.set_xlim(min(levels) / 1.15, max(levels) * 1.15)


def _number(value: float, _place: int) -> str:
    return f"{value:,g}"


def _finish(axis: Any, **legend: Any) -> None:
    axis.legend(fontsize=8, frameon=False, **legend)
    axis.grid(alpha=0.25)
    axis.tick_params(labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
