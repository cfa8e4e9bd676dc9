"""`walnats-anyio demo`: a publisher, two workers, a SIGKILL, and a proof that nothing was lost.

| module | is |
| --- | --- |
| `_command.py` | the command |
| `_shop.py` | the event and the actor, as any program declares them; the workers run it |
| `_play.py` | what happens, in order |
| `_outcome.py` | what it adds up to, and how that looks |
"""

from __future__ import annotations

from walnats_anyio.cli._demo._command import demo

__all__ = ["demo"]
