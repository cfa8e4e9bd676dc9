"""How the demo looks: a live picture on a terminal, plain lines elsewhere, a table at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich import box
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from walnats_anyio.cli._demo._outcome import Outcome
from walnats_anyio.cli._demo._progress import Progress

LINE_EVERY = 1.0
"""Seconds between two lines of progress where there is no terminal."""

BESIDE_THE_BARS = 62
"""Columns that the picture needs beside its bars."""

LOST_SHOWN = 20
"""Lost events named at most."""


class View(Protocol):
    """Where the scenario shows what happens."""

    def say(self, text: str) -> None:
        """Something happened."""
        ...

    def show(self, progress: Progress) -> None:
        """This is how far it is; called several times a second."""
        ...


@contextmanager
def open_view(console: Console) -> Iterator[View]:
    """The right view for where the output goes."""
    if not console.is_terminal:
        yield LineView(console)
        return
    # Drawn only when there is something new, by this task: no thread to be interrupted.
    with Live(console=console, auto_refresh=False) as live:
        yield LiveView(live)


class LiveView:
    """Redraws a picture in place; what happened is printed above it."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        """Print above the picture."""
        self._live.console.print(_stamped(text, self._begun))

    def show(self, progress: Progress) -> None:
        """Draw the picture."""
        self._live.update(picture(progress, self._live.console.width), refresh=True)


class LineView:
    """Prints a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = time.monotonic()
        self._shown_at = 0.0

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(_stamped(text, self._begun), soft_wrap=True)

    def show(self, progress: Progress) -> None:
        """Print a line, unless there was one a moment ago."""
        if time.monotonic() - self._shown_at < LINE_EVERY:
            return
        self._shown_at = time.monotonic()
        each = "; ".join(
            f"{worker.name} {worker.handled:,}, {worker.in_words}" for worker in progress.workers
        )
        self.say(
            f"  emitted {progress.acknowledged:,} of {progress.events:,}; "
            f"handled {progress.handled:,} ({each})"
        )


def _stamped(text: str, begun: float) -> Text:
    return Text.assemble((f"{time.monotonic() - begun:5.1f} s  ", "dim"), text)


def picture(progress: Progress, width: int) -> Table:
    """One row for each process, and one for all."""
    bar = max(10, min(40, width - BESIDE_THE_BARS))
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column()
    table.add_column(justify="right", min_width=len(f"{progress.events:,}"))
    table.add_column(no_wrap=True, overflow="ellipsis")

    def row(name: str, count: int, what: str, style: str) -> None:
        gauge = ProgressBar(progress.events, count, width=bar, complete_style=style)
        table.add_row(name, gauge, f"{count:,}", what)

    row("publisher", progress.acknowledged, "emitted and acknowledged", "blue")
    for worker in progress.workers:
        style = "red" if worker.state == "killed" else "green"
        row(worker.name, worker.handled, f"handled, {worker.in_words}", style)
    all_of = f"of {progress.events:,} handled, {progress.seconds:.1f} s"
    row("together", progress.handled, all_of, "bold green")
    return table


def result(outcome: Outcome) -> Table:
    """The proof."""
    table = Table(box=box.SIMPLE_HEAD, show_header=True, title_justify="left")
    table.add_column("what became of the events")
    table.add_column("", justify="right")
    good = "bold green" if outcome.complete else "bold red"

    def row(name: str, value: str, style: str = "") -> None:
        table.add_row(Text(name, style), Text(value, style))

    row("emitted and acknowledged", f"{outcome.acknowledged:,}")
    row("handled", f"{outcome.handled:,}")
    killed, remaining = outcome.handled_by
    row("    by worker 1, until it was killed", f"{killed:,}")
    row("    by worker 2", f"{remaining:,}")
    row("lost", f"{len(outcome.lost):,}", good)
    row("in flight at the kill", f"{outcome.in_flight:,}")
    row("    of these handled by worker 2", f"{outcome.in_flight_handled:,}")
    row("handled by both: done at the kill, but NATS had not heard", f"{outcome.handled_twice:,}")
    row("left in the stream", f"{outcome.left_in_stream:,}")
    row("duration", f"{outcome.seconds:.1f} s")
    return table


def verdict(outcome: Outcome) -> str:
    """The result as a sentence."""
    if outcome.complete:
        return (
            f"Nothing was lost: all {outcome.events:,} events were handled, though worker 1 was "
            f"killed in the middle of {outcome.in_flight:,}."
        )
    if outcome.lost:
        named = ", ".join(map(str, outcome.lost[:LOST_SHOWN]))
        more = ", ..." if len(outcome.lost) > LOST_SHOWN else ""
        return f"{len(outcome.lost):,} events were lost: {named}{more}"
    if outcome.acknowledged < outcome.events:
        return f"only {outcome.acknowledged:,} of {outcome.events:,} events were emitted"
    return f"{outcome.left_in_stream:,} events were handled, but are still in the stream"
