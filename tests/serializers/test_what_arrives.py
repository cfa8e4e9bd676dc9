"""What arrives equals what was emitted, in value and in type, or it is not emitted at all."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime, time
from typing import Any, Literal, TypedDict
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest
from hypothesis import given

from tests.serializers._messages import ANYTHING, LAW, SCHEMAS, check_law, fitting
from walnats_anyio import Event
from walnats_anyio.serializers import DecodeError, EncodeError


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_what_fits_arrives_as_it_is_or_is_refused(schema: Any) -> None:
    event = Event("x", schema)
    LAW(given(fitting(schema))(lambda message: check_law(event, message)))()


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_anything_arrives_as_it_is_or_is_refused(schema: Any) -> None:
    event = Event("x", schema)
    LAW(given(ANYTHING)(lambda message: check_law(event, message)))()


class Shout(str):
    __slots__ = ()


class Point(TypedDict):
    x: int


def test_a_key_of_a_subclass_would_arrive_as_text() -> None:
    event = Event[Any]("x", Point)
    assert event.encode({"x": 1}) == b'{"x":1}'
    with pytest.raises(EncodeError, match="this Shout would arrive as a str"):
        event.encode({Shout("x"): 1})


class Opening(pydantic.BaseModel):
    at: time


class Closing(msgspec.Struct):
    at: time


@pytest.mark.parametrize("schema", [Opening, Closing])
def test_a_time_in_a_zone_with_a_name_has_no_offset_and_would_lose_it(schema: Any) -> None:
    event = Event[Any]("x", schema)
    message = schema(at=time(8, tzinfo=UTC))
    assert event.decode(event.encode(message)) == message
    with pytest.raises(EncodeError, match=r"time zone of this time would be lost - at `\$\.at`"):
        event.encode(schema(at=time(8, tzinfo=ZoneInfo("Europe/Berlin"))))


@pytest.mark.parametrize("schema", [datetime, Literal["a"]])
def test_an_error_does_not_repeat_a_long_message(schema: Any) -> None:
    """Some say what they were given; a log would have a megabyte for each event."""
    data = b'"' + b"x" * 1_000_000 + b'"'
    with pytest.raises(DecodeError, match=r"\(10000\d\d characters\)$") as caught:
        Event[Any]("x", schema).decode(data)
    assert len("".join(traceback.format_exception(caught.value))) < 5000
