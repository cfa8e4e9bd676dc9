"""What goes wrong with measuring."""

from __future__ import annotations

from walnats_anyio._link import WalnatsError


class TuneError(WalnatsError):
    """Nothing could be measured: the handler fails, its process dies, or the time is too short."""
