"""CloudEvents 1.0: metadata of an event in the names that other systems know."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, get_args

from walnats_anyio._events._arguments import check_type
from walnats_anyio._events._cloud_attributes import (
    AttributeValue,
    check_attribute_name,
    check_media_type,
    check_string,
    check_timestamp,
    check_uri,
    check_uri_reference,
    check_value,
    escape,
    read_integer,
    read_timestamp,
    to_text,
    unescape,
)

CloudEventMode: TypeAlias = Literal["binary", "structured"]

SPEC_VERSION: Final = "1.0"

PREFIX: Final = "ce-"
"""What the names of the headers begin with, in binary mode (NATS binding, section 3.1.3.1)."""


@dataclasses.dataclass(frozen=True, repr=False)
class CloudEvent:
    """What CloudEvents 1.0 calls the context attributes of an event.

        await conn.emit(ORDERED, order, meta=CloudEvent(str(order.id), "/shop", "com.shop.ordered"))

    An actor reads it with `current_context().cloud_event`.

    Attributes are checked against the specification (https://github.com/cloudevents/spec, spec.md)
    when one is made. Equal attributes make equal objects, whatever the `mode`.

    Raises:
        TypeError: an attribute is of a wrong type.
        ValueError: an attribute is not what the specification allows.
    """

    id: str
    """Identifies the event among those of its `source`. Not empty.

    It is the `uid` of the message where that has none of its own, as with walnats: the stream drops
    a second message with this `id` within the event's `dedup_window`.
    """

    source: str
    """Where the event comes from: a URI or a relative reference, such as `/shop/orders`."""

    type: str
    """What kind of event it is, such as `com.example.order.placed`. Not empty."""

    specversion: str = SPEC_VERSION
    """The version of the specification: 1.0 is the only one."""

    datacontenttype: str | None = None
    """The media type of the message, such as `application/json` (RFC 2046). None: not said."""

    dataschema: str | None = None
    """The absolute URI of the schema of the message. None: not said."""

    subject: str | None = None
    """What the event is about, within its `source`. Not empty. None: not said."""

    time: datetime | None = None
    """When it happened, with a time zone. None: not said."""

    dataref: str | None = None
    """Where the message is kept: a URI or a relative reference. None: not said.

    It and the next five are documented extensions of CloudEvents.
    """

    partitionkey: str | None = None
    """Events of the same key belong together. Not empty. None: not said."""

    sampledrate: int | None = None
    """How many similar events it stands for, itself included: at least 1. None: not said."""

    sequence: str | None = None
    """Its place among the events of its `source`, ordered as text. Not empty. None: not said."""

    traceparent: str | None = None
    """The span that it comes from, as W3C Trace Context writes it. Not empty. None: not said."""

    tracestate: str | None = None
    """What tracing systems add to `traceparent`. Not empty. None: not said."""

    _: dataclasses.KW_ONLY

    extensions: Mapping[str, AttributeValue] = dataclasses.field(
        default_factory=dict[str, AttributeValue], hash=False
    )
    """Further attributes, by name: a to z and 0 to 9, and better at most 20 of them.

    A value is a `bool`, an `int` of 32 bits, a `str`, `bytes` or a `datetime` with a time zone.
    Headers have no types, so what is read from them is a `str`.
    """

    mode: CloudEventMode = dataclasses.field(default="binary", compare=False)
    """How it is sent.

    `"binary"`: as `ce-*` headers, beside the message. `"structured"`: the message and the
    attributes are one JSON object, `application/cloudevents+json`; only readers that know
    CloudEvents can read the message, as the actors of this library do, and those of walnats do not.
    """

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None or name in _REQUIRED:
                check(f"CloudEvent: {name}", value)
        object.__setattr__(self, "extensions", _checked(self.extensions))
        if self.mode not in get_args(CloudEventMode):
            raise ValueError(
                f"CloudEvent: mode must be 'binary' or 'structured', not {self.mode!r}"
            )

    def __repr__(self) -> str:
        shown = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)
            if getattr(self, field.name) not in (None, field.default, {})
        ]
        return f"CloudEvent({', '.join(shown)})"

    def as_dict(self) -> dict[str, str | int | bool]:
        """List all attributes that are set, with extensions, as values that JSON has.

        Times are RFC 3339 text, bytes are base64 text.
        """
        return {
            name: value if isinstance(value, str | int) else to_text(value)
            for name, value in self._attributes().items()
        }

    def as_headers(self) -> dict[str, str]:
        """List all attributes that are set as headers of the binary mode, percent-encoded.

        Spaces, `"`, `%` and all but visible ASCII characters are encoded (NATS protocol binding of
        CloudEvents, section 3.1.3.2).
        """
        return {
            f"{PREFIX}{name}": escape(to_text(value)) for name, value in self._attributes().items()
        }

    @classmethod
    def from_dict(cls, attributes: Mapping[str, Any]) -> CloudEvent:
        """Make one of attributes as `as_dict` lists them; an attribute that is None is not set.

        Raises:
            TypeError: an attribute is of a wrong type.
            ValueError: one that is required is missing, or one is not what the specification
                allows.
        """
        check_type("attributes", attributes, Mapping)
        given = {name: value for name, value in attributes.items() if value is not None}
        missing = [name for name in _REQUIRED if name not in given]
        if missing:
            raise ValueError(f"CloudEvent: {' and '.join(missing)} must be there")
        for name, read in (("time", read_timestamp), ("sampledrate", read_integer)):
            if name in given:
                given[name] = read(f"CloudEvent: {name}", given[name])
        own = {name: given.pop(name) for name in _CHECKS if name in given}
        return cls(**own, extensions=given)

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> CloudEvent | None:
        """Read the headers of a message in binary mode. None: none of them is a `ce-*` header.

        Names are compared without their case. Without `ce-datacontenttype`, `Content-Type` is read.

        Raises:
            ValueError: a required attribute is missing, or one is not what the specification
                allows.
        """
        given: dict[str, str] = {}
        content_type: str | None = None
        for header, value in headers.items():
            name = header.lower()
            if name == "content-type":
                content_type = value
            elif name.startswith(PREFIX):
                attribute = name.removeprefix(PREFIX)
                if attribute in given:
                    raise ValueError(f"CloudEvent: the header {name} is there more than once")
                given[attribute] = unescape(name, value)
        if not given:
            return None
        if content_type is not None:
            given.setdefault("datacontenttype", content_type)
        return cls.from_dict(given)

    def _attributes(self) -> dict[str, AttributeValue]:
        own = {name: getattr(self, name) for name in _CHECKS}
        return {name: value for name, value in own.items() if value is not None} | dict(
            self.extensions
        )


def _checked(extensions: object) -> dict[str, AttributeValue]:
    check_type("CloudEvent: extensions", extensions, Mapping)
    checked: dict[str, AttributeValue] = dict(extensions)  # type: ignore[call-overload]  # a Mapping
    for name, value in checked.items():
        check_attribute_name(name)
        if name in _CHECKS:
            raise ValueError(f"CloudEvent: {name} is an argument of its own: pass {name}={value!r}")
        check_value(f"CloudEvent: extension {name}", value)
    return checked


def _check_text(name: str, value: object) -> None:
    check_string(name, value, empty=False)


def _check_version(name: str, value: object) -> None:
    if value != SPEC_VERSION:
        raise ValueError(f"{name} must be '1.0', not {value!r}: no other version is supported")


def _check_rate(name: str, value: object) -> None:
    check_value(name, value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}: {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")


_REQUIRED: Final = ("specversion", "id", "source", "type")

_CHECKS: Final[dict[str, Callable[[str, object], None]]] = {
    "specversion": _check_version,
    "id": _check_text,
    "source": check_uri_reference,
    "type": _check_text,
    "datacontenttype": check_media_type,
    "dataschema": check_uri,
    "subject": _check_text,
    "time": check_timestamp,
    "dataref": check_uri_reference,
    "partitionkey": _check_text,
    "sampledrate": _check_rate,
    "sequence": _check_text,
    "traceparent": _check_text,
    "tracestate": _check_text,
}
"""The attributes that are fields, in the order in which they are written."""
