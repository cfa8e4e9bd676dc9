"""What `register` did or would do: lines for a person, JSON for a program."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from walnats_anyio._events import FieldChange, PlanAction, PlanEntry, show
from walnats_anyio.cli._dead._view import visible
from walnats_anyio.cli._screen import fail

DONE = {
    PlanAction.CREATE: "created",
    PlanAction.UPDATE: "updated",
    PlanAction.REPLACE: "made anew",
    PlanAction.KEEP: "as declared",
    PlanAction.FAIL: "failed",
}
"""What was done, in words."""

PLANNED = {
    PlanAction.CREATE: "create",
    PlanAction.UPDATE: "update",
    PlanAction.REPLACE: "make anew",
    PlanAction.KEEP: "as declared",
    PlanAction.FAIL: "would fail",
}
"""What would be done, in words."""

STYLES = {
    PlanAction.CREATE: "green",
    PlanAction.UPDATE: "yellow",
    PlanAction.REPLACE: "yellow",
    PlanAction.KEEP: "dim",
    PlanAction.FAIL: "bold red",
}

WIDTH = 13
"""Columns of the first word."""

INDENT = " " * WIDTH

NARROWEST = 20
"""Columns of the rest of a line, however narrow the screen is."""

MAX_SHOWN = 200
"""Characters of a value that are shown; a schema has more."""


def show_plan(entries: Iterable[PlanEntry], screen: Console, *, dry: bool) -> None:
    """Print what was done, or with `dry` what would be, and errors to standard error."""
    entries = list(entries)
    words = PLANNED if dry else DONE
    for entry in entries:
        word = words[entry.action]
        first = Text(f"{word:{WIDTH}}", STYLES[entry.action])
        _print(screen, first, _name_of(entry))
        for line in _details(entry):
            _print(screen, Text(INDENT), line)
    screen.print(_sum(entries, dry=dry), markup=False, soft_wrap=True)
    for entry in entries:
        if entry.error is not None:
            fail(visible(str(entry.error)))


def report_of(entries: Iterable[PlanEntry], *, dry: bool) -> dict[str, Any]:
    """All of it, for a program."""
    entries = list(entries)
    return {
        "dry_run": dry,
        "changes": sum(entry.changes_something for entry in entries),
        "failed": sum(entry.error is not None for entry in entries),
        "entries": [_as_json(entry) for entry in entries],
    }


def _as_json(entry: PlanEntry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "stream": entry.stream,
        "declared_by": entry.declared_by,
        "action": entry.action.value,
        "changes": [_change_as_json(change) for change in entry.changes],
        "kept": [_change_as_json(change) for change in entry.kept],
        "warnings": list(entry.warnings),
        "error": None if entry.error is None else str(entry.error),
        "error_type": None if entry.error is None else type(entry.error).__name__,
    }


def _change_as_json(change: FieldChange) -> dict[str, Any]:
    return {"field": change.field, "old": change.old, "new": change.new}


def _name_of(entry: PlanEntry) -> str:
    if entry.kind == "consumer":
        return f"actor {entry.declared_by}: consumer {entry.name} of stream {entry.stream}"
    if entry.kind == "clock":
        return f"clock {entry.name} of event {entry.declared_by}: kept by nats-server"
    if entry.kind == "stream":
        return f"event {entry.declared_by}: stream {entry.name}"
    return f"stream {entry.name} of the library's own"


def _details(entry: PlanEntry) -> Iterable[str]:
    if entry.action is not PlanAction.FAIL:  # its error tells more
        yield from map(_told, entry.changes)
    for each in entry.kept:
        told = _shortened(f"{each.field} is {show(each.field, each.old)}")
        yield f"left as it is: {told} ({each.effect})"
    yield from (f"warning: {warning}" for warning in entry.warnings)


def _told(change: FieldChange) -> str:
    if change.field != "metadata":
        return _shortened(str(change))
    # Of a schema, nobody reads what it was and is in one line.
    old: dict[str, str] = change.old or {}
    new: dict[str, str] = change.new or {}
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return _shortened(f"metadata: {', '.join(names)}")


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _print(screen: Console, first: Text, rest: str) -> None:
    """Print a line, folded below itself where the screen is not wide enough."""
    # A program that reads lines gets whole ones.
    limited = screen.is_terminal or "COLUMNS" in os.environ
    room = max(NARROWEST, screen.width - WIDTH) if limited else len(rest) + 1
    lines = textwrap.wrap(visible(rest), room, break_on_hyphens=False) or [""]
    for line in lines:
        screen.print(Text.assemble(first, line), soft_wrap=True)
        first = Text(INDENT)


def _sum(entries: list[PlanEntry], *, dry: bool) -> str:
    words = PLANNED if dry else DONE
    counts = {action: sum(entry.action is action for entry in entries) for action in PlanAction}
    told = [f"{count} {words[action]}" for action, count in counts.items() if count]
    return ("dry run: " if dry else "") + ", ".join(told)
