"""How letters look, to a person and to a program."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import datetime
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from walnats_anyio.cli._screen import out
from walnats_anyio.dead_letters import DeadLetter

DUMPED = 256
"""Bytes that are shown of a payload that is no text."""

IN_A_ROW = 16
"""Bytes in a row of that."""

ERROR_SHOWN = 200
"""Characters of an error that a table shows at most."""

WIDE = 400
"""Columns of a table where there is no terminal, so that nothing is cut."""


def in_words(count: int) -> str:
    """So many dead letters."""
    return f"{count or 'no'} dead letter{'' if count == 1 else 's'}"


def as_json(letter: DeadLetter) -> dict[str, Any]:
    """A letter for a program."""
    text = _text_of(letter.payload)
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


def show_table(letters: list[DeadLetter]) -> None:
    """Print one row for each letter."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("number", justify="right", no_wrap=True)
    table.add_column("died at", no_wrap=True)
    for name in ("event", "actor", "reason"):
        table.add_column(name, overflow="fold")
    table.add_column("attempts", justify="right")
    table.add_column("error", no_wrap=True, overflow="ellipsis")
    for letter in letters:
        cells = (
            str(letter.number),
            _local(letter.died_at),
            letter.event,
            letter.actor,
            letter.reason,
            str(letter.attempts),
            " ".join(_error_of(letter).split())[:ERROR_SHOWN],
        )
        table.add_row(*(Text(visible(cell)) for cell in cells))
    screen = out()
    if not screen.is_terminal:
        screen.width = WIDE
    screen.print(table)


def show_letter(letter: DeadLetter) -> None:
    """Print everything there is to know of a letter."""
    grid = Table.grid(padding=(0, 2))
    rows = {
        "letter": str(letter.number),
        "event": letter.event,
        "actor": letter.actor,
        "reason": letter.reason,
        "attempts": str(letter.attempts),
        "error": _error_of(letter) or "none",
        "emitted at": _local(letter.emitted_at),
        "died at": _local(letter.died_at),
        "from": f"stream {letter.stream}, number {letter.seq_number}",
    }
    for name, value in rows.items():
        grid.add_row(Text(name, "bold"), Text(visible(value)))
    out().print(grid)
    headers = "\n".join(f"{name}: {value}" for name, value in letter.headers.items())
    _section("headers", headers or "none")
    _section(f"payload, {len(letter.payload)} bytes", payload_in_words(letter.payload))
    _section("traceback", letter.traceback.rstrip() or "none")


def _section(title: str, text: str) -> None:
    screen = out()
    screen.print()
    screen.print(Text(title, "bold"))
    screen.print(visible(text), markup=False, soft_wrap=True)


def payload_in_words(payload: bytes) -> str:
    """A payload as people read it: JSON indented, other text as it is, else the bytes."""
    text = _text_of(payload)
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


def _text_of(payload: bytes) -> str | None:
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


def _local(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
