"""What a dead letter is, and how one is written: what an actor needs of dead letters."""

from __future__ import annotations

from walnats_anyio._letters._failure import class_of, describe, frames_of, message_of
from walnats_anyio._letters._fingerprint import fingerprint
from walnats_anyio._letters._letter import (
    STREAM,
    DeadLetter,
    Reason,
    filter_of,
    is_letter,
    part_subject_of,
    subject_of,
)
from walnats_anyio._letters._notice import (
    DEAD_LETTER_WRITTEN,
    DeadLetterWritten,
    write_and_tell,
)
from walnats_anyio._letters._stream import create_stream, new_config, write_letter
from walnats_anyio._letters._wire import from_wire

__all__ = [
    "DEAD_LETTER_WRITTEN",
    "STREAM",
    "DeadLetter",
    "DeadLetterWritten",
    "Reason",
    "class_of",
    "create_stream",
    "describe",
    "filter_of",
    "fingerprint",
    "frames_of",
    "from_wire",
    "is_letter",
    "message_of",
    "new_config",
    "part_subject_of",
    "subject_of",
    "write_and_tell",
    "write_letter",
]
