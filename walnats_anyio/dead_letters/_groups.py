"""Letters in groups: those of one event and actor that tell of the same error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

import anyio

from walnats_anyio._letters import DeadLetter
from walnats_anyio._link import Link
from walnats_anyio._link._failures import failures_of, one_or_group
from walnats_anyio.dead_letters._iteration import Letters
from walnats_anyio.dead_letters._reading import numbers
from walnats_anyio.dead_letters._selection import Selection

READERS = 8
"""Tasks that read letters at the same time, each a part of them."""

MAX_ERROR = 200
"""Characters of an error that a group keeps."""

Key = tuple[str, str, str, str | None, str]


@dataclass(frozen=True, kw_only=True)
class LetterGroup:
    """Letters of one event and actor that were given up for the same error."""

    event: str
    """The name of the event."""

    actor: str
    """The name of the actor that gave them up."""

    reason: str
    """Why they were given up: a value of `Reason`."""

    error_type: str | None
    """The class of the exception; None where there was none."""

    fingerprint: str
    """The fingerprint of the error; `letters(fingerprint=...)` gives the letters."""

    count: int
    """How many letters there are."""

    first_at: datetime
    """When the first of them was given up, in UTC."""

    last_at: datetime
    """When the last of them was given up, in UTC."""

    sample: int
    """The number of the letter that was given up last, for `get`."""

    error: str
    """What the exception of that letter said: the first 200 characters."""


class _Group:
    """A group while it is counted."""

    __slots__ = ("count", "error", "first_at", "last_at", "sample")

    def __init__(self, letter: DeadLetter) -> None:
        self.count = 0
        self.first_at = self.last_at = letter.died_at
        self.sample = letter.number
        self.error = letter.error[:MAX_ERROR]

    def add(self, letter: DeadLetter) -> None:
        self.count += 1
        self.first_at = min(self.first_at, letter.died_at)
        if (letter.died_at, letter.number) > (self.last_at, self.sample):
            self.last_at, self.sample = letter.died_at, letter.number
            self.error = letter.error[:MAX_ERROR]


async def group_letters(link: Link, selection: Selection) -> list[LetterGroup]:
    """What `DeadLetters.groups` documents."""
    first, last = await numbers(link)
    groups: dict[Key, _Group] = {}
    size = max(1, -(-(last - first + 1) // READERS))
    try:
        async with anyio.create_task_group() as tasks:
            for begin in range(first, last + 1, size):
                end = min(begin + size - 1, last)
                letters = Letters(link, selection, begin - 1, end)
                tasks.start_soon(_count, letters, groups)
    except BaseExceptionGroup as group:
        failures = failures_of(group)
        if not failures:
            raise
        raise one_or_group("reading dead letters failed", failures) from None
    found = [_as_group(key, each) for key, each in groups.items()]
    return sorted(found, key=lambda each: (-each.count, -each.last_at.timestamp(), each.sample))


async def _count(letters: AsyncIterator[DeadLetter], groups: dict[Key, _Group]) -> None:
    async for letter in letters:
        key = letter.event, letter.actor, letter.reason, letter.error_type, letter.fingerprint
        if key not in groups:
            groups[key] = _Group(letter)
        groups[key].add(letter)


def _as_group(key: Key, group: _Group) -> LetterGroup:
    event, actor, reason, error_type, fingerprint = key
    return LetterGroup(
        event=event,
        actor=actor,
        reason=reason,
        error_type=error_type,
        fingerprint=fingerprint,
        count=group.count,
        first_at=group.first_at,
        last_at=group.last_at,
        sample=group.sample,
        error=group.error,
    )
