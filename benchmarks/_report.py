"""Results as tables for the terminal and as Markdown for the documentation."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks._benchmarks import BENCHMARKS, Benchmark, Metric
from benchmarks._results import (
    BenchmarkResult,
    Results,
    Spread,
    Verdict,
    beside_before,
    best_peer,
    judge,
)

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
BY_NAME = {benchmark.name: benchmark for benchmark in BENCHMARKS}


def show(result: BenchmarkResult, console: Console) -> None:
    """Print the table of a benchmark, what became of its bars, and what failed."""
    console.print(table_of(result))
    for verdict in judge(BY_NAME[result.name], result):
        style = "green" if verdict.passed else "bold red"
        console.print(sentence(verdict), style=style, highlight=False)
    for line in comparisons(BY_NAME[result.name], result):
        console.print(line, highlight=False)
    for run in result.errors():
        # The end of a traceback says most; the rest is in the JSON file.
        reason = "\n".join((run.error or "").splitlines()[-4:])
        complaint = f"FAILED {run.candidate}, round {run.round}: {reason}"
        console.print(complaint, style="red", markup=False, highlight=False)


def table_of(result: BenchmarkResult) -> Table:
    """One table: a row for each candidate, a column for each metric."""
    benchmark = BY_NAME[result.name]
    table = Table(title=f"{result.name}: {benchmark.title}", title_justify="left")
    for heading in headings(benchmark):
        first = heading == "candidate"
        table.add_column(heading, justify="left" if first else "right", no_wrap=first)
    for row in rows(benchmark, result):
        table.add_row(*row, style="bold" if row[0].startswith("walnats-anyio") else None)
    for name in result.not_installed:
        table.add_row(name, "not installed", style="dim")
    return table


def headings(benchmark: Benchmark) -> list[str]:
    """Heads of the columns."""
    first, *others = benchmark.metrics
    return ["candidate", first.label, "min - max", *(m.label for m in others), "x best peer"]


def rows(benchmark: Benchmark, result: BenchmarkResult) -> list[list[str]]:
    """Median and range of the first metric, medians of the others, ratio to the best peer."""
    first, *others = benchmark.metrics
    rival = best_peer(benchmark, result)
    table = []
    for name in result.candidates():
        spread = result.spread(name, first.key)
        ratio = result.ratio(name, rival, first.key) if rival else None
        table.append(
            [
                name,
                median(spread, first),
                f"{number(spread.low, first)} - {number(spread.high, first)}" if spread else "",
                *(median(result.spread(name, metric.key), metric) for metric in others),
                f"{ratio.median:.2f}" if ratio else "",
            ]
        )
    return table


def sentence(verdict: Verdict) -> str:
    """A bar and what was reached, in one line."""
    bar = verdict.bar
    side, limit = (
        ("at least", bar.at_least) if bar.at_least is not None else ("at most", bar.at_most)
    )
    times = f" x {verdict.rival}" if verdict.rival else ""
    word = "pass" if verdict.passed else "MISS"
    reached = in_full(verdict.reached)
    return f"{word}  {bar.candidate}: {bar.metric} {reached}, {side} {limit:g}{times}"


def comparisons(benchmark: Benchmark, result: BenchmarkResult) -> list[str]:
    """A line for each candidate that ran from another checkout as well."""
    lines = []
    for name in result.candidates():
        if ratios := beside_before(benchmark, result, name):
            figures = ", ".join(f"{key} {in_full(spread)}" for key, spread in ratios.items())
            lines.append(f"x before  {name}: {figures}")
    return lines


def in_full(spread: Spread) -> str:
    """The median, and from where to where the rounds reached."""
    return f"{spread.median:.2f} ({spread.low:.2f} - {spread.high:.2f})"


def footer(results: Results) -> str:
    """Machine, versions and command."""
    return "\n".join(
        (
            ", ".join(f"{key} {value}" for key, value in results.machine.items()),
            ", ".join(f"{key} {value}" for key, value in results.versions.items()),
            f"{results.started}  {results.command}",
        )
    )


def write_markdown(results: Results, path: Path) -> None:
    """Put the tables between the two marks in a Markdown file, or into a new file.

    Raises:
        ValueError: the file is there but the marks are not.
    """
    old = path.read_text() if path.exists() else f"{BEGIN}\n{END}\n"
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no lines {BEGIN} and {END} to put the tables between")
    path.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n{END}{after}")


def markdown(results: Results) -> str:
    """The same tables as Markdown."""
    parts = []
    for result in results.benchmarks:
        benchmark = BY_NAME[result.name]
        head = headings(benchmark)
        lines = [head, ["---", *("---:" for _ in head[1:])], *rows(benchmark, result)]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        found = [*map(sentence, judge(benchmark, result)), *comparisons(benchmark, result)]
        bars = "\n".join(f"- {line}" for line in found)
        parts.append(f"### {result.name}\n\n{benchmark.title}.\n\n{table}\n\n{bars}".rstrip())
    return "\n\n".join([*parts, f"```text\n{footer(results)}\n```"]) + "\n"


def median(spread: Spread | None, metric: Metric) -> str:
    """The median, or a word for there being none."""
    return number(spread.median, metric) if spread else "failed"


def number(value: float, metric: Metric) -> str:
    """A figure with thousands separated."""
    return f"{value:,.{metric.digits}f}"
