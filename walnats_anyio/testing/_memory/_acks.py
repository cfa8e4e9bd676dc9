"""What the payload of an acknowledgement says (ADR-13)."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass

from walnats_anyio.testing._memory._durations import MOST, parse_duration


class Kind(enum.Enum):
    """Kinds of acknowledgements."""

    ACK = "done"
    NEXT = "done, and another one, please"
    NAK = "not done: again"
    PROGRESS = "still at work"
    TERM = "never again"
    UNKNOWN = "nobody knows"


@dataclass(frozen=True, slots=True)
class Ack:
    """An acknowledgement."""

    kind: Kind
    delay: int | None = None
    """Nanoseconds until the message is to come again; None for at once."""
    reason: str = ""
    rest: bytes = b""


def read_ack(payload: bytes) -> Ack:
    """Read a payload."""
    if payload in (b"", b"+ACK", b"+OK"):
        return Ack(Kind.ACK)
    if payload == b"+WPI":
        return Ack(Kind.PROGRESS)
    if payload.startswith(b"+NXT"):
        return Ack(Kind.NEXT, rest=payload[4:])
    if payload.startswith(b"-NAK"):
        return Ack(Kind.NAK, _delay(payload[4:].strip()))
    if payload.startswith(b"+TERM"):
        return Ack(Kind.TERM, reason=payload[5:].strip().decode(errors="replace"))
    return Ack(Kind.UNKNOWN)


def _delay(text: bytes) -> int | None:
    if not text:
        return None
    if not text.startswith(b"{"):
        return parse_duration(text.decode(errors="replace"))
    try:
        delay = json.loads(text).get("delay", 0)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(delay, int) and not isinstance(delay, bool) and abs(delay) <= MOST
    return delay if whole else None
