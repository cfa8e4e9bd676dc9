"""`walnats-anyio clock`: run clocks, have nats-server keep them, and see which there are."""

from __future__ import annotations

from walnats_anyio.cli._clock._command import clock

__all__ = ["clock"]
