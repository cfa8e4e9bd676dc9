"""The media type of what a serializer writes."""

from __future__ import annotations

from typing import Any

ROOM = "walnats_anyio.serializers"

_CONTENT_TYPES = {
    "BytesSerializer": "application/octet-stream",
    "DataclassSerializer": "application/json",
    "DatetimeSerializer": "text/plain",
    "FernetSerializer": "application/octet-stream",
    "GZipSerializer": "application/gzip",
    "HMACSerializer": "application/octet-stream",
    "MarshmallowSerializer": "application/json",
    "MessagePackSerializer": "application/vnd.msgpack",
    "MsgspecSerializer": "application/json",
    "PrimitiveSerializer": "application/json",
    "ProtobufSerializer": "application/protobuf",
    "PydanticSerializer": "application/json",
}
"""By name: the class itself may need a package that is not installed here."""


def content_type(serializer: object) -> str | None:
    """The media type, or None where nothing is known about the serializer.

    A serializer of the user's may have it as `content_type`.
    """
    own: Any = getattr(serializer, "content_type", None)
    if isinstance(own, str):
        return own
    for cls in type(serializer).__mro__:
        if cls.__module__.startswith(ROOM) and cls.__name__ in _CONTENT_TYPES:
            return _CONTENT_TYPES[cls.__name__]
    return None
