"""How actors look, to a person and to a program."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from rich.console import Console
from rich.text import Text

from walnats_anyio.cli._watch._layout import Column, in_short, lines_of
from walnats_anyio.cli._watch._survey import ActorState

ELLIPSES = {False: "…", True: "~"}
"""What stands for what was cut out, by whether the terminal shows ASCII only."""

Rates: TypeAlias = Mapping[tuple[str, str], float]
"""Jobs a second, by stream and consumer."""

STEPS = ((60.0, "s"), (60.0, "m"), (24.0, "h"), (float("inf"), "d"))
"""Units of time, and how many of each make one of the next."""


def table_of(
    actors: Sequence[ActorState],
    screen: Console,
    rates: Rates | None = None,
    rows: int | None = None,
) -> list[Text]:
    """Make a table with a row for each actor, as wide as the screen.

    Where nobody looks at a terminal, and COLUMNS does not say it, it is as wide as it needs to be.

    Args:
        actors: what is shown.
        screen: where it is shown.
        rates: jobs a second, by stream and consumer, where they are known.
        rows: lines that there are; what does not fit is counted in the last one. None: enough.
    """
    more: list[Text] = []
    if rows is not None and len(actors) > rows - 1:
        kept = actors[: max(1, rows - 2)]
        rest = actors[len(kept) :]
        waiting = sum(actor.waiting for actor in rest)
        words = f"and {len(rest):,} more actors, with {in_short(waiting)} waiting; --actor NAME"
        actors, more = kept, [Text(words, "dim", no_wrap=True)]
    notes = [_note(actor) for actor in actors]
    columns = [
        Column("actor", [actor.actor for actor in actors], is_name=True),
        Column("event", [actor.event for actor in actors], is_name=True),
        Column("waiting", [in_short(actor.waiting) for actor in actors]),
        Column("held", [in_short(actor.held) for actor in actors]),
        Column("redelivered", [in_short(actor.redelivered) for actor in actors], rank=4),
        Column("requests", [in_short(actor.requests) for actor in actors], rank=3),
        *([] if rates is None else [Column("jobs/s", _rates(actors, rates), rank=1)]),
        Column("oldest", ["" if a.oldest is None else in_units(a.oldest) for a in actors], rank=2),
        Column("dead", [in_short(actor.dead) for actor in actors]),
        Column(
            "", [words for words, _ in notes], is_note=True, style=[style for _, style in notes]
        ),
    ]
    width = screen.width if screen.is_terminal or "COLUMNS" in os.environ else None
    return [*lines_of(columns, width, ELLIPSES[screen.options.ascii_only]), *more]


def show(lines: Iterable[Text], screen: Console) -> None:
    """Print a table, and have nothing of it wrapped or cut."""
    for line in lines:
        screen.print(line, no_wrap=True, overflow="ignore", crop=False, soft_wrap=True)


def most_urgent_first(actors: Iterable[ActorState]) -> list[ActorState]:
    """Put actors that somebody should look at before those that are idle."""
    return sorted(
        actors,
        key=lambda actor: (not is_abandoned(actor), actor.left == 0, -actor.left, -actor.dead),
    )


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


def _rates(actors: Sequence[ActorState], rates: Rates) -> list[str]:
    return [_rate(rates.get((actor.stream, actor.consumer))) for actor in actors]


def _rate(rate: float | None) -> str:
    if rate is None:
        return "-"
    return in_short(round(rate)) if rate >= 10 or rate == 0 else f"{rate:.1f}"


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
