"""Descriptions are valid JSON Schema, and say of messages what is true."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from tests.serializers import _messages as plain
from tests.serializers._messages import fitting
from tests.serializers._models import (
    MODELS,
    OBJECTS,
    SUBCLASSES,
    Circle,
    Drawing,
    Invoice,
    Renamed,
    Square,
)
from tests.serializers.test_more_arrive import FEW
from walnats_anyio import Event
from walnats_anyio.serializers import (
    BytesSerializer,
    DatetimeSerializer,
    EncodeError,
    MessagePackSerializer,
    get_serializer,
    json_schema,
)

DESCRIBED: dict[str, tuple[Any, Any]] = {
    **{str(schema): (schema, fitting(schema)) for schema in plain.SCHEMAS},
    **OBJECTS,
    **SUBCLASSES,
    **MODELS,
}
NOT_JSON = (BytesSerializer, DatetimeSerializer)
NOT_AS_DESCRIBED: dict[Any, str] = {
    Renamed: "the description is about what is read, which has other names",
    plain.Might: "msgspec lists the flags, and not their combinations",
}
"""Schemas of which messages are other than described, and why."""


@pytest.mark.parametrize("label", DESCRIBED)
def test_messages_are_as_described(label: str) -> None:
    schema, messages = DESCRIBED[label]
    event = Event("x", schema)
    described = json_schema(event._codec)
    if described is None:
        assert isinstance(event._codec, BytesSerializer)
        return
    assert json.loads(json.dumps(described)) == described
    Draft202012Validator.check_schema(described)
    if isinstance(event._codec, NOT_JSON) or schema in NOT_AS_DESCRIBED:
        return
    validator = Draft202012Validator(described)

    @FEW
    @given(messages)
    def check(message: Any) -> None:
        try:
            data = event.encode(message)
        except EncodeError:
            return
        validator.validate(json.loads(data))

    check()


def test_a_union_is_any_of_its_classes() -> None:
    described = json_schema(get_serializer(Drawing))
    assert described is not None
    assert described["$ref"] == "#/$defs/Drawing"
    shapes = described["$defs"]["Drawing"]["properties"]["shapes"]
    assert shapes["items"] == {
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in ("Circle", "Square", "Line")]
    }
    validator = Draft202012Validator(described)
    assert validator.is_valid({"shapes": [{"radius": 1}, {"start": 1, "end": 2}]})
    assert not validator.is_valid({"shapes": [{"radius": "1"}]})


def test_a_subclass_is_described_as_what_it_is_derived_from() -> None:
    described = json_schema(get_serializer(Invoice))
    assert described is not None
    properties = described["$defs"]["Invoice"]["properties"]
    assert properties["to"] == {"type": "string"}
    assert properties["prices"] == {
        "type": "object",
        "additionalProperties": {"type": "integer"},
    }


class Folder(dict[str, "Folder"]):
    """It contains itself, and has no name in the description."""


def test_a_subclass_that_contains_itself_is_described_as_far_as_it_goes() -> None:
    event = Event("x", Folder)
    message = Folder(a=Folder(b=Folder()))
    assert event.decode(event.encode(message)) == message
    described = json_schema(event._codec)
    assert described is not None
    assert (described["type"], described["additionalProperties"]) == ("object", {})


class Defaults(msgspec.Struct):
    """Defaults that are no JSON."""

    moment: datetime = datetime(2020, 1, 1, tzinfo=UTC)
    pair: tuple[int, int] = (1, 2)
    endless: float = float("inf")
    raw: bytes = b"\xff"
    choice: Circle | Square = Circle(1.0)


def test_defaults_are_json_or_left_out() -> None:
    described = json_schema(get_serializer(Defaults))
    assert described is not None
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    properties = described["$defs"]["Defaults"]["properties"]
    assert {name: each["default"] for name, each in properties.items() if "default" in each} == {
        "moment": "2020-01-01T00:00:00Z",
        "pair": [1, 2],
        "raw": "/w==",
        "choice": {"radius": 1.0},
    }


class Sentinel(msgspec.Struct):
    anything: Any = object()


def test_without_all_defaults_there_is_no_description() -> None:
    assert json_schema(get_serializer(Sentinel)) is None


def test_message_pack_is_described_by_its_values() -> None:
    assert json_schema(MessagePackSerializer(Invoice)) == json_schema(get_serializer(Invoice))
