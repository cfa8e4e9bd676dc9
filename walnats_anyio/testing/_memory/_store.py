"""The messages of a stream, by number and by subject."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from walnats_anyio.testing._memory._subjects import is_literal, matches


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """One message in a stream."""

    seq: int
    subject: str
    header: bytes
    payload: bytes
    time: int
    """When it was stored; no two messages have the same."""
    expires: int = 0
    """When it goes, by a time to live of its own; 0 for never."""
    immortal: bool = False
    """Whether it was sent to outlive the limit of age."""
    size: int = 0
    """Bytes that it counts for."""


class Store:
    """What a stream holds. It knows no limits."""

    def __init__(self, *, on_disk: bool, first: int = 0) -> None:
        self.first = first
        """The number of the oldest message, or of the next one; 0 before there was any."""
        self.last = max(0, first - 1)
        """The number of the newest message that there ever was."""
        self.bytes = 0
        self.last_time = 0
        self._on_disk = on_disk
        self._messages: dict[int, Stored] = {}
        self._subjects: dict[str, dict[int, None]] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Stored]:
        return iter(list(self._messages.values()))

    @property
    def first_time(self) -> int:
        """When the oldest message was stored; 0 for none."""
        oldest = self._messages.get(self.first)
        return oldest.time if oldest else 0

    @property
    def subjects(self) -> dict[str, int]:
        """How many messages there are of each subject."""
        return {subject: len(seqs) for subject, seqs in self._subjects.items()}

    def size_of(self, subject: str, header: bytes, payload: bytes) -> int:
        """Bytes that a message counts for, as nats-server counts them."""
        bare = len(subject.encode(errors="surrogateescape")) + len(header) + len(payload)
        if not self._on_disk:
            return bare + 16
        return bare + 30 + (4 if header else 0)

    def put(
        self, subject: str, header: bytes, payload: bytes, time: int, expires: int, immortal: bool
    ) -> Stored:
        """Store a message."""
        size = self.size_of(subject, header, payload)
        self.skip(time)
        stored = Stored(self.last, subject, header, payload, time, expires, immortal, size)
        self._messages[stored.seq] = stored
        self._subjects.setdefault(subject, {})[stored.seq] = None
        self.bytes += size
        if len(self._messages) == 1:
            self.first = stored.seq
        return stored

    def skip(self, time: int) -> int:
        """Take a number for a message that is not kept."""
        self.last += 1
        self.last_time = time
        if not self._messages:
            self.first = self.last + 1
        return self.last

    def oldest_first(self) -> Iterator[Stored]:
        """The messages from the first on, read while they are asked for."""
        for seq in range(self.first, self.last + 1):
            stored = self._messages.get(seq)
            if stored is not None:
                yield stored

    def move_to(self, seq: int) -> None:
        """Have an empty stream go on from a number."""
        self.first, self.last = seq, seq - 1

    def get(self, seq: int) -> Stored | None:
        """The message of a number."""
        return self._messages.get(seq)

    def remove(self, seq: int) -> Stored | None:
        """Delete a message."""
        stored = self._messages.pop(seq, None)
        if stored is None:
            return None
        self.bytes -= stored.size
        seqs = self._subjects[stored.subject]
        del seqs[seq]
        if not seqs:
            del self._subjects[stored.subject]
        if not self._messages:
            self.first = self.last + 1
        while self.first <= self.last and self.first not in self._messages:
            self.first += 1
        return stored

    def next(self, filters: Sequence[str], seq: int) -> Stored | None:
        """The first message from a number on that falls under one of the filters; none: any."""
        for number in range(max(seq, self.first, 1), self.last + 1):
            stored = self._messages.get(number)
            if stored is not None and is_match(filters, stored.subject):
                return stored
        return None

    def newest(self, pattern: str) -> Stored | None:
        """The last message of a subject, or of all that fall under a pattern."""
        numbers = [next(reversed(seqs)) for seqs in self._under(pattern)]
        return self._messages[max(numbers)] if numbers else None

    def newest_of_each(self, filters: Sequence[str]) -> list[int]:
        """The number of the last message of each subject that falls under one of the filters."""
        return sorted(
            next(reversed(seqs))
            for subject, seqs in self._subjects.items()
            if is_match(filters, subject)
        )

    def oldest_of(self, subject: str) -> Stored:
        """The first message of a subject that there is."""
        return self._messages[next(iter(self._subjects[subject]))]

    def count_of(self, subject: str) -> int:
        """How many messages there are of one subject."""
        return len(self._subjects.get(subject, ()))

    def count(self, filters: Sequence[str], seq: int) -> int:
        """How many messages from a number on fall under one of the filters."""
        if not filters and seq <= self.first:
            return len(self._messages)
        return sum(
            1
            for stored in self._messages.values()
            if stored.seq >= seq and is_match(filters, stored.subject)
        )

    def since(self, time: int) -> int:
        """The number of the first message stored at a time or later."""
        for stored in self._messages.values():
            if stored.time >= time:
                return stored.seq
        return self.last + 1

    def _under(self, pattern: str) -> list[dict[int, None]]:
        if is_literal(pattern):
            return [self._subjects[pattern]] if pattern in self._subjects else []
        return [seqs for subject, seqs in self._subjects.items() if matches(pattern, subject)]


def is_match(filters: Sequence[str], subject: str) -> bool:
    """Whether a subject falls under one of the filters; without any, all do."""
    return not filters or any(matches(each, subject) for each in filters)
