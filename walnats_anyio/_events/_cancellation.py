"""The message that cancels an event: published by whoever wants it, read by all who listen.

A core NATS message, so it reaches the processes that listen at that moment, in less than a
millisecond, and nobody later. Whoever may publish to these subjects may cancel.
"""

from __future__ import annotations

import msgspec

from walnats_anyio._link import Prefixes

SUBJECT = "walnats.cancel"
"""What the subjects begin with: `walnats.cancel.<stream>`."""

MAX_SIZE = 4096
"""Bytes of a message that is read at all; anybody may have sent it."""


class Cancellation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which event is to be cancelled: one of the first three fields says so."""

    reply: str = ""
    """The `Walnats-Reply` of a request, whose caller does not wait any more."""

    uid: str = ""
    """The `uid` that the event was emitted with."""

    sequence: int = 0
    """The number of the event in its stream."""

    actor: str = ""
    """The one actor whose job is meant; empty for all of them."""


_decoder = msgspec.json.Decoder(Cancellation)


def subject_of(stream: str, prefixes: Prefixes) -> str:
    """Where the message is published that cancels an event of a stream; `*` for all streams."""
    return prefixes.subject(f"{SUBJECT}.{stream}")


def encode_cancellation(cancellation: Cancellation) -> bytes:
    """The payload of the message."""
    return msgspec.json.encode(cancellation)


def read_cancellation(data: bytes) -> Cancellation | None:
    """Read the payload; None for what is no such message."""
    if len(data) > MAX_SIZE:
        return None
    try:
        found = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found if found.reply or found.uid or found.sequence > 0 else None
