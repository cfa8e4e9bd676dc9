"""`walnats-anyio dead`: look at dead letters, put them back, throw them away.

| module | is |
| --- | --- |
| `_command.py` | the commands |
| `_options.py` | their options: where the server is, which letters are meant |
| `_acting.py` | what `requeue` and `discard` do to letters, one after the other |
| `_view.py` | how letters look, to a person and to a program |
| `_unreadable.py` | how those look that cannot be read |
"""

from __future__ import annotations

from walnats_anyio.cli._dead._command import dead

__all__ = ["dead"]
