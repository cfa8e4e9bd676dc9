"""The commands that look at actors on the server: `top`, `status` and `prune`."""

from __future__ import annotations

from walnats_anyio.cli._watch._prune import prune
from walnats_anyio.cli._watch._status import status
from walnats_anyio.cli._watch._top import top

__all__ = ["prune", "status", "top"]
