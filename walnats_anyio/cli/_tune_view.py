"""How a tuning looks to a person: a line that moves while it goes on, and a table at the end."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from walnats_anyio.tune import Curve, Fit, Latency, Point, Tuning
from walnats_anyio.tune import Progress as Step

LEGEND = "handling, queueing: median and 95th percentile; lag: 95th; all in ms"


class Bar:
    """What is going on. Where there is no terminal, a line for each run."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._progress = Progress(
            BarColumn(20),
            TextColumn("{task.description}"),
            console=screen,
            auto_refresh=False,  # drawn by the task that measures: no thread beside it
            transient=True,
            disable=not screen.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=1.0)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def tell(self, step: Step) -> None:
        """Show a step."""
        where = f"{step.setting}, max_jobs {step.max_jobs}"
        if self._screen.is_terminal:
            done = min(1.0, step.seconds / step.budget)
            text = f"{step.seconds:3.0f} of {step.budget:.0f} s  run {step.runs + 1}: {where}"
            self._progress.update(self._task, completed=done, description=text)
            self._progress.refresh()
        elif step.throughput is not None:
            self._screen.print(
                f"{step.seconds:5.1f} s  {where}: {_rate(step.throughput)} jobs/s",
                soft_wrap=True,
            )


def show(tuning: Tuning, screen: Console) -> None:
    """Print the points of each setting, the law, and the recommendation."""
    wide = not screen.is_terminal  # else words would be broken where the terminal ends
    several = len(tuning.curves) > 1
    for curve in tuning.curves:
        if several:
            screen.print(Text(f"\n{curve.setting}", "bold"))
        screen.print(_table(curve))
        screen.print(Text(LEGEND, "dim"), soft_wrap=wide)
        screen.print(_law_in_words(curve), soft_wrap=wide, highlight=False)
        if several and curve.setting != tuning.setting:
            screen.print(Text(curve.advice), soft_wrap=wide)
    if not tuning.complete:
        screen.print(
            Text("Not all was measured: more --budget makes it more certain.", "yellow"),
            soft_wrap=wide,
        )
    screen.print(Text(f"\n{tuning.advice}", "bold green"), soft_wrap=wide)


def _table(curve: Curve) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("max_jobs", "jobs/s", "+-", "handling", "queueing", "CPU", "MB", "lag"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for point in curve.points:
        style = "bold" if point.max_jobs == curve.recommended_max_jobs else ""
        table.add_row(*_row(point, curve), style=style)
    return table


def _row(point: Point, curve: Curve) -> list[str]:
    half = (point.high - point.low) / 2 / point.throughput if point.throughput else 0.0
    return [
        str(point.max_jobs),
        _rate(point.throughput),
        f"{half:.0%}",
        _times(point.handling),
        _times(point.queueing),
        f"{point.cpu:.0%}",
        f"{point.memory / 1e6:.0f}",
        _ms(point.loop_lag.p95),
        _marks(point, curve),
    ]


def _marks(point: Point, curve: Curve) -> str:
    if point.failed:
        return f"{point.failed:.0%} failed"
    marks = {
        "take": curve.recommended_max_jobs,
        "knee": curve.knee_max_jobs,
        "peak": curve.peak_max_jobs,
    }
    return " ".join(mark for mark, level in marks.items() if level == point.max_jobs)


def _times(latency: Latency | None) -> str:
    """Median and 95th percentile."""
    return "-" if latency is None else f"{_ms(latency.p50)} {_ms(latency.p95)}"


def _ms(seconds: float) -> str:
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _law_in_words(curve: Curve) -> Text:
    fit = curve.fit
    if fit is None:
        return Text("There are too few levels for a law.", "dim")
    if not fit.good:
        return Text(
            f"The Universal Scalability Law does not describe it (off by {fit.residual:.1%}): the "
            "recommendation is from the points.",
            "dim",
        )
    return Text(
        f"Universal Scalability Law, off by {fit.residual:.1%}: contention {fit.s:.3g}, coherency "
        f"{fit.k:.2g}, {_peak(fit)}",
        "dim",
    )


def _peak(fit: Fit) -> str:
    if fit.peak is None:
        return "no peak"
    low = "?" if fit.peak_low is None else f"{fit.peak_low:.0f}"
    high = "?" if fit.peak_high is None else f"{fit.peak_high:.0f}"
    return f"peak at {fit.peak:.0f} ({low} to {high})"
