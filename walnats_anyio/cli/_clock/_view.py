"""Which clocks there are: lines for a person, JSON for a program."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from walnats_anyio._events._known_clocks import KnownClock
from walnats_anyio.cli._clock._keeping import Removal
from walnats_anyio.cli._dead._view import visible
from walnats_anyio.cli._screen import note

SERVER, PROGRAMS = "nats-server", "programs"


def show_listed(clocks: Iterable[KnownClock], screen: Console) -> None:
    """Print a table of them."""
    clocks = list(clocks)
    if not clocks:
        note("the server knows of no clocks")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("stream of the event", "clock", "run by", "when", "last tick", "next tick"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for each in clocks:
        cells = (
            each.stream, each.name, SERVER if each.kept else PROGRAMS,
            f"{each.pattern} {each.tz}" if each.pattern else "",
            _shown(each.last_tick), _shown(_next_tick(each)),
        )  # fmt: skip
        table.add_row(*(Text(visible(cell)) for cell in cells))
    screen.print(table)


def listed_json(clock: KnownClock) -> dict[str, Any]:
    """A clock, for a program."""
    following = _next_tick(clock)
    return {
        "stream": clock.stream,
        "clock": clock.name,
        "run_by": SERVER if clock.kept else PROGRAMS,
        "cron": clock.pattern,
        "tz": clock.tz,
        "message": None if clock.message is None else clock.message.decode(errors="replace"),
        "last_tick": None if clock.last_tick is None else clock.last_tick.isoformat(),
        "emitted": clock.emitted if clock.last_tick is not None else None,
        "next_tick": None if following is None else following.isoformat(),
    }


def show_removed(removals: Iterable[Removal], screen: Console, *, dry: bool) -> None:
    """Print what became of each, or with `dry` what would."""
    for each in removals:
        done = "would be removed" if dry else "removed"
        what = done if each.was_kept else "was not kept by nats-server"
        told = f"clock {each.name} of event {each.event}: {what}"
        screen.print(told, markup=False, soft_wrap=True)


def _next_tick(clock: KnownClock) -> datetime | None:
    try:
        return clock.next_tick(datetime.now(UTC))
    except ImportError:
        return None  # that is worth a package only to those who declare such clocks


def _shown(tick: datetime | None) -> str:
    return "" if tick is None else tick.isoformat(" ", "seconds")
