"""An event for each dead letter, for those who want one.

Theory of operation. The letter is stored first, then the event is emitted, and then the actor's
event is given up: a process that dies in between does both again, and the `uid` has the stream drop
what it has already. Whether anybody wants events is seen by their stream: it is looked for when a
letter is written, at most every few seconds for each connection. At the same time it is seen
whether the stream of the letters is full.

A letter of an actor that handles these events makes no event, or it could go on for ever.
"""

from __future__ import annotations

import logging
import math
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import anyio
import msgspec

from walnats_anyio._events import HEADER_TRACE, Event
from walnats_anyio._events._headers import header_block
from walnats_anyio._events._publication import publish
from walnats_anyio._letters._letter import STREAM, DeadLetter, subject_of
from walnats_anyio._letters._stream import write_letter
from walnats_anyio._link import STREAM_NOT_FOUND, Link, ServerError, api

logger = logging.getLogger("walnats_anyio.dead_letters")

LOOK_EVERY = 10.0
"""Seconds after which it is looked again whether the events have a stream."""

MAX_ERROR = 500
"""Characters of the error that an event has."""

FULL = 0.95
"""The part of `max_bytes` from which on the stream of the letters is full."""

EXPECTED_STREAM = "Nats-Expected-Stream"


class DeadLetterWritten(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter was written: an actor gave up an event."""

    number: int
    """The number of the letter, for `DeadLetters.get`."""

    event: str
    """The name of the event that was given up."""

    actor: str
    """The name of the actor that gave it up."""

    reason: str
    """Why: a value of `Reason`."""

    error_type: str | None
    """The class of the exception that the last attempt ended with; None where there was none."""

    error: str
    """What that exception said: the first 500 characters."""

    fingerprint: str
    """What letters of the same error have in common; see `DeadLetter.fingerprint`."""

    attempts: int
    """How many times the handler was run."""

    seq_number: int
    """The number of the event in its stream."""

    emitted_at: datetime
    """When the stream took the event, in UTC."""

    died_at: datetime
    """When it was given up, in UTC."""


DEAD_LETTER_WRITTEN: Event[DeadLetterWritten] = Event(
    "walnats.dead-letter-written",
    DeadLetterWritten,
    description="An actor gave up an event, and a dead letter was written.",
)
"""Emitted for each dead letter once its stream is there, which registering the event makes.

It is emitted at least once for each letter, by the process that writes the letter, with a `uid`.
There is none for the letters of its own actors, and none where its stream refuses it.
"""


class _Look:
    """What is known of the streams, over one connection."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.again_at = -math.inf
        self.wanted = False
        self.said_full = False


_looks: WeakKeyDictionary[Link, _Look] = WeakKeyDictionary()


async def write_and_tell(link: Link, letter: DeadLetter) -> None:
    """Store a letter, and emit the event about it if somebody wants it.

    Raises:
        ServerError: the letter is not stored, as `write_letter` says, or the server did not answer
            whether the event is. Both may be done again.
        ConnectionLostError: the link is closed for good.
    """
    number = await write_letter(link, letter)
    look = _looks.setdefault(link, _Look())
    async with look.lock:
        if link.now() >= look.again_at:
            await _look_again(link, look)
    if look.wanted and letter.event != DEAD_LETTER_WRITTEN.name:
        await _tell(link, look, letter, number)


async def _look_again(link: Link, look: _Look) -> None:
    stream = link.prefixes.stream(DEAD_LETTER_WRITTEN.stream_name)
    look.wanted = await _info(link, stream) is not None
    if not look.said_full:
        info = await _info(link, link.prefixes.stream(STREAM))
        limit = None if info is None else _limit_reached(info)
        if limit is not None:
            look.said_full = True
            logger.warning(
                "the stream of the dead letters is at its limit (%s): with each new letter the "
                "oldest ones go; requeue or discard letters, or raise the limit with "
                "DeadLetters.register", limit,
            )  # fmt: skip
    look.again_at = link.now() + LOOK_EVERY


async def _info(link: Link, stream: str) -> dict[str, Any] | None:
    """What the server says about a stream; None: it is not there, or this user may not ask."""
    try:
        return await api(link, f"STREAM.INFO.{stream}", optional=True)
    except ServerError as error:
        if error.code == STREAM_NOT_FOUND or isinstance(error.__cause__, PermissionError):
            return None
        raise


def _limit_reached(info: dict[str, Any]) -> str | None:
    config, state = info["config"], info["state"]
    messages, size = config.get("max_msgs", -1), config.get("max_bytes", -1)
    if 0 < messages <= state["messages"]:
        return f"{messages} messages"
    if size > 0 and state["bytes"] >= FULL * size:
        return f"{size} bytes"
    return None


async def _tell(link: Link, look: _Look, letter: DeadLetter, number: int) -> None:
    prefixes = link.prefixes
    stream = prefixes.stream(DEAD_LETTER_WRITTEN.stream_name)
    payload = DEAD_LETTER_WRITTEN.encode(_event_of(letter, number))
    expected = {EXPECTED_STREAM: stream}
    uid, trace = subject_of(letter, prefixes), letter.headers.get(HEADER_TRACE)
    try:
        headers = header_block(uid, trace, expected)
    except ValueError:  # somebody has emitted the event with an id that is none
        headers = header_block(uid, None, expected)
    try:
        await publish(link, stream, prefixes.subject(DEAD_LETTER_WRITTEN.name), payload, headers)
    except ServerError as error:
        if isinstance(error.__cause__, TimeoutError):
            raise
        # The letter is what counts: it must not fail for an event about it.
        look.again_at = -math.inf
        logger.warning(
            "dead letter %d, event %r, actor %r: the event about it was not emitted: %s",
            number, letter.event, letter.actor, error,
        )  # fmt: skip


def _event_of(letter: DeadLetter, number: int) -> DeadLetterWritten:
    return DeadLetterWritten(
        number=number,
        event=letter.event,
        actor=letter.actor,
        reason=letter.reason,
        error_type=letter.error_type,
        error=letter.error[:MAX_ERROR],
        fingerprint=letter.fingerprint,
        attempts=letter.attempts,
        seq_number=letter.seq_number,
        emitted_at=letter.emitted_at,
        died_at=letter.died_at,
    )
