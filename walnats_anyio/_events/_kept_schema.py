"""The schema of an event's messages, kept in the metadata of its stream; pure.

Who registers a new version of an event finds there what the last version wrote, and can tell
whether the new one reads it. Streams that walnats, a person or an earlier version of this library
made have no schema, and nothing is said about them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from walnats_anyio.serializers import Break, Codec, wire_schema
from walnats_anyio.serializers._compatibility import compare_texts
from walnats_anyio.serializers._schema_options import text_of

SCHEMA = "walnats-anyio.schema"
"""Metadata: the JSON Schema of the messages, or a hash of it where it is too large."""

FORMAT = "walnats-anyio.format"
"""Metadata: the media type of the messages, such as `application/json`."""

OURS = (SCHEMA, FORMAT)

MAX_SCHEMA = 8 * 1024
"""Bytes of a schema that is kept; of a larger one it is the hash alone.

The server sends the metadata along with every answer about the stream. NATS allows 128 KiB of it.
"""

MAX_READ = 64 * 1024
"""Bytes of a schema that is compared, if a later version of the library keeps larger ones."""

HASH = "sha256:"
"""What the hash of a schema begins with."""

UNKNOWN_FORMAT = "application/octet-stream"
"""The media type of a serializer that says nothing about it."""

FIELDS_BY_NUMBER = "application/protobuf"
"""The media type in which a name may change and a number may not: JSON Schema has no numbers."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about a new version of an event."""

    breaks: tuple[Break, ...] = ()
    """What it cannot read of the messages of the kept version."""

    unknown: str = ""
    """Why the two cannot be compared, as a part of a sentence; empty where they were."""


def metadata_of(serializer: Codec[Any]) -> dict[str, str]:
    """Make the metadata of a stream whose messages a serializer writes.

    Raises:
        Exception: what a serializer's own `json_schema` raises; it gives no plain JSON.
    """
    made: dict[str, str] = {}
    form = _format_of(serializer)
    if form != UNKNOWN_FORMAT:
        made[FORMAT] = form
    schema = wire_schema(serializer)
    if schema is not None:
        text = text_of(schema)
        made[SCHEMA] = text.decode() if len(text) <= MAX_SCHEMA else _hash_of(text)
    return made


def with_schema(
    metadata: Mapping[str, str] | None, own: Mapping[str, str]
) -> dict[str, str] | None:
    """Put an event's metadata in place of that of another version. None: it is there already."""
    found = dict(metadata or {})
    others = {name: value for name, value in found.items() if name not in OURS}
    wanted = {**others, **own}
    return None if wanted == found else wanted


def verdict(metadata: Mapping[str, str] | None, own: Mapping[str, str]) -> Verdict:
    """Find out whether an event reads what the kept version wrote.

    Args:
        metadata: what the stream has. It may come from a stranger.
        own: what `metadata_of` makes for the event.
    """
    kept = metadata or {}
    was, form = kept.get(FORMAT), own.get(FORMAT)
    if was is not None and form is not None and was != form:
        return Verdict((Break("$", f"the format was {was!r:.80} and is {form!r}"),))
    old, new = kept.get(SCHEMA), own.get(SCHEMA)
    if old is None or new is None or old == new:
        return Verdict()
    if form is not None and FIELDS_BY_NUMBER in form:
        return Verdict(
            unknown="protobuf tells fields by their numbers, which a schema does not have"
        )
    if len(old) > MAX_READ or old.startswith(HASH) or new.startswith(HASH):
        return Verdict(unknown=f"one of them has more than {MAX_SCHEMA} bytes")
    try:
        breaks = compare_texts(old.encode(), new.encode())
    except ValueError:
        return Verdict(unknown="the one in the stream is no JSON")
    return Verdict(tuple(breaks))


def _hash_of(text: bytes) -> str:
    return HASH + hashlib.sha256(text).hexdigest()


def _format_of(serializer: object) -> str:
    """Name the format; that of a wrapper has the one that it wraps in parentheses."""
    form = str(getattr(serializer, "content_type", UNKNOWN_FORMAT))
    wrapped = cast("object", getattr(serializer, "serializer", None))
    if wrapped is None:
        return form
    if form == UNKNOWN_FORMAT:
        form = type(serializer).__name__
    return f"{form}({_format_of(wrapped)})"
