"""What can be wrong with a dead letter that is asked for or put back."""

from __future__ import annotations

from walnats_anyio._link import WalnatsError


class LetterNotFoundError(WalnatsError):
    """There is no such dead letter: it was requeued or discarded, or a limit made it go."""


class RequeueError(WalnatsError):
    """A dead letter could not be put back; it is kept."""
