"""What a stream answers to what is published to it (ADR-22 has the acknowledgement)."""

from __future__ import annotations

import msgspec

from walnats_anyio._link import NO_LEADER

RETRYABLE_CODES = NO_LEADER | {10158, 10167}
"""JetStream's error codes that say "not now".

No leader yet, too many requests at once, or the same `uid` is being stored just now: by a leader
that may still lose it, as it is sent again only when its first acknowledgement did not come.
"""


NO_STREAM = frozenset({10039, 10059, 10076})
"""JetStream's error codes that say that there is no stream, or no JetStream for this account."""


class Refusal(msgspec.Struct):
    """Why a stream does not take it."""

    description: str = "the server gave no reason"
    err_code: int | None = None


class Answer(msgspec.Struct):
    """What came back; without both when it is no stream's answer."""

    stream: str = ""
    seq: int = 0
    domain: str = ""
    error: Refusal | None = None


_decoder = msgspec.json.Decoder(Answer)


def read_answer(data: bytes) -> Answer:
    """Read an answer. Anybody may listen to a subject, and answer anything."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Answer()
