"""What a schema of marshmallow loads arrives as it is, or is refused."""

from __future__ import annotations

import dataclasses
import json
import pickle
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import marshmallow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from marshmallow import fields, validate

from walnats_anyio import Event, serializers
from walnats_anyio.serializers import (
    DecodeError,
    EncodeError,
    MarshmallowSerializer,
    get_serializer,
    json_schema,
)


class Color(Enum):
    RED = 1
    BLUE = 2


class LineSchema(marshmallow.Schema):
    sku = fields.String(required=True, validate=validate.Length(min=1))
    count = fields.Integer(required=True, strict=True)


class OrderSchema(marshmallow.Schema):
    id = fields.Integer(required=True, data_key="orderId")
    lines = fields.List(fields.Nested(LineSchema))
    parent = fields.Nested(lambda: OrderSchema(), allow_none=True)  # noqa: PLW0108 - not there yet
    at = fields.DateTime()
    day = fields.Date()
    span = fields.TimeDelta()
    key = fields.UUID()
    price = fields.Decimal(as_string=True)
    weight = fields.Float()
    gift = fields.Boolean()
    color = fields.Enum(Color)
    pair = fields.Tuple((fields.String(), fields.Integer()))
    stock = fields.Dict(keys=fields.Integer(), values=fields.String())
    extra = fields.Dict()
    tag = fields.Constant("order")


class Point:
    """It has no equality of its own, as in marshmallow's own examples."""

    def __init__(self, x: int, y: int) -> None:
        self.x = x
        self.y = y


class PointSchema(marshmallow.Schema):
    x = fields.Integer(required=True)
    y = fields.Integer(required=True)

    @marshmallow.post_load
    def make(self, data: dict[str, Any], **_: Any) -> Point:
        return Point(**data)


@dataclasses.dataclass
class Path2D:
    points: list[Point]


class Path2DSchema(marshmallow.Schema):
    points = fields.List(fields.Nested(PointSchema), required=True)

    @marshmallow.post_load
    def make(self, data: dict[str, Any], **_: Any) -> Path2D:
        return Path2D(**data)


class AccountSchema(marshmallow.Schema):
    name = fields.String(required=True)
    password = fields.String(load_only=True)
    level = fields.Integer(load_default=1)


class StockSchema(marshmallow.Schema):
    on_shelf = fields.Integer(attribute="count", data_key="onShelf", load_default=0)


class ReportSchema(marshmallow.Schema):
    name = fields.String(required=True)
    length = fields.Method("count", dump_only=True)

    def count(self, report: dict[str, Any]) -> int:
        return len(report["name"])


class LaxReportSchema(ReportSchema):
    class Meta:
        unknown = marshmallow.EXCLUDE


class EnvelopeSchema(marshmallow.Schema):
    name = fields.String(required=True)

    @marshmallow.post_dump
    def wrap(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"data": data}

    @marshmallow.pre_load
    def unwrap(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        inside: dict[str, Any] = data["data"]
        return inside


LINES = st.fixed_dictionaries({"sku": st.text(min_size=1), "count": st.integers()})
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "lines": st.lists(LINES, max_size=3),
    "parent": st.none() | st.fixed_dictionaries({"id": st.integers(), "tag": st.just("order")}),
    "at": st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(minutes=-19))])),
    "day": st.dates(),
    "span": st.integers(-(10**9), 10**9).map(lambda seconds: timedelta(seconds=seconds)),
    "key": st.uuids(),
    "price": st.decimals(allow_nan=False, allow_infinity=False),
    "weight": st.floats(allow_nan=False, allow_infinity=False),
    "gift": st.booleans(),
    "color": st.sampled_from(Color),
    "pair": st.tuples(st.text(), st.integers()),
    "stock": st.dictionaries(st.integers(), st.text(), max_size=3),
    "extra": st.dictionaries(st.text(), JSON, max_size=3),
}
ORDERS = st.fixed_dictionaries({"id": st.integers(), "tag": st.just("order")}, optional=OPTIONAL)


