"""Putting an event back for the one actor that gave it up."""

from __future__ import annotations

from walnats_anyio._events import HEADER_ACTOR
from walnats_anyio._events._headers import header_block
from walnats_anyio._link import Link, ServerError, consumer_config, stream_config
from walnats_anyio.dead_letters._errors import RequeueError
from walnats_anyio.dead_letters._letter import DeadLetter, subject_of
from walnats_anyio.dead_letters._publish import publish

EXPECTED_STREAM = "Nats-Expected-Stream"
"""The header that has the server refuse a message which another stream would take."""

SERVER_HEADERS = "nats-"
"""What headers begin with that tell the server what to do, in lower case."""


async def put_back(link: Link, letter: DeadLetter) -> None:
    """Emit the event of a letter once more, for its actor alone; the letter stays.

    Raises:
        RequeueError: the actor would not get it.
        ConnectionLostError: the link is closed for good.
    """
    await _check_taker(link, letter)
    headers = _headers_of(letter)
    size = len(headers) + len(letter.payload)
    if size > link.max_payload:
        raise RequeueError(
            f"{_told(letter)}: it is {size} bytes with its headers, and the server takes at most "
            f"{link.max_payload}: raise its max_payload"
        )
    try:
        await publish(link, letter.event, letter.payload, headers)
    except ServerError as exc:
        raise RequeueError(
            f"{_told(letter)}: stream {letter.stream!r} did not take it: {exc}"
        ) from exc


async def _check_taker(link: Link, letter: DeadLetter) -> None:
    # Its stream keeps an event only for consumers, so without one it would be dropped at once.
    if await consumer_config(link, letter.stream, letter.actor) is not None:
        return
    if await stream_config(link, letter.stream) is None:
        raise RequeueError(
            f"{_told(letter)}: there is no stream {letter.stream!r} for event {letter.event!r}: "
            "register the event and the actor first, or discard the letter"
        )
    raise RequeueError(
        f"{_told(letter)}: event {letter.event!r} has no actor {letter.actor!r} on the server: "
        "register the actor first, or discard the letter"
    )


def _headers_of(letter: DeadLetter) -> bytes:
    # What the first emit told the server (ids, expectations, rollups, ...) is not for this one.
    headers = {
        name: value
        for name, value in letter.headers.items()
        if not name.lower().startswith(SERVER_HEADERS) and name.lower() != HEADER_ACTOR.lower()
    }
    headers |= {HEADER_ACTOR: letter.actor, EXPECTED_STREAM: letter.stream}
    try:
        # The same id every time, so that a requeue which is repeated after a crash is recognised.
        return header_block(subject_of(letter), None, headers)
    except ValueError as error:
        raise RequeueError(f"{_told(letter)}: {error}") from error


def _told(letter: DeadLetter) -> str:
    return f"dead letter {letter.number} cannot be requeued and is kept"
