"""Results as a chart: events a second, one group of bars for each benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks._report import BY_NAME
from benchmarks._results import BenchmarkResult, Results

COLOURS = {"ours": "#1f6f8b", "before": "#8fb7c5", "peer": "#b0b7bd", "floor": "#dfe3e6"}


def draw(results: Results, path: Path) -> None:
    """Draw every benchmark that measures events a second; the suffix of the path picks the format.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: none of the results is of that kind.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [r for r in results.benchmarks if BY_NAME[r.name].metrics[0].key == "rate"]
    if not shown:
        raise ValueError("no benchmark in these results measures events a second: run `consume`")
    heights = [len(result.candidates()) + 1.5 for result in shown]
    figure = Figure(figsize=(9, 0.27 * sum(heights) + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)
    for axis, result in zip(axes[:, 0], shown, strict=True):
        draw_group(axis, result)
    axes[-1, 0].set_xlabel(
        "events a second, median of the rounds; lines reach from the lowest to the highest"
    )
    figure.savefig(path)


def draw_group(axis: Any, result: BenchmarkResult) -> None:
    """Bars of one benchmark, best at the top."""
    benchmark = BY_NAME[result.name]
    roles = {candidate.name: candidate.role for candidate in benchmark.candidates}
    spreads = {name: s for name in result.candidates() if (s := result.spread(name, "rate"))}
    names = sorted(spreads, key=lambda name: spreads[name].median)
    medians = [spreads[name].median for name in names]
    reach = [
        [spreads[name].median - spreads[name].low for name in names],
        [spreads[name].high - spreads[name].median for name in names],
    ]
    bars = axis.barh(
        names,
        medians,
        xerr=reach,
        # A candidate of another checkout is in the results only.
        color=[COLOURS[roles.get(name, "before")] for name in names],
        error_kw={"elinewidth": 0.8, "ecolor": "#555555"},
    )
    axis.bar_label(bars, labels=[f"  {value:,.0f}" for value in medians], fontsize=8)
    axis.set_title(benchmark.title, loc="left", fontsize=10, fontweight="bold")
    axis.margins(x=0.12)
    axis.tick_params(labelsize=8, left=False)
    axis.xaxis.set_major_formatter("{x:,.0f}")
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
