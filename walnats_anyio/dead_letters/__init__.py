"""Dead letters: the events that actors gave up, to look at, to put back or to throw away."""

from __future__ import annotations

from walnats_anyio.dead_letters._connection import DeadLetters
from walnats_anyio.dead_letters._errors import LetterNotFoundError, RequeueError
from walnats_anyio.dead_letters._letter import DeadLetter, Reason

__all__ = ["DeadLetter", "DeadLetters", "LetterNotFoundError", "Reason", "RequeueError"]
