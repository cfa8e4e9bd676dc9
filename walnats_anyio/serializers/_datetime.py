"""Dates and moments as plain text."""

from __future__ import annotations

import dataclasses
import typing
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec

from walnats_anyio.serializers._base import Serializer
from walnats_anyio.serializers._classes import unwrap
from walnats_anyio.serializers._difference import difference
from walnats_anyio.serializers._schema import describe

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeForm

T = TypeVar("T", bound=date)


@dataclasses.dataclass(frozen=True)
class DatetimeSerializer(Serializer[T]):
    """Sends a `datetime` or a `date` as ISO 8601 text without quotes, as walnats does.

    It reads what `fromisoformat` of the class reads, and the same as JSON text, with quotes. Any
    offset arrives, also one with seconds. A time zone with a name arrives as its offset at that
    moment.

    Raises:
        TypeError: the schema is neither `datetime` nor `date`, nor a subclass of them.
    """

    schema: TypeForm[T]
    """`datetime`, `date`, or a subclass.

    `Annotated[datetime, Meta(tz=True)]` takes only moments with a time zone, `Meta(tz=False)` only
    those without.
    """

    _class: type[T] = dataclasses.field(init=False, repr=False, compare=False)
    """What a message must be, and nothing derived from it."""

    _zoned: bool | None = dataclasses.field(init=False, repr=False, compare=False)
    """Whether a message must have a time zone; None: as it likes."""

    content_type: ClassVar[str] = "text/plain"

    @classmethod
    def new(cls, schema: TypeForm[Any], /) -> Self | None:
        """Make the serializer of a `datetime` or a `date`. None: the schema is something else."""
        kind = unwrap(schema)
        return cls(schema) if isinstance(kind, type) and issubclass(kind, date) else None

    def __post_init__(self) -> None:
        kind = unwrap(self.schema)
        if not isinstance(kind, type) or not issubclass(kind, date):
            raise TypeError(
                f"DatetimeSerializer takes datetime or date, not {describe(self.schema)}"
            )
        object.__setattr__(self, "_class", kind)
        object.__setattr__(self, "_zoned", _zone_of(self.schema))

    def encode(self, message: T) -> bytes:
        """Turn a moment or a date into text.

        Raises:
            TypeError: the message is of another class. One of a subclass would arrive as the
                schema's class.
            ValueError: the schema says that it has a time zone, or that it has none; or, of a
                subclass or with a part of a second in the offset, it would not arrive as it is.
        """
        if type(message) is not self._class:
            kind: type[Any] = type(message)
            raise TypeError(f"expected {self._class.__name__}, got {kind.__qualname__}")
        self._check_zone(message)
        data = message.isoformat().encode()
        if self._class not in (datetime, date) or _has_odd_offset(message):
            found = difference(message, self.decode(data))
            if found is not None:
                raise ValueError(found)
        return data

    def decode(self, data: bytes) -> T:
        """Turn text into a moment or a date.

        Raises:
            ValueError: the text is none of ISO 8601, or does not fit the schema.
        """
        text = msgspec.json.decode(data, type=str) if data[:1] == b'"' else data.decode()
        message = self._class.fromisoformat(text)
        self._check_zone(message)
        return message

    def _check_zone(self, message: object) -> None:
        if self._zoned is None or not isinstance(message, datetime):
            return
        if (message.utcoffset() is not None) is not self._zoned:
            raise ValueError(f"expected one {'with' if self._zoned else 'without'} a time zone")

    def json_schema(self) -> dict[str, Any]:
        """Describe the text, which is not JSON: it has no quotes."""
        if not issubclass(self._class, datetime):
            return {"type": "string", "format": "date"}
        # A "date-time" of JSON Schema has a time zone.
        return {"type": "string"} | ({"format": "date-time"} if self._zoned else {})


def _has_odd_offset(message: date) -> bool:
    # Python reads an offset of less than a second as UTC.
    offset = message.utcoffset() if isinstance(message, datetime) else None
    return offset is not None and offset.microseconds != 0


def _zone_of(schema: Any) -> bool | None:
    """Look for what `Annotated` says about time zones."""
    while typing.get_origin(schema) is typing.Annotated:
        for each in schema.__metadata__:
            if isinstance(each, msgspec.Meta) and each.tz is not None:
                return each.tz
        schema = schema.__origin__
    return None