@settings(max_examples=40, deadline=None)
@given(ORDERS)
def test_what_goes_out_comes_back(order: dict[str, Any]) -> None:
    serializer = get_serializer(OrderSchema)
    back: Any = serializer.decode(serializer.encode(order))  # type: ignore[arg-type]  # a dict
    assert back == order
    for name, value in order.items():
        assert type(back[name]) is type(value)


def test_what_is_written() -> None:
    """The names of the wire, as walnats and every other program with the schema writes them."""
    data = MarshmallowSerializer(OrderSchema).encode({"id": 5, "color": Color.RED, "tag": "order"})
    assert json.loads(data) == {"orderId": 5, "color": "RED", "tag": "order"}


def test_objects_of_post_load() -> None:
    serializer = MarshmallowSerializer(Path2DSchema)
    back = serializer.decode(serializer.encode(Path2D([Point(1, 2), Point(3, 4)])))
    assert type(back) is Path2D
    assert [(type(point), point.x, point.y) for point in back.points] == [
        (Point, 1, 2),
        (Point, 3, 4),
    ]


def test_an_object_with_more_than_the_schema_says_is_refused() -> None:
    point = Point(1, 2)
    point.z = 3  # type: ignore[attr-defined]  # what the schema does not know is tested
    with pytest.raises(ValueError, match=r"at `\$.points\[0\].z`"):
        MarshmallowSerializer(Path2DSchema).encode(Path2D([point]))


def test_an_envelope_around_what_is_dumped() -> None:
    serializer = MarshmallowSerializer(EnvelopeSchema)
    assert json.loads(serializer.encode({"name": "a"})) == {"data": {"name": "a"}}
    assert serializer.decode(b'{"data": {"name": "a"}}') == {"name": "a"}


