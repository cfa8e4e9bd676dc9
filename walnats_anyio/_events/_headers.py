"""The headers of an event on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from walnats_anyio._events._cloud_event import CloudEvent
from walnats_anyio._events._structured import CONTENT_TYPE, STRUCTURED
from walnats_anyio._link import parse_headers
from walnats_anyio._link._names import check_header

Meta: TypeAlias = Mapping[str, str] | CloudEvent | None
"""What `meta` takes: headers by name, or the attributes of a CloudEvent."""

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

HEADER_RETRY: Final = "Walnats-Retry"
"""What a copy of an event says of it, where the server kept the copy until its next attempt."""


HEADER_UID: Final = "Walnats-Uid"
"""The `uid` of an event that waited in the server, which takes `HEADER_ID` away."""

HEADER_KEPT_ID: Final = "Walnats-Kept-Nats-Msg-Id"
"""The same of a copy of an event, until it has come to its actor."""

HEADER_DELAY: Final = "Walnats-Delay"
"""Until when actors hold an event, in seconds since the epoch (UTC), as walnats sends it."""

HEADER_DUE: Final = "Walnats-Due"
"""When an event is due that waited in the server, in seconds since the epoch, on its clock.

The server puts it into its stream a moment before, and the actor's process holds it until then.
"""

HEADER_TTL: Final = "Nats-TTL"
"""After how long the server removes a message (ADR-43)."""

_OWN_PREFIXES: Final = ("nats-", "walnats-")
"""What names of headers begin with that are the library's own or the server's."""


def header_block(uid: str | None, trace_id: str | None, meta: Meta) -> bytes:
    """Build the header block of a message (NATS ADR-4), or nothing when there is no header.

    Raises:
        TypeError: a name or value is not a string.
        ValueError: a name or value cannot be sent, or `meta` has what an argument of its own sets.
    """
    headers = headers_of(meta)
    for name, argument, value in (
        (HEADER_ID, "uid", uid_of(uid, meta)),
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


def add_headers(block: bytes, headers: Mapping[str, str]) -> bytes:
    """Add headers, which are checked, to a header block that may be empty.

    Raises:
        ValueError: the block has one of them.
    """
    there = {name.lower(): value for name, value in parse_headers(block).items()}
    for name in headers:
        if name.lower() in there:
            value = there[name.lower()]
            raise ValueError(f"meta has {name}={value!r}, which a request sets itself: drop it")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    return b"%b%b\r\n" % (block[:-2] if block else b"NATS/1.0\r\n", lines)


def headers_of(meta: Meta) -> dict[str, str]:
    """Give the headers that `meta` stands for.

    Raises:
        TypeError: it is none of what `meta` takes.
    """
    if meta is None:
        return {}
    if isinstance(meta, CloudEvent):
        return meta.as_headers() if meta.mode == "binary" else {CONTENT_TYPE: STRUCTURED}
    _check_mapping(meta)
    return dict(meta)


def uid_of(uid: str | None, meta: Meta) -> str | None:
    """Give the `uid` of a message: without one, the `id` of its CloudEvent, as walnats does."""
    return meta.id if uid is None and isinstance(meta, CloudEvent) else uid


def uid_in(headers: Mapping[str, str]) -> str | None:
    """Give the `uid` that a message was emitted with, whichever way it came."""
    return headers.get(HEADER_UID) or headers.get(HEADER_KEPT_ID) or headers.get(HEADER_ID)


def check_shared(meta: object) -> None:
    """Refuse what cannot be the `meta` of many messages.

    Raises:
        TypeError: it cannot.
    """
    if isinstance(meta, CloudEvent):
        raise TypeError(
            "a CloudEvent is of one message, as its id is: pass a function that makes the one of "
            "each message, such as meta=lambda order: CloudEvent(order.id, ...)"
        )


def meta_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Give the headers of a message that are neither the library's own nor the server's."""
    return {
        name: value for name, value in headers.items() if not name.lower().startswith(_OWN_PREFIXES)
    }


def _check_mapping(meta: object) -> None:
    if not isinstance(meta, Mapping):
        raise TypeError(
            f"meta must be a mapping of header names to values, or a CloudEvent, not {meta!r}"
        )
