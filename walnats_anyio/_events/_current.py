"""The job that code runs in, as far as an emit has to know of it: its trace goes on."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol


class InTrace(Protocol):
    """A job."""

    @property
    def trace_id(self) -> str | None:
        """The `trace_id` of the event that it handles."""
        ...


current_job: ContextVar[InTrace | None] = ContextVar("walnats_anyio.job", default=None)
"""The job whose handler, hook or decorator runs; None outside of any."""
