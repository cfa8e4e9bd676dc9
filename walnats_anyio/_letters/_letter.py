"""What a dead letter is: an event that an actor gave up, and why."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

from walnats_anyio._letters._fingerprint import fingerprint
from walnats_anyio._link import Prefixes

STREAM = "walnats-dead-letters"
"""The stream that keeps the dead letters of all actors."""

SUBJECTS = "walnats.dead"
"""What the subjects of dead letters begin with: `walnats.dead.<stream>.<actor>.<id>`.

The namespace of a connection goes before it, as before every subject; the stream has it as well.

The id is the number of the event in its stream and the microsecond in which it was stored, so a
letter that is written twice has the same subject, and the second one takes the place of the first.
"""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MICROSECOND = timedelta(microseconds=1)


class Reason(enum.StrEnum):
    """Why an event was given up."""

    EXHAUSTED = "exhausted"
    """Its last attempt failed: as many as the actor's `max_attempts`."""

    REJECTED = "rejected"
    """The handler raised `Reject`."""

    UNDECODABLE = "undecodable"
    """The payload does not fit the event's schema, so no handler ever saw it."""

    DIED = "died"
    """Its last attempt never ended: the process died, or was cut off from the server."""


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """An event that one of its actors gave up."""

    event: str
    """The name of the event."""

    actor: str
    """The name of the actor that gave it up."""

    payload: bytes
    """The message as it was emitted, encoded."""

    headers: dict[str, str]
    """The headers that it was emitted with."""

    reason: str
    """Why it was given up: a value of `Reason`."""

    error_type: str | None
    """The class of the exception that the last attempt ended with; None where there was none."""

    error: str
    """What that exception said: the first 2,000 characters."""

    traceback: str
    """Where it was raised: the last 8,000 characters. Empty where there is none."""

    attempts: int
    """How many times the handler was run; hand-backs at a stop are not counted."""

    stream: str
    """The stream of the event on the server, with the namespace before it where there is one."""

    seq_number: int
    """The number of the event in its stream."""

    emitted_at: datetime
    """When the stream took the event, in UTC."""

    died_at: datetime
    """When it was given up, in UTC."""

    cut: tuple[str, ...] = ()
    """The fields of which the letter could not keep everything, as no message is that large.

    Any of `"traceback"`, `"error"` and `"headers"`, and nearly always none of them.
    """

    number: int = field(default=0, compare=False)
    """The number of the letter in the stream of dead letters; 0 before it is stored."""

    parts: int = field(default=0, compare=False, repr=False)
    """How many messages of their own hold the payload: 0 where it is beside the rest.

    It is where a payload leaves no room for the rest in one message.
    """

    @cached_property
    def fingerprint(self) -> str:
        """What letters of the same error have in common: 12 hexadecimal digits.

        It is made of `error_type`, `error` without the values in it, and the innermost functions of
        `traceback`; see `dead_letters.fingerprint`. Where `cut` has one of them, it is made of what
        is left.
        """
        return fingerprint(self.error_type, self.error, self.traceback)


def subject_of(letter: DeadLetter, prefixes: Prefixes) -> str:
    """The subject that the letter is kept under, which says which event it is and whose.

    Raises:
        TypeError: `emitted_at` has no time zone.
    """
    stored = (letter.emitted_at - EPOCH) // MICROSECOND
    event = f"{letter.stream}.{letter.actor}.{letter.seq_number}-{stored}"
    return prefixes.subject(f"{SUBJECTS}.{event}")


def part_subject_of(letter: DeadLetter, number: int, prefixes: Prefixes) -> str:
    """The subject of a message that holds a part of the letter's payload; they count from 1."""
    return f"{subject_of(letter, prefixes)}.{number}"


def filter_of(prefixes: Prefixes, stream: str | None = None, actor: str | None = None) -> str:
    """The subjects of the letters of a stream, of an actor, of both or of all."""
    return prefixes.subject(f"{SUBJECTS}.{stream or '*'}.{actor or '*'}.*")


def parts_filter(prefixes: Prefixes) -> str:
    """The subjects of all messages that hold parts of payloads."""
    return f"{filter_of(prefixes)}.*"


def is_letter(subject: str, prefixes: Prefixes) -> bool:
    """Whether a message of the stream is a letter, and no part of one or of another namespace."""
    # Two namespaces that differ in `.` and `-` only have one stream between them.
    begins = prefixes.subject(f"{SUBJECTS}.")
    return subject.startswith(begins) and subject.count(".") == filter_of(prefixes).count(".")
