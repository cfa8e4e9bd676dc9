"""How letters look, to a person and to a program."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from walnats_anyio.dead_letters import DeadLetter, UnreadableLetter

DUMPED = 256
"""Bytes that are shown of a payload that is no text."""

IN_A_ROW = 16
"""Bytes in a row of that."""

ERROR_SHOWN = 200
"""Characters of an error that a table shows at most."""

GAP = 2
"""Columns between two columns of the table."""

UNREADABLE = "unreadable"
"""What stands in place of the reason of a letter that cannot be read."""

WIDE = 1_000
"""Columns of a table where there is no terminal, so that nothing is cut."""


def in_words(count: int) -> str:
    """So many dead letters."""
    return f"{count or 'no'} dead letter{'' if count == 1 else 's'}"


def as_json(letter: DeadLetter) -> dict[str, Any]:
    """A letter for a program."""
    text = text_of(letter.payload)
    return {
        "number": letter.number,
        "event": letter.event,
        "actor": letter.actor,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "error_type": letter.error_type,
        "error": letter.error,
        "traceback": letter.traceback,
        "stream": letter.stream,
        "seq_number": letter.seq_number,
        "emitted_at": letter.emitted_at.isoformat(),
        "died_at": letter.died_at.isoformat(),
        "headers": letter.headers,
        "payload": text,
        "payload_base64": b64encode(letter.payload).decode() if text is None else None,
    }


def show_table(letters: list[DeadLetter | UnreadableLetter], screen: Console) -> None:
    """Print the letters: two lines for each, or one where no terminal limits the width.

    What a person acts on comes first: number, event, actor, reason.
    """
    rows = [(_cells(each), _what_happened(each)) for each in letters]
    show_rows(("number", "event", "actor", "reason"), rows, screen)


def show_rows(
    names: Sequence[str], rows: Sequence[tuple[Sequence[str], str]], screen: Console
) -> None:
    """Print rows of cells, each with what happened: two lines for each, or one without a terminal.

    The first column is a number, the second and the third are folded where they do not fit.
    """
    limited = screen.is_terminal or "COLUMNS" in os.environ
    if not limited:
        screen.width = WIDE
    shown = [([visible(cell) for cell in cells], what) for cells, what in rows]
    widths = _widths([names, *(cells for cells, _ in shown)], screen.width)
    screen.print(_row(names, widths, "bold", "" if limited else "what happened"))
    for cells, what in shown:
        if limited:
            screen.print(_row(cells, widths))
            below = Text(f"{' ' * (widths[0] + GAP)}{what}", "dim")
            screen.print(below, no_wrap=True, overflow="ellipsis", crop=True)
        else:
            screen.print(_row(cells, widths, "", what))


def _widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """How wide the columns are; event and actor are folded where they do not fit."""
    number, event, actor, *others = (
        max(map(cell_len, column)) for column in zip(*rows, strict=True)
    )
    gaps = (3 + len(others)) * GAP
    room = max(2, width - number - sum(others) - gaps)
    if event + actor > room:
        half = room // 2
        event = max(min(event, half), min(event, room - actor))
        actor = min(actor, room - event)
    return [number, event, actor, *others]


def _row(cells: Sequence[str], widths: list[int], style: str = "", last: str = "") -> Table:
    row = Table.grid(padding=(0, GAP, 0, 0))
    for index, width in enumerate(widths):
        justify: JustifyMethod = "right" if index == 0 else "left"
        row.add_column(width=width, justify=justify, overflow="fold")
    row.add_column(no_wrap=True)
    row.add_row(*(Text(cell, style) for cell in (*cells, last)))
    return row


def _cells(letter: DeadLetter | UnreadableLetter) -> list[str]:
    if isinstance(letter, DeadLetter):
        return [str(letter.number), letter.event, letter.actor, letter.reason]
    # All that is known of the event is its stream, from the subject `walnats.dead.STREAM.ACTOR.ID`.
    _, _, stream, actor, _ = letter.subject.split(".")
    return [str(letter.number), stream, actor, UNREADABLE]


def _what_happened(letter: DeadLetter | UnreadableLetter) -> str:
    if isinstance(letter, UnreadableLetter):
        problem = " ".join(letter.problem.split())[:ERROR_SHOWN]
        return visible(f"{local(letter.stored_at)}, cannot be read: {problem}")
    attempts = f"{letter.attempts} attempt{'' if letter.attempts == 1 else 's'}"
    error = " ".join(_error_of(letter).split())[:ERROR_SHOWN]
    return visible(": ".join(filter(None, (f"{local(letter.died_at)}, {attempts}", error))))


def show_letter(letter: DeadLetter, screen: Console) -> None:
    """Print everything there is to know of a letter."""
    grid = Table.grid(padding=(0, 2))
    rows = {
        "letter": str(letter.number),
        "event": letter.event,
        "actor": letter.actor,
        "reason": letter.reason,
        "attempts": str(letter.attempts),
        "error": _error_of(letter) or "none",
        "emitted at": local(letter.emitted_at),
        "died at": local(letter.died_at),
        "from": f"stream {letter.stream}, number {letter.seq_number}",
    }
    for name, value in rows.items():
        grid.add_row(Text(name, "bold"), Text(visible(value)))
    screen.print(grid)
    headers = "\n".join(f"{name}: {value}" for name, value in letter.headers.items())
    section(screen, "headers", headers or "none")
    section(screen, f"payload, {len(letter.payload)} bytes", payload_in_words(letter.payload))
    section(screen, "traceback", letter.traceback.rstrip() or "none")


def section(screen: Console, title: str, text: str) -> None:
    """Print a part of a letter under its title."""
    screen.print()
    screen.print(Text(title, "bold"))
    screen.print(visible(text), markup=False, soft_wrap=True)


def payload_in_words(payload: bytes) -> str:
    """A payload as people read it: JSON indented, other text as it is, else the bytes."""
    text = text_of(payload)
    if text is None:
        return _hex_dump(payload)
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def visible(text: str) -> str:
    """The text without what a terminal would obey: somebody else has written it."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in text
    )


def text_of(payload: bytes) -> str | None:
    """The payload as text; None where it is none."""
    try:
        text = payload.decode()
    except ValueError:
        return None
    return text if all(char.isprintable() or char in "\r\n\t" for char in text) else None


def _hex_dump(payload: bytes) -> str:
    rows = [
        f"{at:08x}  {row.hex(' '):<{IN_A_ROW * 3}} "
        + "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        for at in range(0, min(len(payload), DUMPED), IN_A_ROW)
        for row in [payload[at : at + IN_A_ROW]]
    ]
    if len(payload) > DUMPED:
        rows.append(f"... {len(payload) - DUMPED} bytes more")
    return "\n".join(rows)


def _error_of(letter: DeadLetter) -> str:
    return ": ".join(filter(None, (letter.error_type, letter.error)))


def local(moment: datetime) -> str:
    """A moment by the clock of whoever reads it."""
    try:
        return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError):
        # Somebody has written it: within a day of the first or the last that there is.
        return moment.strftime("%Y-%m-%d %H:%M:%S")