class JSONAsBytes:
    """As orjson has it."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        return json.dumps(value).encode()

    loads = staticmethod(json.loads)


class FastSchema(marshmallow.Schema):
    class Meta:
        render_module = JSONAsBytes

    name = fields.String()


class ManySchema(marshmallow.Schema):
    name = fields.String()

    def __init__(self) -> None:
        super().__init__(many=True)


def test_schemas_with_a_json_library_of_their_own_and_of_lists() -> None:
    fast, many = MarshmallowSerializer(FastSchema), MarshmallowSerializer(ManySchema)
    assert fast.decode(fast.encode({"name": "ä"})) == {"name": "ä"}
    messages = [{"name": "a"}, {}]
    assert many.decode(many.encode(messages)) == messages
    with pytest.raises(ValueError, match=r"at `\$\[1\].name`"):
        many.decode(b'[{}, {"name": 1}]')


@pytest.mark.parametrize(
    ("schema", "message", "told"),
    [
        (OrderSchema, None, r"not be loaded: .*required field. - at `\$.orderId`"),
        (OrderSchema, {}, r"not be loaded: .*required field. - at `\$.orderId`"),
        (OrderSchema, {"id": 1}, "the field 'tag' would be added"),
        (OrderSchema, {"id": "1", "tag": "order"}, "this str would arrive as a int"),
        (OrderSchema, {"id": True, "tag": "order"}, "this bool would arrive as a int"),
        (OrderSchema, {"id": 1, "tag": "other"}, "would arrive as another str"),
        (OrderSchema, {"id": 1, "tag": "order", "more": 1}, "3 keys would arrive as 2"),
        (OrderSchema, {"id": 1, "tag": "order", "lines": [{"sku": "", "count": 1}]}, "Shorter"),
        (OrderSchema, {"id": 1, "tag": "order", "lines": ({"sku": "a", "count": 1},)}, "tuple"),
        (OrderSchema, {"id": 1, "tag": "order", "extra": {1: 2}}, r"int .* str - .*keys\(\)"),
        (OrderSchema, {"id": 1, "tag": "order", "at": datetime(2020, 1, 1).date()}, "date"),  # noqa: DTZ001 - any day
        (OrderSchema, [{"id": 1, "tag": "order"}], "not be loaded"),
        (PointSchema, {"x": 1, "y": 2}, "this dict would arrive as a Point"),
        (PointSchema, Point(1, 2.5), "this float would arrive as a int - at `\\$.y`"),  # type: ignore[arg-type]  # tested
        (AccountSchema, {"name": "a", "level": 1, "password": "x"}, "'password' would get lost"),
        (AccountSchema, {"name": "a"}, "the field 'level' would be added"),
        (StockSchema, {}, "the field 'count' would be added"),
        (ReportSchema, {"name": "a"}, r"not be loaded: Unknown field. - at `\$.length`"),
        (LaxReportSchema, {"name": "a", "length": 1}, "the field 'length' would get lost"),
    ],
)
def test_what_would_arrive_as_something_else_is_refused(
    schema: Any, message: Any, told: str
) -> None:
    event: Event[Any] = Event("order-placed", schema)
    with pytest.raises(EncodeError, match=f"'order-placed'.*{told}"):
        event.encode(message)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        # In another order than that of the schema, on both levels.
        (OrderSchema, {"lines": [{"count": 1, "sku": "a"}], "tag": "order", "id": 1}),
        (AccountSchema, {"level": 1, "name": "a"}),
        (LaxReportSchema, {"name": "abc"}),
        (StockSchema, {"count": 1}),
        (OrderSchema, {"id": 1, "tag": "order", "weight": 2}),
    ],
)
def test_what_arrives_as_good_as_it_is(schema: Any, message: Any) -> None:
    serializer = MarshmallowSerializer(schema)
    assert serializer.decode(serializer.encode(message)) == message


def test_without_the_check_the_schema_alone_decides() -> None:
    serializer = MarshmallowSerializer(AccountSchema, check=False)
    data = serializer.encode({"name": "a", "password": "x"})
    assert serializer.decode(data) == {"name": "a", "level": 1}


def test_values_are_not_told() -> None:
    with pytest.raises(ValueError, match="get lost") as caught:
        MarshmallowSerializer(AccountSchema).encode({"name": "a", "level": 1, "password": "secret"})
    assert "secret" not in str(caught.value)


# What arrives


def test_bad_data_names_the_event_and_every_place() -> None:
    event: Event[Any] = Event("order-placed", OrderSchema)
    data = b'{"orderId": "x", "lines": [{"sku": "a", "count": 1}, {"sku": "", "count": "2"}]}'
    with pytest.raises(DecodeError) as caught:
        event.decode(data)
    told = str(caught.value)
    assert "event 'order-placed' takes OrderSchema" in told
    assert "Not a valid integer. - at `$.orderId`" in told
    assert "Shorter than minimum length 1. - at `$.lines[1].sku`" in told
    assert "Not a valid integer. - at `$.lines[1].count`" in told
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(DecodeError, match=r"Invalid input type. - at `\$`$"):
        event.decode(b"[]")


def test_errors_are_bounded() -> None:
    """Whoever sends rubbish does not decide how much is logged."""
    unknown = {f"{number}-{'x' * 1000}": 1 for number in range(1000)}
    with pytest.raises(ValueError, match=r"; and more$") as caught:
        MarshmallowSerializer(OrderSchema).decode(json.dumps(unknown).encode())
    assert len(str(caught.value)) < 2000


@settings(max_examples=40, deadline=None)
@given(st.binary() | st.from_regex(rb'\{"orderId": ?[\d"a]*[ -~]*\}?', fullmatch=True))
def test_rubbish_is_a_value_error_or_a_message(data: bytes) -> None:
    serializer: Any = get_serializer(OrderSchema)
    try:
        message = serializer.decode(data)
    except (ValueError, RecursionError):
        return
    # `tag` is added by the schema.
    assert serializer.decode(serializer.encode(message)) == message


# The serializer itself


def test_its_serializer_is_picked() -> None:
    assert get_serializer(OrderSchema) == MarshmallowSerializer(OrderSchema)
    assert MarshmallowSerializer.new(int) is None
    assert MarshmallowSerializer.new(OrderSchema()) is None  # type: ignore[arg-type]  # no schema
    assert MarshmallowSerializer.content_type == "application/json"


def test_it_is_a_value() -> None:
    serializer = MarshmallowSerializer(OrderSchema)
    assert serializer == MarshmallowSerializer(OrderSchema)
    assert serializer != MarshmallowSerializer(LineSchema)
    assert serializer != MarshmallowSerializer(OrderSchema, check=False)
    assert hash(serializer) == hash(MarshmallowSerializer(OrderSchema))
    unchecked = MarshmallowSerializer(OrderSchema, check=False)
    assert pickle.loads(pickle.dumps(unchecked)) == unchecked
    again = pickle.loads(pickle.dumps(serializer))
    assert again == serializer
    assert again.decode(b'{"orderId": 1}') == {"id": 1, "tag": "order"}


class NeedsArguments(marshmallow.Schema):
    def __init__(self, tenant: str) -> None:
        super().__init__()
        self.tenant = tenant


@pytest.mark.parametrize("schema", [int, None, dict[str, Any], marshmallow.Schema, OrderSchema()])
def test_other_schemas_are_refused(schema: Any) -> None:
    with pytest.raises(TypeError, match="MarshmallowSerializer takes a class derived from"):
        MarshmallowSerializer(schema)


def test_a_schema_that_needs_arguments_is_refused() -> None:
    with pytest.raises(TypeError, match=r"NeedsArguments must be .* without arguments: .*tenant"):
        MarshmallowSerializer(NeedsArguments)


# JSON Schema


class ItemSchema(marshmallow.Schema):
    kind = fields.String(validate=validate.OneOf([date(2020, 1, 1), "b"]), load_default="b")
    amount = fields.Integer(validate=validate.Range(min=1), allow_none=True)


class Outer:
    class ItemSchema(marshmallow.Schema):
        name = fields.String()


class ShelfSchema(marshmallow.Schema):
    item = fields.Nested(ItemSchema, required=True)
    other = fields.Nested(Outer.ItemSchema)
    named = fields.Nested(ItemSchema(only=["kind"]))
    shelf = fields.Nested(lambda: ShelfSchema())  # noqa: PLW0108 - not there yet


@settings(max_examples=20, deadline=None)
@given(ORDERS)
def test_the_json_schema_describes_what_is_written(order: dict[str, Any]) -> None:
    serializer = MarshmallowSerializer(OrderSchema)
    schema = json_schema(serializer)
    assert schema is not None
    Draft202012Validator(schema).validate(json.loads(serializer.encode(order)))


def test_the_json_schema_refuses_what_is_none() -> None:
    schema = json_schema(MarshmallowSerializer(OrderSchema))
    assert schema is not None
    Draft202012Validator.check_schema(schema)
    for wrong in ({}, {"orderId": "x"}, {"orderId": 1, "lines": [{"sku": "a"}]}, {"id": 1}):
        assert not Draft202012Validator(schema).is_valid(wrong)


def test_the_json_schema_of_schemas_inside() -> None:
    """Two of one name, one of them with other fields as well, and one that contains itself."""
    schema = json_schema(MarshmallowSerializer(ShelfSchema))
    assert schema is not None
    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$ref"] == "#/$defs/Shelf"
    assert len(schema["$defs"]) == 4
    validator = Draft202012Validator(schema)
    shelf = {"item": {"kind": "b", "amount": None}, "other": {"name": "x"}, "named": {"kind": "b"}}
    validator.validate({**shelf, "shelf": shelf})
    assert not validator.is_valid({**shelf, "named": {"amount": 5}})
    assert not validator.is_valid({**shelf, "shelf": {}})


def test_without_apispec_there_is_no_json_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    serializer = MarshmallowSerializer(OrderSchema)
    monkeypatch.delitem(sys.modules, f"{serializers.__name__}._marshmallow_schema", raising=False)
    monkeypatch.setitem(sys.modules, "apispec", None)  # as if it were not installed
    assert json_schema(serializer) is None


def test_a_message_of_a_uuid_and_a_price() -> None:
    """The types of a message, and not those of the wire."""
    serializer = MarshmallowSerializer(OrderSchema)
    order = {"id": 1, "tag": "order", "key": UUID(int=5), "price": Decimal("1.50")}
    back = serializer.decode(serializer.encode(order))
    assert back == order
    assert str(back["price"]) == "1.50"
