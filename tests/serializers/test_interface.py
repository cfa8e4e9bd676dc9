"""What a serializer is, which one a schema gets, and what is described of it."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from collections import OrderedDict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NewType, assert_type

import msgspec
import pydantic
import pytest

from tests.serializers._messages import Movie, Order, Pair, Point, User
from tests.serializers._models import Address, Blob, Cents, Circle, Email, Job, Moment, Square, Team
from walnats_anyio import Event, serializers
from walnats_anyio.serializers import (
    BytesSerializer,
    Codec,
    DataclassSerializer,
    DatetimeSerializer,
    MessagePackSerializer,
    MsgspecSerializer,
    PrimitiveSerializer,
    PydanticSerializer,
    Serializer,
    get_serializer,
    json_schema,
)

ROOT = Path(__file__).parent.parent.parent


class Upper(Serializer[str]):
    """As a user writes it who came from walnats: without a decorator."""

    def encode(self, message: str) -> bytes:
        return message.upper().encode()

    def decode(self, data: bytes) -> str:
        return data.decode().lower()


@dataclasses.dataclass(frozen=True)
class Padded(Serializer[str]):
    """With a field of its own."""

    width: int = 8

    @classmethod
    def new(cls, schema: Any, /) -> Padded | None:
        return cls(schema, 3) if schema is str else None

    def encode(self, message: str) -> bytes:
        return message.ljust(self.width).encode()

    def decode(self, data: bytes) -> str:
        return data.decode().rstrip()

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": self.width}


class Structural:
    """Nothing but the two methods."""

    def encode(self, message: str) -> bytes:
        return message.encode()

    def decode(self, data: bytes) -> str:
        return data.decode()


class Half(Serializer[str]):
    def encode(self, message: str) -> bytes:
        return b""


def test_a_subclass_takes_the_schema_and_is_a_value() -> None:
    assert Upper(str).schema is str
    assert Upper(str) == Upper(str)
    assert hash(Upper(str)) == hash(Upper(str))
    assert Upper(str) != Upper(Email)
    assert repr(Upper(str)) == "Upper(schema=<class 'str'>)"
    assert pickle.loads(pickle.dumps(Upper(str))) == Upper(str)
    assert Padded(str, 4) != Padded(str)


def test_new_makes_the_one_for_a_schema() -> None:
    assert Upper.new(str) == Upper(str)
    assert Padded.new(str) == Padded(str, 3)
    assert Padded.new(int) is None


def test_both_methods_are_needed() -> None:
    with pytest.raises(TypeError, match=r"abstract.*decode"):
        Half(str)  # type: ignore[abstract]  # what is tested  # pyright: ignore[reportAbstractUsage]


@pytest.mark.parametrize("serializer", [Upper(str), Padded(str), Structural()])
def test_an_event_takes_any(serializer: Codec[str]) -> None:
    event = Event("x", str, serializer)
    assert event.decode(event.encode("abc")) == "abc"


def test_an_event_takes_no_class() -> None:
    with pytest.raises(TypeError, match="must be an object with the methods encode and decode"):
        Event("x", str, Upper)  # type: ignore[arg-type]  # what is tested  # pyright: ignore[reportArgumentType]


if TYPE_CHECKING:
    assert_type(Event("x", str, Upper(str)), Event[str])
    assert_type(Event("x", str, Structural()), Event[str])
    assert_type(get_serializer(Address), Serializer[Address])
    assert_type(PydanticSerializer(Address).decode(b""), Address)
    assert_type(MessagePackSerializer(User).decode(b""), User)
    assert_type(DataclassSerializer(Point).decode(b""), Point)


PICKED: list[tuple[Any, type[Serializer[Any]]]] = [
    (bytes, BytesSerializer),
    (Blob, BytesSerializer),
    (NewType("Raw", bytes), BytesSerializer),
    (datetime, DatetimeSerializer),
    (date, DatetimeSerializer),
    (Moment, DatetimeSerializer),
    (Annotated[datetime, msgspec.Meta(tz=True)], DatetimeSerializer),
    (int, PrimitiveSerializer),
    (bool, PrimitiveSerializer),
    (None, PrimitiveSerializer),
    (type(None), PrimitiveSerializer),
    (dict, PrimitiveSerializer),
    (OrderedDict, PrimitiveSerializer),
    (Email, PrimitiveSerializer),
    (Cents, PrimitiveSerializer),
    (Annotated[int, msgspec.Meta(gt=0)], PrimitiveSerializer),
    (Point, DataclassSerializer),
    (Order, DataclassSerializer),
    (Movie, DataclassSerializer),
    (Circle | Square, DataclassSerializer),
    (Circle | None, MsgspecSerializer),
    (list[Circle], MsgspecSerializer),
    (User, MsgspecSerializer),
    (Pair, MsgspecSerializer),
    (list[int], MsgspecSerializer),
    (int | str, MsgspecSerializer),
    (bytes | None, MsgspecSerializer),
    (datetime | None, MsgspecSerializer),
    (Address, PydanticSerializer),
    (Address | None, PydanticSerializer),
    (list[Address], PydanticSerializer),
    (dict[str, tuple[Address, ...]], PydanticSerializer),
    (Annotated[Address, "note"], PydanticSerializer),
    (NewType("Home", Address), PydanticSerializer),
    (Job, PydanticSerializer),
    (Team, PydanticSerializer),
    (Annotated[int, pydantic.Field(gt=0)], PydanticSerializer),
    (pydantic.PositiveInt, PydanticSerializer),
    (pydantic.RootModel[int], PydanticSerializer),
]

if sys.version_info >= (3, 12):
    from typing import TypeAliasType

    PICKED.append((TypeAliasType("Homes", list[Address]), PydanticSerializer))
    PICKED.append((TypeAliasType("Shape", Circle | Square), DataclassSerializer))


@pytest.mark.parametrize(("schema", "kind"), PICKED, ids=str)
def test_the_schema_decides(schema: Any, kind: type[Serializer[Any]]) -> None:
    assert type(get_serializer(schema)) is kind
    assert type(Event("x", schema)._codec) is kind


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (BytesSerializer, str),
        (BytesSerializer, bytearray),
        (DatetimeSerializer, int),
        (PrimitiveSerializer, bytes),
        (PrimitiveSerializer, User),
        (PrimitiveSerializer, Movie),
        (PrimitiveSerializer, list[int]),
        (DataclassSerializer, User),
        (DataclassSerializer, int),
        (DataclassSerializer, Circle | None),
        (PydanticSerializer, int),
        (PydanticSerializer, Point),
    ],
)
def test_new_leaves_other_schemas_alone(kind: type[Serializer[Any]], schema: Any) -> None:
    assert kind.new(schema) is None
    if kind is not PydanticSerializer:
        with pytest.raises(TypeError, match=rf"^{kind.__name__} takes .*, not "):
            kind(schema)


class Unknown:
    pass


def test_no_serializer_is_a_lookup_error_with_what_would_work() -> None:
    with pytest.raises(LookupError, match="no serializer for the schema Unknown") as caught:
        get_serializer(Unknown)
    told = str(caught.value)
    assert "use a msgspec.Struct, a dataclass" in told
    assert "pass `serializer=`" in told
    assert "pydantic models (pip install 'walnats-anyio[pydantic]')" in told


def test_at_an_event_it_is_a_type_error_that_names_the_event() -> None:
    with pytest.raises(TypeError, match=r"^event 'x': no serializer for the schema Unknown"):
        Event("x", Unknown)


MISSING = """
import sys
import walnats_anyio
assert "pydantic" not in sys.modules
from dataclasses import dataclass
@dataclass
class Point:
    x: int
