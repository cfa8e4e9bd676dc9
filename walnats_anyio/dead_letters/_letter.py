"""A dead letter: an event that an actor gave up, and why. How it is kept on the wire."""

from __future__ import annotations

import enum
import traceback as tracebacks
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

STREAM = "walnats-dead-letters"
"""The stream that keeps the dead letters of all actors."""

SUBJECTS = "walnats.dead"
"""What the subjects of dead letters begin with: `walnats.dead.<stream>.<actor>.<id>`.

The id is the number of the event in its stream and the microsecond in which it was stored, so a
letter that is written twice has the same subject, and the second one takes the place of the first.
"""

HEADER = "Walnats-Dead"
"""The header of a stored letter that holds everything but the payload, as JSON."""

MAX_ERROR = 2_000
"""Characters of an error's message that are kept."""

MAX_TRACEBACK = 8_000
"""Characters of a traceback that are kept: its end, which is where it broke."""

CUT = "[...]\n"


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
    """What that exception said, at most 2,000 characters."""

    traceback: str
    """Where it was raised: the last 8,000 characters. Empty where there is none."""

    attempts: int
    """How many times the handler was run; hand-backs at a stop are not counted."""

    stream: str
    """The stream of the event."""

    seq_number: int
    """The number of the event in its stream."""

    emitted_at: datetime
    """When the stream took the event, in UTC."""

    died_at: datetime
    """When it was given up, in UTC."""

    number: int = field(default=0, compare=False)
    """The number of the letter in the stream of dead letters; 0 before it is stored."""


class _Record(msgspec.Struct, kw_only=True):
    """What the header holds."""

    event: str
    actor: str
    headers: dict[str, str]
    reason: str
    error_type: str | None
    error: str
    traceback: str
    attempts: int
    stream: str
    seq_number: int
    emitted_at: datetime
    died_at: datetime


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Record)


def subject_of(letter: DeadLetter) -> str:
    """The subject that the letter is kept under, which says which event it is and whose."""
    stored = round(letter.emitted_at.timestamp() * 1_000_000)
    return f"{SUBJECTS}.{letter.stream}.{letter.actor}.{letter.seq_number}-{stored}"


def filter_of(stream: str | None = None, actor: str | None = None) -> str:
    """The subjects of the letters of a stream, of an actor, of both or of all."""
    return f"{SUBJECTS}.{stream or '*'}.{actor or '*'}.*"


def write_header(letter: DeadLetter) -> str:
    """Everything but the payload, as the value of the header."""
    record = _Record(**{name: getattr(letter, name) for name in _Record.__struct_fields__})
    return _encoder.encode(record).decode()


def read_letter(header: str, payload: bytes, number: int) -> DeadLetter:
    """The letter that is stored so.

    Raises:
        ValueError: it is not one of ours.
    """
    record = _decoder.decode(header)
    values = {name: getattr(record, name) for name in _Record.__struct_fields__}
    return DeadLetter(payload=payload, number=number, **values)


def describe(error: BaseException | None) -> tuple[str | None, str, str]:
    """The type, the message and the traceback of an error, cut to what is kept."""
    if error is None:
        return None, "", ""
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    text = "".join(tracebacks.format_exception(error))
    if len(text) > MAX_TRACEBACK:
        text = CUT + text[-MAX_TRACEBACK + len(CUT) :]
    return name, _clean(_words_of(error)[:MAX_ERROR]), _clean(text)


def _words_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - an exception of a user's, with a `__str__` of its own
        return f"(its message could not be made: {failure!r})"


def _clean(text: str) -> str:
    # What is no Unicode, such as from the name of a file, could not be written.
    return text.encode(errors="backslashreplace").decode()
