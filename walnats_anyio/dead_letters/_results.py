"""What became of many letters."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from walnats_anyio._letters import DeadLetter
from walnats_anyio.dead_letters._unreadable import UnreadableLetter


class LetterOutcome(enum.StrEnum):
    """What became of a letter of many."""

    DONE = "done"
    """It was requeued or discarded; with `dry_run`: it would be."""

    SKIPPED = "skipped"
    """`edit` gave None, so it was left as it is."""

    GONE = "gone"
    """Somebody else has requeued or discarded it meanwhile, or a limit made it go."""

    FAILED = "failed"
    """It could not be put back, and is kept."""


@dataclass(frozen=True, kw_only=True)
class LetterResult:
    """What became of one letter of many."""

    number: int
    """Its number in the stream of dead letters."""

    letter: DeadLetter | UnreadableLetter | None
    """The letter, edited where it was. None: it is not there, and never was seen."""

    outcome: LetterOutcome
    """What became of it."""

    problem: str | None = None
    """Why, where it failed or is gone."""


Progress: TypeAlias = Callable[[LetterResult], None]
"""Is told of each letter."""


@dataclass(frozen=True, kw_only=True)
class BulkFailure:
    """A letter of many that could not be put back."""

    number: int
    """Its number in the stream of dead letters."""

    problem: str
    """Why."""


@dataclass(frozen=True, kw_only=True)
class BulkResult:
    """What became of many letters."""

    done: int
    """How many were requeued or discarded; with `dry_run`: how many would be."""

    skipped: int
    """How many `edit` left as they are."""

    gone: int
    """How many somebody else was faster with."""

    failed: int
    """How many could not be put back; they are kept."""

    failures: tuple[BulkFailure, ...]
    """The first 1,000 that failed, and why."""
