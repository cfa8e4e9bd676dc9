"""`walnats-anyio demo`: a publisher, two workers, a SIGKILL, and a proof that nothing was lost.

| module | is |
| --- | --- |
| `_command.py` | the command |
| `_scenario.py` | what happens, in order: the one place that starts and ends processes |
| `_shop.py` | the event and the actor, as any program declares them; the workers run it |
| `_publisher.py` | the program that emits |
| `_ledger.py` | files in which the processes note what they do; they survive a SIGKILL |
| `_outcome.py` | what the ledgers add up to |
| `_view.py` | how it looks while it runs and at the end |
"""

from __future__ import annotations

from walnats_anyio.cli._demo._command import demo

__all__ = ["demo"]