assert walnats_anyio.Event("x", Point).encode(Point(1)) == b'{"x":1}'
assert "pydantic" not in sys.modules
assert "PydanticSerializer" in dir(walnats_anyio.serializers)
sys.modules["pydantic"] = None  # as if it were not installed
try:
    walnats_anyio.serializers.PydanticSerializer
except ImportError as error:
    assert "pip install 'walnats-anyio[pydantic]'" in str(error), error
    print("named")
"""


def test_a_missing_package_names_its_extra() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", MISSING], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert shown.stdout.split() == ["named"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Elsewhere'"):
        serializers.Elsewhere  # noqa: B018 - to look it up is the test


@pytest.mark.parametrize(
    "serializer",
    [
        MessagePackSerializer(User),
        MessagePackSerializer(User, check=False),
        DataclassSerializer(Circle | Square),
        PrimitiveSerializer(Email),
        BytesSerializer(Blob),
        DatetimeSerializer(Moment),
        PydanticSerializer(Address),
        PydanticSerializer(list[Address], check=False),
    ],
    ids=repr,
)
def test_serializers_are_values(serializer: Serializer[Any]) -> None:
    copy = pickle.loads(pickle.dumps(serializer))
    assert type(copy) is type(serializer)
    assert copy == serializer
    assert hash(copy) == hash(serializer)
    assert repr(copy) == repr(serializer)
    assert type(serializer).__module__ == "walnats_anyio.serializers"


@pytest.mark.parametrize(
    ("serializer", "media_type"),
    [
        (get_serializer(User), "application/json"),
        (get_serializer(Address), "application/json"),
        (get_serializer(bytes), "application/octet-stream"),
        (get_serializer(date), "text/plain"),
        (MessagePackSerializer(User), "application/vnd.msgpack"),
        (Upper(str), "application/octet-stream"),
    ],
)
def test_each_has_a_media_type(serializer: Serializer[Any], media_type: str) -> None:
    assert serializer.content_type == media_type


# Descriptions.


class Talkative(Structural):
    def json_schema(self) -> Any:
        return "anything"


def test_without_a_description_there_is_none() -> None:
    assert json_schema(Structural()) is None
    assert json_schema(Upper(str)) is None
    assert json_schema(get_serializer(bytes)) is None


def test_a_description_of_ones_own_is_taken() -> None:
    assert json_schema(Padded(str)) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "string",
        "maxLength": 8,
    }


def test_a_description_must_be_a_dict() -> None:
    with pytest.raises(TypeError, match="must return a dict or None, not 'anything'"):
        json_schema(Talkative())


def test_a_description_is_a_new_one_each_time() -> None:
    serializer = get_serializer(User)
    first = json_schema(serializer)
    assert first is not None
    first["$defs"].clear()
    assert json_schema(serializer) != first
