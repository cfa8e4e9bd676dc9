"""Which attempt of its event a delivery is: one for each run, hand-backs not counted.

Theory of operation. The server counts deliveries, and tells the count in the reply subject of each
(ADR-15). A delivery that is handed back, as `listen` ends or as there is no slot for it, was no
attempt. So whoever hands an event back leaves a note of it in a stream, and whoever gets an event
that was delivered before counts the notes. The first delivery of an event, which is nearly every
one, needs neither.

A note has a subject of its own, `walnats.handed-back.<stream>.<actor>.<event>.<delivery>`, so the
same one left twice counts once.
"""

from __future__ import annotations

import logging
from typing import Any

import anyio

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._link import (
    STREAM_NOT_FOUND,
    Link,
    ServerError,
    api,
    ensure_helper_stream,
    pub,
)

logger = logging.getLogger("walnats_anyio.actors")

STREAM = "walnats-handed-back"
"""The stream of the notes."""

SUBJECTS = "walnats.handed-back"
"""What the subjects of notes begin with."""

KEPT_FOR = 7 * 24 * 3600
"""Seconds that notes are kept; an event that is older has its hand-backs counted as attempts."""

LOOK_AGAIN_AFTER = 0.5
"""Seconds until notes are counted again before an event is given up for them."""

V1_TOKENS = 9
"""Tokens of a reply subject without domain and account, which newer servers put in."""


class Attempts:
    """The attempts of the events that one actor holds."""

    __slots__ = ("_link", "_notes", "first", "later")

    def __init__(self, actor: Actor[Any, Any], link: Link) -> None:
        self.first = b"?"
        """What reply subjects of first deliveries begin with; known once one has come."""
        self.later: dict[bytes, int] = {}
        """Attempts of the events that were delivered before, by reply subject."""
        self._link = link
        self._notes = f"{SUBJECTS}.{actor.event.stream_name}.{actor.consumer_name}"

    def of(self, reply: bytes) -> int:
        """Which attempt a delivery is."""
        return self.later.get(reply, 1)

    def is_first(self, reply: bytes) -> bool:
        """Whether the event was never delivered to this actor before."""
        tokens, at = _tokens(reply)
        if tokens[at] != "1":
            return False
        self.first = (".".join(tokens[: at + 1]) + ".").encode()
        return True

    async def look_up(self, reply: bytes, most: int | None) -> int:
        """Count the attempts of an event that was delivered before, this one included.

        Where the notes cannot be read, as this user may not, every delivery counts.

        Args:
            reply: the reply subject of the delivery.
            most: as many as are allowed; beyond them it looks twice, as a note may be under way.
        """
        event, delivery = _event_and_delivery(reply)
        attempt = delivery
        try:
            attempt = delivery - await self._count(event)
            if most is not None and attempt > most:
                await anyio.sleep(LOOK_AGAIN_AFTER)
                attempt = delivery - await self._count(event)
        except ServerError as error:
            logger.warning("hand-backs of event %s count as attempts: %s", event, error)
        self.later[reply] = attempt
        return attempt

    def note(self, reply: bytes) -> bytes:
        """The command that leaves a note of a delivery that is handed back."""
        event, delivery = _event_and_delivery(reply)
        return pub(f"{self._notes}.{event}.{delivery}", b"")

    async def _count(self, event: str) -> int:
        wanted = {"subjects_filter": f"{self._notes}.{event}.*"}
        try:
            answer = await api(self._link, f"STREAM.INFO.{STREAM}", wanted)
        except ServerError as exc:
            if exc.code == STREAM_NOT_FOUND:
                return 0
            raise
        return len(answer["state"].get("subjects") or ())


async def create_stream(link: Link, replicas: int) -> None:
    """Create the stream of the notes, or raise the replicas of the one that is there.

    Raises:
        ServerError: the server refuses it, or does not answer.
    """
    config = {
        "name": STREAM,
        "description": "events that actors handed back without having run them to the end",
        "subjects": [f"{SUBJECTS}.*.*.*.*"],
        "retention": "limits",
        "storage": "file",
        "num_replicas": replicas,
        "max_age": KEPT_FOR * 10**9,
        "max_msgs_per_subject": 1,
        "discard": "old",
    }
    await ensure_helper_stream(link, config)


def _tokens(reply: bytes) -> tuple[list[str], int]:
    """The tokens of a reply subject, and where the number of deliveries is."""
    tokens = reply.decode().split(".")
    return tokens, 4 if len(tokens) == V1_TOKENS else 6


def _event_and_delivery(reply: bytes) -> tuple[str, int]:
    """What identifies the event for ever, and how often it has been delivered."""
    tokens, at = _tokens(reply)
    # A stream that is made anew counts from 1 again, so the number alone says too little.
    return f"{tokens[at + 1]}-{tokens[at + 3]}", int(tokens[at])
