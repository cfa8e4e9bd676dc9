"""Messages that steer events which processes hold: cancel one, or answer its caller again.

Core NATS messages, so they reach the processes that listen at that moment, in less than a
millisecond, and nobody later. Whoever may publish to these subjects may cancel.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from walnats_anyio._link import Prefixes

SUBJECT = "walnats.control"
"""What the subjects begin with: `walnats.control.<stream>`."""

MAX_SIZE = 4096
"""Bytes of a message that is read at all; anybody may have sent it."""


class Control(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to be done with which event: `reply`, `uid` or `sequence` says with which."""

    what: Literal["cancel", "answer"] = "cancel"
    """`answer`: its caller still waits, and may have lost the answer with a connection."""

    reply: str = ""
    """The `Walnats-Reply` of a request. Cancelled, its caller does not wait any more."""

    uid: str = ""
    """The `uid` that the event was emitted with."""

    sequence: int = 0
    """The number of the event in its stream."""

    actor: str = ""
    """The one actor whose job is meant; empty for all of them."""


class Held(msgspec.Struct, frozen=True):
    """What a process says that holds an event: at once, and once more when that is settled."""

    actor: str
    """Whose job it was."""

    was: Literal["waiting", "running"]
    """What it did when it was cancelled."""

    sequence: int
    """The number of the event in its stream."""

    settled: bool
    """Whether it is over, with its clean-up."""

    process: str = ""
    """Which run of `listen` it was."""

    over: bool = False
    """Whether it is settled for good: it does not come again, and no copy of it does."""

    place: str = ""
    """The number under which it was emitted, and when it was stored; see `_retries`."""


_decoder = msgspec.json.Decoder(Control)
_held_decoder = msgspec.json.Decoder(Held)


def subject_of(stream: str, prefixes: Prefixes) -> str:
    """Where messages about the events of a stream are published; `*` for all streams."""
    return prefixes.subject(f"{SUBJECT}.{stream}")


def encode_control(control: Control) -> bytes:
    """The payload of a message."""
    return msgspec.json.encode(control)


def read_control(data: bytes) -> Control | None:
    """Read a payload; None for what is no such message."""
    if len(data) > MAX_SIZE:
        return None
    try:
        found = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found if found.reply or found.uid or found.sequence > 0 else None


def read_held(data: bytes) -> Held | None:
    """Read what a process says; None for what is no such answer."""
    try:
        return _held_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
