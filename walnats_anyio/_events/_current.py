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


def trace_of(trace_id: str | None) -> str | None:
    """The trace that an emit belongs to: what it says, else that of the job around it.

    Args:
        trace_id: what the emit says. None: nothing. An empty text: none at all.
    """
    if trace_id is None:
        job = current_job.get()
        return None if job is None else job.trace_id
    return trace_id or None
