"""The headers of an event on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from walnats_anyio._link._names import check_header

HEADER_ID: Final = "Nats-Msg-Id"
"""JetStream drops an event whose id it has seen within the stream's dedup window."""

HEADER_TRACE: Final = "Walnats-Trace"
"""The id of the trace that the event belongs to."""

HEADER_ACTOR: Final = "Walnats-Actor"
"""The one actor that an event is for, where it is not for all of them: it was requeued."""

HEADER_REPLY: Final = "Walnats-Reply"
"""The subject that the response to a request is published to, as walnats has it."""

HEADER_TIMEOUT: Final = "Walnats-Timeout"
"""The seconds that the caller of a request still waits from the moment at which it is stored.

`none`: as long as it takes. Its presence tells that the caller understands `HEADER_ERROR`.
"""

HEADER_ERROR: Final = "Walnats-Error"
"""The class of what an actor raised, in an answer to a request that is no response.

The payload is what the exception said, and `HEADER_ACTOR` whose it was.
"""

NO_TIMEOUT: Final = "none"
"""The `HEADER_TIMEOUT` of a request that waits as long as it takes."""


def header_block(uid: str | None, trace_id: str | None, meta: Mapping[str, str] | None) -> bytes:
    """Build the header block of a message (NATS ADR-4), or nothing when there is no header.

    Raises:
        TypeError: a name or value is not a string.
        ValueError: a name or value cannot be sent, or `meta` has what an argument of its own sets.
    """
    _check_mapping(meta)
    headers = dict(meta) if meta is not None else {}
    for name, argument, value in (
        (HEADER_ID, "uid", uid),
        (HEADER_TRACE, "trace_id", trace_id),
    ):
        if value is None:
            continue
        if name in headers:
            raise ValueError(
                f"meta has {name}={headers[name]!r} and {argument}={value!r} sets it too: drop one"
            )
        headers[name] = value
    if uid == "":
        raise ValueError("uid is empty: pass None, or what identifies the message")
    if not headers:
        return b""
    for name, value in headers.items():
        check_header(name, value)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"NATS/1.0\r\n{lines}\r\n".encode()


def _check_mapping(meta: object) -> None:
    if meta is not None and not isinstance(meta, Mapping):
        raise TypeError(f"meta must be a mapping of header names to values, not {meta!r}")
