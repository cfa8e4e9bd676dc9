"""What can be wrong with a dead letter that is asked for or put back."""

from __future__ import annotations

from walnats_anyio._link import WalnatsError


class LetterNotFoundError(WalnatsError):
    """There is no such dead letter: it was requeued, discarded, or has reached a limit."""


class RequeueError(WalnatsError):
    """A dead letter could not be put back, and is kept: nobody would take its event."""
