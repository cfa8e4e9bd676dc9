"""What JSON Schema has no keywords for is compared as well: the decoders have the last word."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
import pydantic
import pytest
from pydantic import Field

from walnats_anyio.serializers import (
    Codec,
    MessagePackSerializer,
    MsgspecSerializer,
    PydanticSerializer,
    compatibility,
    wire_schema,
)

T = TypeVar("T")


class Two(enum.Flag):
    A = 1
    B = 2


class Three(enum.Flag):
    A = 1
    B = 2
    C = 4


class Gap(enum.Flag):
    A = 1
    C = 4


class Kept(enum.IntFlag):
    A = 1


class One(enum.IntEnum):
    A = 1
    B = 2


class Moment(datetime):
    pass


class Box(msgspec.Struct, Generic[T]):
    value: T


@dataclasses.dataclass
class Counted:
    a: int
    b: int = dataclasses.field(init=False, default=0)


@dataclasses.dataclass
class Both:
    a: int
    b: int


class Hidden(pydantic.BaseModel):
    a: int
    b: int = Field(default=0, exclude=True)


class Made(pydantic.BaseModel):
    a: int
    b: list[int] = Field(default_factory=list)


class Required(pydantic.BaseModel):
    a: int
    b: Any


def read_by(
    serializer: type[Any], old: Any, new: Any, message: Any
) -> tuple[list[str], Exception | None]:
    """What is told of two versions, and what the new one says of a message of the old one."""
    one: Codec[Any] = serializer(old)
    other: Codec[Any] = serializer(new)
    written, read = wire_schema(one), wire_schema(other)
    assert written is not None
    assert read is not None
    breaks = [str(each) for each in compatibility(written, read)]
    try:
        other.decode(one.encode(message))
    except ValueError as error:
        return breaks, error
    return breaks, None


DAY = date(2020, 1, 1)
AWARE = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("serializer", [MsgspecSerializer, MessagePackSerializer])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (Two, Literal[1, 2], Two(3)),
        (Two, Three, Two(3)),
        (Three, Two, Three.C),
        (Gap, Two, Gap(5)),
        (Gap, Three, Gap(5)),
        (Three, Gap, Three(6)),
        (Two, One, Two(0)),
        (Two, int, Two(3)),
        (Kept, One, Kept(8)),
        (Kept, int, Kept(8)),
        (int, Kept, 8),
        (dict[int, Two], dict[int, One], {1: Two(3)}),
        (int, Decimal, 1),
        (float, Decimal, 1.5),
        (Decimal, str, Decimal("1.5")),
        (Decimal, Decimal | None, Decimal("1.5")),
        (str, Decimal, ""),
        (Counted, Both, Counted(1)),
        (Both, Counted, Both(1, 2)),
        (Box[int], Box[str], Box(1)),
        (Box[int], Box[int | None], Box(1)),
        (Box[Box[int]], Box[Box[float]], Box(Box(1))),
        (Moment, str, Moment(2020, 1, 1)),
        (Annotated[bytes, msgspec.Meta(max_length=2)], bytes, b"a"),
        (bytes, Annotated[bytes, msgspec.Meta(max_length=2)], b"abc"),
    ],
    ids=str,
)
def test_types_of_msgspec(serializer: type[Any], old: Any, new: Any, message: Any) -> None:
    breaks, error = read_by(serializer, old, new, message)
    assert bool(breaks) == (error is not None), breaks or error


def test_a_moment_with_a_class_of_its_own_is_text_in_message_pack() -> None:
    breaks, error = read_by(MessagePackSerializer, datetime, Moment, AWARE)
    assert breaks
    assert error is not None
    assert read_by(MessagePackSerializer, Moment, str, Moment(2020, 1, 1)) == ([], None)


def held(kind: Any) -> Any:
    return pydantic.create_model("Held", value=(kind, ...))


def limited(kind: Any, **limits: Any) -> Any:
    return Annotated[kind, Field(**limits)]


def changed(**changes: Any) -> Any:
    return Annotated[str, pydantic.StringConstraints(**changes)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (str, Decimal, ""),
        (int, Decimal, 1),
        (float, Decimal, 1.5),
        (Decimal, str, Decimal("1.5")),
        (Decimal, float, Decimal("1.5")),  # a text, which pydantic reads as a number: see below
        (int, limited(Decimal, ge=2), 1),
        (limited(int, ge=2), limited(Decimal, ge=2), 2),
        (Decimal, limited(Decimal, ge=2), Decimal(1)),
        (limited(Decimal, ge=2), Decimal, Decimal(2)),
        (Decimal, limited(Decimal, max_digits=2), Decimal(100)),
        (int, limited(Decimal, max_digits=2), 100),
        (float, limited(Decimal, decimal_places=1), 0.25),
        (limited(Decimal, decimal_places=1), Decimal, Decimal("0.2")),
        (limited(Decimal, allow_inf_nan=True), Decimal, Decimal("Infinity")),
        (Decimal, limited(Decimal, allow_inf_nan=True), Decimal(1)),
        (str, complex, "a"),
        (float, complex, 1.5),
        (complex, complex | None, 1j),
        (date, limited(date, gt=DAY), DAY),
        (limited(date, gt=DAY), date, date(2021, 1, 1)),
        (pydantic.PastDate, date, DAY),
        (datetime, limited(datetime, lt=datetime(2000, 1, 1)), datetime(2020, 1, 1)),  # noqa: DTZ001 - it has none
        (pydantic.PastDatetime, datetime, datetime(2020, 1, 1)),  # noqa: DTZ001 - likewise
        (timedelta, limited(timedelta, gt=timedelta(0)), timedelta(days=-1)),
        (Two, Literal[1, 2], Two(3)),
        (Two, Three, Two(3)),
        (Three, Two, Three.C),
        (Kept, One, Kept(8)),
        (str, changed(strip_whitespace=True, min_length=1), " "),
        (str, changed(strip_whitespace=True), " "),
        (pydantic.Json[list[int]], pydantic.Json[list[str]], "[1]"),
        (pydantic.Json[list[int]], pydantic.Json[list[int]] | None, "[1]"),
        (pydantic.UUID4, UUID, UUID("9d4cd55c-4e36-4df1-b8a4-2ad2b1cb2a85")),
        (UUID, pydantic.UUID4, UUID(int=0)),
        (ipaddress.IPv4Address, pydantic.IPvAnyAddress, ipaddress.IPv4Address("1.2.3.4")),
        (Hidden, Required, Hidden(a=1)),
        (Made, Required, Made(a=1)),
    ],
    ids=str,
)
def test_types_of_pydantic(old: Any, new: Any, message: Any) -> None:
    one = held(old)
    breaks, error = read_by(PydanticSerializer, one, held(new), one(value=message))
    may_be_strict = new is float  # strict models read no text as a number, which is not told
    assert may_be_strict or bool(breaks) == (error is not None), breaks or error


@pytest.mark.skipif(pydantic.VERSION < "2.12", reason="new in pydantic 2.12")
def test_a_field_that_is_sometimes_left_out() -> None:
    field: Any = {
        "default": 0,
        "exclude_if": lambda value: value == 0,
    }  # type checkers may not know it
    sometimes = pydantic.create_model("Sometimes", a=(int, ...), b=(int, Field(**field)))
    breaks, error = read_by(PydanticSerializer, sometimes, Required, sometimes(a=1))
    assert breaks
    assert error is not None


# Strangers


def chain(keyword: str, length: int) -> dict[str, Any]:
    """Each part is twice the next one."""
    parts: dict[str, Any] = {f"p{length}": {"type": "string"}}
    for index in range(length):
        parts[f"p{index}"] = {keyword: [{"$ref": f"#/$defs/p{index + 1}"}] * 2}
    return {"$ref": "#/$defs/p0", "$defs": parts}


WIDE = {
    "anyOf": [{"$ref": "#/$defs/a"}] * 1500,
    "$defs": {"a": {"type": "object", "properties": {f"f{n}": {} for n in range(1500)}}},
}


@pytest.mark.parametrize(
    "old",
    [*(chain(keyword, 40) for keyword in ("anyOf", "oneOf", "allOf")), chain("allOf", 25), WIDE],
    ids=["anyOf", "oneOf", "allOf", "short", "wide"],
)
def test_a_small_schema_with_very_many_parts_is_given_up(old: dict[str, Any]) -> None:
    new: dict[str, Any] = {"type": "object", "properties": {f"f{n}": {} for n in range(100)}}
    started = time.process_time()
    (found,) = compatibility(old, new)
    assert "too large or too deep" in found.reason
    assert time.process_time() - started < 5


def test_many_constants_are_looked_up() -> None:
    old, new = {"enum": list(range(3000))}, {"enum": list(range(3000, -1, -1))}
    started = time.process_time()
    assert compatibility(old, new) == []
    assert time.process_time() - started < 2
    (found,) = compatibility({"enum": ["1", 1.0, True, 1]}, {"enum": ["1", 1.0, True]})
    assert found.reason.startswith("may be 1, ")


def test_a_long_name_is_shortened() -> None:
    old = {"type": "object", "properties": {"x" * 50_000: {}}}
    (found,) = compatibility(old, {"type": "object", "additionalProperties": False})
    assert len(str(found)) < 200
