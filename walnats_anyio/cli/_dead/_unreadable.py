"""How a letter that cannot be read looks, to a person and to a program: as it is stored."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from walnats_anyio.cli._dead._view import local, payload_in_words, section, text_of, visible
from walnats_anyio.dead_letters import UnreadableLetter


def raw_json(letter: UnreadableLetter) -> dict[str, Any]:
    """It for a program."""
    return {
        "number": letter.number,
        "subject": letter.subject,
        "problem": letter.problem,
        "stored_at": letter.stored_at.isoformat(),
        **_either("headers", letter.headers),
        **_either("payload", letter.payload),
    }


def show_raw(letter: UnreadableLetter, screen: Console) -> None:
    """Print it: why it cannot be read, and the bytes that are stored."""
    grid = Table.grid(padding=(0, 2))
    rows = {
        "letter": str(letter.number),
        "cannot be read": letter.problem,
        "subject": letter.subject,
        "stored at": local(letter.stored_at),
    }
    for name, value in rows.items():
        grid.add_row(Text(name, "bold"), Text(visible(value), overflow="fold"))
    screen.print(grid)
    for name, stored in (("headers", letter.headers), ("payload", letter.payload)):
        section(screen, f"{name}, {len(stored)} bytes", payload_in_words(stored))


def _either(name: str, stored: bytes) -> dict[str, str | None]:
    """Bytes as text, or in base64 where they are none."""
    text = text_of(stored)
    return {name: text, f"{name}_base64": b64encode(stored).decode() if text is None else None}
