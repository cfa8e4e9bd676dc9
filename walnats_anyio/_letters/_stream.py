"""The stream that keeps dead letters, and writing one to it."""

from __future__ import annotations

from typing import Any

from walnats_anyio._events._publication import publish
from walnats_anyio._letters._letter import (
    STREAM,
    DeadLetter,
    filter_of,
    part_subject_of,
    parts_filter,
    subject_of,
)
from walnats_anyio._letters._wire import to_wire
from walnats_anyio._link import Link, Prefixes, ServerError, ensure_helper_stream


async def create_stream(link: Link, replicas: int) -> None:
    """Create the stream of the dead letters, or raise the replicas of the one that is there.

    The limits of one that is there are left as they are.

    Args:
        link: the connection.
        replicas: how many servers of a cluster keep a copy at least.

    Raises:
        ServerError: the server refuses it, or does not answer.
        ConnectionLostError: the link is closed for good.
    """
    await ensure_helper_stream(link, new_config(replicas, link.prefixes))


def new_config(replicas: int, prefixes: Prefixes) -> dict[str, Any]:
    """The configuration of a stream that is not there yet."""
    return {
        "name": prefixes.stream(STREAM),
        "description": "events that actors gave up, and why",
        "subjects": [filter_of(prefixes), parts_filter(prefixes)],
        "retention": "limits",
        "storage": "file",
        "num_replicas": replicas,
        "max_msgs_per_subject": 1,
        "discard": "old",
        "allow_direct": True,
    }


async def write_letter(link: Link, letter: DeadLetter) -> int:
    """Store a letter, and wait until the stream has acknowledged it.

    What has no room is cut, and `cut` of the stored letter says so; the payload is always whole.
    Written twice, the second letter takes the place of the first.

    Returns:
        The number of the letter.

    Raises:
        ServerError: there is no stream for it, the stream refuses it, or does not acknowledge it
            within 5 seconds.
        ConnectionLostError: the link is closed for good.
    """
    prefixes = link.prefixes
    stream = prefixes.stream(STREAM)
    try:
        wire = to_wire(letter, link.max_payload)
        # The letter comes last, so that one that is seen is whole.
        for number, part in enumerate(wire.parts, 1):
            await publish(link, stream, part_subject_of(letter, number, prefixes), part, b"")
        return await publish(link, stream, subject_of(letter, prefixes), wire.payload, wire.headers)
    except (ServerError, ValueError) as exc:
        raise ServerError(
            f"the dead letter of event {letter.event!r} and actor {letter.actor!r} was not stored: "
            f"{exc}",
            exc.code if isinstance(exc, ServerError) else None,
        ) from exc
