"""Putting an event back for the one actor that gave it up.

A letter is untrusted: whoever may publish to the letters' subjects can write one, and whoever
requeues it lends it the rights of his own connection. So the subject to publish to is the name of
an event, checked as at its declaration; the stream that the letter claims must be the one of that
event, be there and have that subject; and the headers are checked as at an emit.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from walnats_anyio._events import HEADER_ACTOR, HEADER_DELAY, HEADER_DUE
from walnats_anyio._events._headers import header_block
from walnats_anyio._events._publication import publish
from walnats_anyio._letters import DeadLetter, subject_of
from walnats_anyio._link import (
    Link,
    Prefixes,
    ServerError,
    check_name,
    consumer_config,
    stream_config,
)
from walnats_anyio.dead_letters._errors import RequeueError

logger = logging.getLogger("walnats_anyio.dead_letters")

EXPECTED_STREAM = "Nats-Expected-Stream"
"""The header that has the server refuse a message which another stream would take."""

SERVER_HEADERS = "nats-"
"""What headers begin with that tell the server what to do, in lower case."""

LEFT_OUT = {HEADER_ACTOR.lower(), HEADER_DELAY.lower(), HEADER_DUE.lower(), "walnats-reply"}
"""Further headers that are not put back, in lower case.

The first is set anew. The second is over, unless somebody has forged it. The last says where
somebody waited for a response, who has long gone; in a forged letter it would say where to publish
to.
"""


@dataclass(frozen=True)
class Ready:
    """A letter whose event can be put back, as far as is known before."""

    letter: DeadLetter
    headers: bytes
    """The header block that goes with it."""


async def put_back(link: Link, letter: DeadLetter) -> None:
    """Emit the event of a letter once more, for its actor alone; the letter stays.

    Raises:
        RequeueError: the letter is not to be trusted, or the actor would not get the event.
        ServerError: the server does not answer.
        ConnectionLostError: the link is closed for good.
    """
    await send(link, await prepare(link, letter))


async def prepare(link: Link, letter: DeadLetter) -> Ready:
    """See whether an event can be put back. Sends no request that changes anything.

    Raises:
        RequeueError: the letter is not to be trusted, or the actor would not get the event.
        ServerError: the server does not answer.
        ConnectionLostError: the link is closed for good.
    """
    prefixes = link.prefixes
    _check_names(letter, prefixes)
    headers = _headers_of(letter, prefixes)
    await _check_stream(link, letter)
    await _check_consumer(link, letter)
    size = len(headers) + len(letter.payload)
    if size > link.max_payload:
        raise _refused(
            letter,
            f"it is {size} bytes with its headers, and the server takes at most "
            f"{link.max_payload}: raise its max_payload",
        )
    return Ready(letter, headers)


async def send(link: Link, ready: Ready) -> None:
    """Emit the event.

    Raises:
        RequeueError: the stream does not take it, or does not acknowledge it.
        ConnectionLostError: the link is closed for good.
    """
    letter = ready.letter
    if "headers" in letter.cut:
        logger.warning(
            "dead letter %d, event %r: it is put back without some of its headers, as the letter "
            "had no room for them", letter.number, letter.event,
        )  # fmt: skip
    try:
        subject = link.prefixes.subject(letter.event)
        await publish(link, letter.stream, subject, letter.payload, ready.headers)
    except ServerError as exc:
        raise _refused(letter, f"stream {letter.stream!r} did not take it: {exc}") from exc


def _check_names(letter: DeadLetter, prefixes: Prefixes) -> None:
    try:
        check_name("event", letter.event)
        check_name("actor", letter.actor)
    except (TypeError, ValueError) as error:
        raise _refused(letter, f"no actor has written it: {error}") from error
    stream = prefixes.stream(letter.event.replace(".", "-"))
    if letter.stream != stream:
        raise _refused(
            letter,
            f"no actor has written it: event {letter.event!r} has stream {stream!r}, and the "
            f"letter says {letter.stream!r}",
        )


def _headers_of(letter: DeadLetter, prefixes: Prefixes) -> bytes:
    # What the first emit told the server (ids, expectations, rollups, ...) is not for this one.
    headers = {
        name: value
        for name, value in letter.headers.items()
        if not name.lower().startswith(SERVER_HEADERS) and name.lower() not in LEFT_OUT
    }
    headers |= {HEADER_ACTOR: letter.actor, EXPECTED_STREAM: letter.stream}
    try:
        # The same id every time, so that a requeue which is repeated after a crash is recognised.
        return header_block(subject_of(letter, prefixes), None, headers)
    except (TypeError, ValueError) as error:
        raise _refused(letter, str(error)) from error


async def _check_stream(link: Link, letter: DeadLetter) -> None:
    config = await stream_config(link, letter.stream)
    if config is None:
        raise _refused(
            letter,
            f"there is no stream {letter.stream!r} for event {letter.event!r}: register the event "
            "and the actor first, or discard the letter",
        )
    subjects: list[str] = config.get("subjects") or []
    subject = link.prefixes.subject(letter.event)
    if not any(_covers(one, subject) for one in subjects):
        raise _refused(
            letter,
            f"stream {letter.stream!r} does not take {subject!r}, but "
            f"{', '.join(map(repr, subjects)) or 'nothing'}: register the event first, or discard "
            "the letter",
        )


async def _check_consumer(link: Link, letter: DeadLetter) -> None:
    # Its stream keeps an event only for consumers, so without one it would be dropped at once.
    consumer = link.prefixes.consumer(letter.actor)
    if await consumer_config(link, letter.stream, consumer) is None:
        raise _refused(
            letter,
            f"event {letter.event!r} has no actor {letter.actor!r} on the server: register the "
            "actor first, or discard the letter",
        )


def _covers(pattern: str, subject: str) -> bool:
    """Whether a stream with the subjects `pattern` takes what is published to `subject`."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(tokens) <= len(wanted):
            return False
        tokens = tokens[: len(wanted)]
    return len(wanted) == len(tokens) and all(
        one in ("*", token) for one, token in zip(wanted, tokens, strict=True)
    )


def _refused(letter: DeadLetter, why: str) -> RequeueError:
    return RequeueError(f"dead letter {letter.number} cannot be requeued and is kept: {why}")
