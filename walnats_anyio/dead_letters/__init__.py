"""Dead letters: the events that actors gave up, to look at, to put back or to throw away."""

from __future__ import annotations

from walnats_anyio._letters import (
    DEAD_LETTER_WRITTEN,
    DeadLetter,
    DeadLetterWritten,
    Reason,
    fingerprint,
)
from walnats_anyio.dead_letters._connection import DeadLetters
from walnats_anyio.dead_letters._errors import (
    LetterNotFoundError,
    RequeueError,
    UnreadableLetterError,
)
from walnats_anyio.dead_letters._groups import LetterGroup
from walnats_anyio.dead_letters._results import (
    BulkFailure,
    BulkResult,
    LetterOutcome,
    LetterResult,
)
from walnats_anyio.dead_letters._unreadable import UnreadableLetter

__all__ = [
    "DEAD_LETTER_WRITTEN",
    "BulkFailure",
    "BulkResult",
    "DeadLetter",
    "DeadLetterWritten",
    "DeadLetters",
    "LetterGroup",
    "LetterNotFoundError",
    "LetterOutcome",
    "LetterResult",
    "Reason",
    "RequeueError",
    "UnreadableLetter",
    "UnreadableLetterError",
    "fingerprint",
]
