"""The structured mode of CloudEvents: attributes and message as one JSON object.

Theory of operation. Which mode a message is in, the header `Content-Type` says (NATS protocol
binding of CloudEvents, section 3). What the serializer wrote becomes the member `data` where it is
JSON, and `data_base64` where it is not (JSON format, section 3.1); on the way back it becomes
payload again, before the serializer sees it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec

from walnats_anyio._events._cloud_attributes import is_json, read_base64
from walnats_anyio._events._cloud_event import CloudEvent
from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._server_ticks import tick_text
from walnats_anyio._link import parse_headers
from walnats_anyio.serializers import DecodeError

T = TypeVar("T")

CONTENT_TYPE: Final = "Content-Type"

STRUCTURED: Final = "application/cloudevents+json"

# As it is in the bytes of a header block, whose parts are compared without their case.
_MARK: Final = b"application/cloudevents"

_BEHIND_VERSION: Final = len("NATS/1.0")

# The binding says that the payload is JSON where the type is this, with nothing behind it.
_TYPES: Final = frozenset({"application/cloudevents", STRUCTURED})

NULL: Final = msgspec.Raw(b"null")

_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()


def structured(event: BaseEvent[Any], payload: bytes, attributes: CloudEvent) -> bytes:
    """Put a payload and its attributes into one JSON object.

    Args:
        event: what it is of; its serializer may know the media type of the payload.
        payload: what the serializer wrote.
        attributes: of the message.

    Raises:
        ValueError: `datacontenttype` says that it is JSON, and it is not.
    """
    members: dict[str, Any] = attributes.as_dict()
    written = getattr(event.codec, "content_type", None)
    declared = attributes.datacontenttype
    if not is_json(declared or written or ""):
        members["data_base64"] = b64encode(payload).decode()
    elif not _is_json_text(payload):
        raise ValueError(
            f"event {event.name!r}: datacontenttype is {declared!r}, and what the serializer wrote "
            "is not JSON: pass the media type that it is of"
        )
    else:
        members["data"] = msgspec.Raw(payload)
    return _encoder.encode(members)


def is_structured(headers: Mapping[str, str]) -> bool:
    """Whether headers say that the payload is one JSON object of attributes and data."""
    for name, value in headers.items():
        if name.lower() == "content-type":
            return value.partition(";")[0].strip().lower() in _TYPES
    return False


def data_of(header: bytes, payload: bytes) -> bytes:
    """Give what the serializer of an event is to decode, in either mode.

    Raises:
        HeaderError: the header block is malformed, and so spoils its message.
        ValueError: it is in structured mode, and not well-formed.
    """
    headers = parse_headers(header)
    # A media type has a slash, which is found soonest, and most headers have none.
    if header.find(b"/", _BEHIND_VERSION) < 0 or _MARK not in header.lower():
        return payload
    if not is_structured(headers):
        return payload
    return _read(payload)[1]


def decode_message(event: BaseEvent[T], payload: bytes, headers: Mapping[str, str]) -> T:
    """Decode the message of an event, in either mode.

    Raises:
        DecodeError: it does not fit the schema, or is no well-formed CloudEvent.
    """
    if not is_structured(headers):
        return event.decode(payload or tick_text(headers) or b"")
    try:
        data = _read(payload)[1]
    except ValueError as error:
        raise DecodeError(
            f"event {event.name!r}: what arrived ({len(payload)} bytes) is no well-formed "
            f"CloudEvent in structured mode: {error}"
        ) from error
    return event.decode(data)


def cloud_event_of(headers: Mapping[str, str], payload: bytes) -> CloudEvent | None:
    """Read the attributes of a message in either mode. None: it has none.

    Raises:
        ValueError: it is no well-formed CloudEvent.
    """
    if not is_structured(headers):
        return CloudEvent.from_headers(headers)
    return _read(payload)[0]


def _read(payload: bytes) -> tuple[CloudEvent, bytes]:
    """Read the JSON object of a structured message: its attributes, and its data.

    Raises:
        ValueError: it is not well-formed.
    """
    try:
        members = _decoder.decode(payload)
        raw, encoded = members.pop("data", None), members.pop("data_base64", None)
        if encoded == NULL:
            encoded = None  # as some writers say that it is not there
        attributes = {name: msgspec.json.decode(value) for name, value in members.items()}
        event = replace(CloudEvent.from_dict(attributes), mode="structured")
        if encoded is not None and raw is not None:
            raise ValueError("data and data_base64 are both there")
        if encoded is not None:
            return event, read_base64("data_base64", msgspec.json.decode(encoded))
        return event, b"" if raw is None else _data(event, bytes(raw))
    except (msgspec.DecodeError, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _data(event: CloudEvent, raw: bytes) -> bytes:
    """Give the data of the member `data`: JSON as it is, or the text of a JSON string."""
    if event.datacontenttype is None or is_json(event.datacontenttype):
        return raw
    return msgspec.json.decode(raw, type=str).encode()


def _is_json_text(payload: bytes) -> bool:
    try:
        msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True
