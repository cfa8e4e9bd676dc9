"""The stream that keeps dead letters, and writing one to it."""

from __future__ import annotations

import dataclasses
from typing import Any

from walnats_anyio._events._headers import header_block
from walnats_anyio._link import (
    STREAM_NAME_IN_USE,
    Link,
    ServerError,
    api,
    stream_config,
)
from walnats_anyio.dead_letters._letter import (
    HEADER,
    STREAM,
    DeadLetter,
    filter_of,
    subject_of,
    write_header,
)
from walnats_anyio.dead_letters._publish import publish

MAX_HEADERS = 2**16 - 1
"""The largest header block, in bytes, that a stream stores."""


async def create_stream(link: Link, replicas: int) -> None:
    """Create the stream of the dead letters, unless it is there.

    Raises:
        ServerError: the server refuses it, or does not answer.
    """
    if not await stream_exists(link):
        await add_stream(link, new_config(replicas))


async def stream_exists(link: Link) -> bool:
    """Whether there is a stream for dead letters.

    Raises:
        ServerError: the server does not answer.
    """
    return await stream_config(link, STREAM) is not None


def new_config(replicas: int) -> dict[str, Any]:
    """The configuration of a stream that is not there yet."""
    return {
        "name": STREAM,
        "description": "events that actors gave up, and why",
        "subjects": [filter_of()],
        "retention": "limits",
        "storage": "file",
        "num_replicas": replicas,
        "max_msgs_per_subject": 1,
        "discard": "old",
        "allow_direct": True,
    }


async def add_stream(link: Link, config: dict[str, Any]) -> bool:
    """Create the stream; False when another process was faster by a moment.

    Raises:
        ServerError: the server refuses it, or does not answer.
    """
    try:
        await api(link, f"STREAM.CREATE.{STREAM}", config, replicas=config["num_replicas"])
    except ServerError as exc:
        if exc.code != STREAM_NAME_IN_USE:
            raise
        return False
    return True


async def write_letter(link: Link, letter: DeadLetter) -> None:
    """Store a letter, and wait until the stream has acknowledged it.

    One that is larger than the server takes loses its traceback, and then the end of its error's
    message.

    Raises:
        ServerError: it is too large all the same, there is no stream for it, the stream refuses
            it, or does not acknowledge it within 5 seconds.
        ConnectionLostError: the link is closed for good.
    """
    headers = _fitting_headers(letter, link.max_payload)
    try:
        await publish(link, subject_of(letter), letter.payload, headers)
    except ServerError as exc:
        raise ServerError(
            f"the dead letter of event {letter.event!r} and actor {letter.actor!r} was not stored: "
            f"{exc}",
            exc.code,
        ) from exc


def _fitting_headers(letter: DeadLetter, max_payload: int) -> bytes:
    room = min(MAX_HEADERS, max_payload - len(letter.payload))
    headers = _headers_of(letter)
    if len(headers) <= room:
        return headers
    letter = dataclasses.replace(letter, traceback="")
    headers = _headers_of(letter)
    # A character is a byte at least.
    kept = max(0, len(letter.error) - max(0, len(headers) - room))
    headers = _headers_of(dataclasses.replace(letter, error=letter.error[:kept]))
    if len(headers) > room:
        raise ServerError(
            f"the dead letter of event {letter.event!r} and actor {letter.actor!r} is too large: "
            f"{len(letter.payload)} bytes of payload and {len(headers)} of headers, where the "
            f"server takes {max_payload} together and {MAX_HEADERS} of headers: raise its "
            "max_payload, or declare the actor with dead_letters=False"
        )
    return headers


def _headers_of(letter: DeadLetter) -> bytes:
    # JSON leaves DEL as it is, and a header may not have it.
    value = write_header(letter).replace("\x7f", "\\u007f")
    return header_block(None, None, {HEADER: value})
