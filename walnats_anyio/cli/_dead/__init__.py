"""`walnats-anyio dead`: look at dead letters, put them back, throw them away, limit them.

| module | is |
| --- | --- |
| `_command.py` | the commands `list`, `show`, `requeue` and `discard` |
| `_groups.py`, `_limits.py` | the commands `groups` and `limits` |
| `_options.py` | their options: where the server is, which letters are meant |
| `_acting.py` | what became of letters, and how it is told |
| `_editing.py` | `--edit` |
| `_view.py` | how letters look, to a person and to a program |
| `_unreadable.py` | how those look that cannot be read |
"""

from __future__ import annotations

from walnats_anyio.cli._dead._command import dead
from walnats_anyio.cli._dead._groups import groups
from walnats_anyio.cli._dead._limits import limits
from walnats_anyio.cli._groups import grouped

dead.command("groups")(grouped(groups))
dead.command("limits")(grouped(limits))

__all__ = ["dead"]
