"""How actors look, to a person and to a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from walnats_anyio.cli._watch._survey import ActorState

NARROW = 100
"""Columns of a terminal below which only the more important ones of a table are shown."""

STEPS = ((60.0, "s"), (60.0, "m"), (24.0, "h"), (float("inf"), "d"))
"""Units of time, and how many of each make one of the next."""


def table_of(
    actors: Sequence[ActorState], width: int, rates: Mapping[tuple[str, str], float] | None = None
) -> Table:
    """Make a table with a row for each actor.

    Args:
        actors: what is shown.
        width: columns of the screen.
        rates: jobs a second, by stream and consumer, where they are known.
    """
    wide = width >= NARROW
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("actor", no_wrap=True, overflow="ellipsis", min_width=8)
    table.add_column("event", no_wrap=True, overflow="ellipsis", min_width=8)
    columns = ["waiting", "held", *(["redelivered", "requests"] if wide else [])]
    columns += [*([] if rates is None else ["jobs/s"]), "oldest", "dead"]
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for actor in actors:
        more = [str(actor.redelivered), str(actor.requests)] if wide else []
        rate = [] if rates is None else [_rate(rates.get((actor.stream, actor.consumer)))]
        note, style = _note(actor)
        table.add_row(
            Text(actor.actor),
            Text(actor.event),
            f"{actor.waiting:,}",
            f"{actor.held:,}",
            *more,
            *rate,
            "" if actor.oldest is None else in_units(actor.oldest),
            f"{actor.dead:,}",
            Text(note, style),
        )
    return table


def as_json(actor: ActorState, rate: float | None = None) -> dict[str, Any]:
    """An actor for a program; times in seconds."""
    report: dict[str, Any] = {
        "actor": actor.actor,
        "event": actor.event,
        "stream": actor.stream,
        "waiting": actor.waiting,
        "held": actor.held,
        "redelivered": actor.redelivered,
        "requests": actor.requests,
        "done": actor.done,
        "oldest": actor.oldest,
        "dead_letters": actor.dead,
        "paused_for": actor.paused,
    }
    return report if rate is None else report | {"jobs_per_second": rate}


def in_units(seconds: float) -> str:
    """A time as a person reads it: `0.5 s`, `12 m`, `3 d`."""
    value = seconds
    for size, unit in STEPS:
        if value < size:
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
        value /= size
    raise AssertionError("the last step has no end")


def _rate(rate: float | None) -> str:
    if rate is None:
        return "-"
    return f"{rate:,.0f}" if rate >= 10 or rate == 0 else f"{rate:.1f}"


def _note(actor: ActorState) -> tuple[str, str]:
    if actor.paused is not None:
        forever = actor.paused > 365 * 86400
        return ("paused" if forever else f"paused {in_units(actor.paused)}"), "yellow"
    if is_abandoned(actor):
        return "nobody listens", "red"
    return "", ""


def is_abandoned(actor: ActorState) -> bool:
    """Whether events wait for an actor that no process seems to run."""
    return actor.waiting > 0 and actor.held == 0 and actor.requests == 0 and actor.paused is None
