"""Messages of Protocol Buffers arrive as they are, or are refused."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import NULL_VALUE, Struct
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.serializers._protobuf import (
    COLOUR,
    CONTENT,
    Crate,
    Line,
    OldOrder,
    Order,
    Parcel,
    Parcels,
)
from walnats_anyio import Event
from walnats_anyio.serializers import (
    DecodeError,
    EncodeError,
    GZipSerializer,
    ProtobufSerializer,
    get_serializer,
    json_schema,
)

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
LINES = st.builds(Line, sku=st.text(), count=st.integers(0, 2**32 - 1))
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "id": INT32,
    "total_cents": INT64,
    "big": st.integers(0, 2**64 - 1),
    "weight": st.floats(),
    "customer": st.text(),
    "raw": st.binary(),
    "gift": st.booleans(),
    "status": st.integers(0, 5),  # also those without a name
    "lines": st.lists(LINES, max_size=3),
    "codes": st.lists(INT64, max_size=3),
    "stock": st.dictionaries(st.text(), INT64, max_size=3),
    "shelves": st.dictionaries(INT32, LINES, max_size=3),
    "floor": INT32,
    "at": st.builds(Timestamp, seconds=st.integers(0, 2**32), nanos=st.integers(0, 10**9 - 1)),
}
PAYMENTS = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"card": st.text()}),
    st.fixed_dictionaries({"voucher": LINES}),
    st.fixed_dictionaries({"cash": st.booleans()}),
    st.just({"nothing": NULL_VALUE}),
)


@st.composite
def orders(draw: st.DrawFn, depth: int = 1) -> Any:
    fields = draw(st.fixed_dictionaries({}, optional=FIELDS))
    order = Order(**fields, **draw(PAYMENTS))
    if depth and draw(st.booleans()):
        order.parent.CopyFrom(draw(orders(depth - 1)))
    return order


def set_fields(message: Message) -> list[str]:
    return [field.name for field, _ in message.ListFields()]


@settings(max_examples=40, deadline=None)
@given(orders())
def test_what_goes_out_comes_back(order: Any) -> None:
    serializer = get_serializer(Order)
    data = serializer.encode(order)
    back: Any = serializer.decode(data)
    assert type(back) is Order
    # Text shows a NaN, which is equal to nothing in one of protobuf's implementations.
    assert back == order or str(back) == str(order)
    assert back.WhichOneof("payment") == order.WhichOneof("payment")
    assert back.HasField("floor") == order.HasField("floor")
    assert set_fields(back) == set_fields(order)
    assert serializer.encode(back) == data


@settings(max_examples=15, deadline=None)
@given(orders())
def test_the_json_schema_describes_the_json_of_protobuf(order: Any) -> None:
    schema = json_schema(ProtobufSerializer(Order))
    assert schema is not None
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json_format.MessageToDict(order))


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "x"},
        {"id": 2**31},
        {"totalCents": "1.5"},
        {"weight": "big"},
        {"raw": 5},
        {"status": "LOST"},
        {"lines": {}},
        {"lines": [{"count": -1}]},
        {"stock": {"a": "b"}},
        {"parent": {"gift": 1}},
        {"at": 5},
        {"extra": 5},
    ],
)
def test_the_json_schema_refuses_what_is_none(wrong: dict[str, Any]) -> None:
    schema = json_schema(ProtobufSerializer(Order))
    assert schema is not None
    assert not Draft202012Validator(schema).is_valid(wrong)


def test_the_json_schema_of_a_well_known_message() -> None:
    schema = json_schema(ProtobufSerializer(Timestamp))
    assert schema is not None
    assert (schema["type"], schema["format"]) == ("string", "date-time")


def test_null_is_null() -> None:
    schema = json_schema(ProtobufSerializer(Order))
    assert schema is not None
    written = json_format.MessageToDict(Order(nothing=NULL_VALUE))
    assert written == {"nothing": None}
    assert Draft202012Validator(schema).is_valid(written)
    assert not Draft202012Validator(schema).is_valid({"nothing": 5})


def test_the_json_schema_names_required_fields_and_the_values_of_closed_enums() -> None:
    schema = json_schema(ProtobufSerializer(Parcel))
    assert schema is not None
    described = schema["$defs"]["wa_old.Parcel"]
    assert described["required"] == ["id"]
    assert described["properties"]["size"] == {"enum": ["SMALL", "LARGE"]}


def test_its_serializer_is_picked() -> None:
    assert get_serializer(Timestamp) == ProtobufSerializer(Timestamp)
    assert ProtobufSerializer.new(int) is None
    assert ProtobufSerializer.new(Timestamp(seconds=1)) is None  # type: ignore[arg-type]  # no schema
    assert ProtobufSerializer.content_type == "application/protobuf"


def test_it_is_a_value() -> None:
    serializer: Any = ProtobufSerializer(Timestamp)
    assert serializer == ProtobufSerializer(Timestamp)
    assert serializer != ProtobufSerializer(Timestamp, check=False)
    assert serializer != ProtobufSerializer(Struct)
    assert pickle.loads(pickle.dumps(serializer)) == serializer
    assert hash(serializer) == hash(ProtobufSerializer(Timestamp))


@pytest.mark.parametrize("schema", [int, None, Message, Timestamp(seconds=1), "Timestamp"])
def test_other_schemas_are_refused(schema: Any) -> None:
    with pytest.raises(TypeError, match="ProtobufSerializer takes a class that protoc made"):
        ProtobufSerializer(schema)


@pytest.mark.parametrize("message", [None, b"", Struct(), Timestamp, 5])
def test_other_messages_are_refused(message: Any) -> None:
    with pytest.raises(
        EncodeError, match=r"'opened'.* expected google.protobuf.timestamp_pb2.Timestamp, got "
    ):
        Event("opened", Timestamp).encode(message)


# Fields the receiver does not know, extensions, defaults


def test_unknown_fields_travel_on() -> None:
    """A service of an older version of the schema passes on what it does not know."""
    new = Order(id=1, customer="Kim", stock={"a": 1})
    old: Any = ProtobufSerializer(OldOrder)
    seen = old.decode(ProtobufSerializer(Order).encode(new))
    assert seen.id == 1
    assert seen != OldOrder(id=1)
    assert old.decode(old.encode(seen)) == seen
    assert ProtobufSerializer(Order).decode(old.encode(seen)) == new


def test_extensions_arrive() -> None:
    crate = Crate(id=1)
    crate.Extensions[COLOUR] = "red"
    crate.Extensions[CONTENT].id = 5
    serializer = ProtobufSerializer(Crate)
    back: Any = serializer.decode(serializer.encode(crate))
    assert back == crate
    assert back.Extensions[COLOUR] == "red"
    assert back.Extensions[CONTENT] == Parcel(id=5)


def test_a_value_equal_to_the_default_is_not_one_that_is_missing() -> None:
    serializer = ProtobufSerializer(Parcel)
    absent: Any = serializer.decode(serializer.encode(Parcel(id=1)))
    given: Any = serializer.decode(serializer.encode(Parcel(id=1, note="none")))
    assert absent.note == given.note == "none"
    assert not absent.HasField("note")
    assert given.HasField("note")


def test_an_empty_message_inside_is_not_one_that_is_missing() -> None:
    order = Order(id=1)
    order.voucher.SetInParent()
    serializer = ProtobufSerializer(Order)
    back: Any = serializer.decode(serializer.encode(order))
    assert back.WhichOneof("payment") == "voucher"
    # To have looked at a field sets nothing.
    looked = Order(id=1)
    assert not looked.voucher.sku
    assert serializer.decode(serializer.encode(looked)) == Order(id=1)


# What does not fit


def test_a_missing_required_field_is_refused_in_both_directions() -> None:
    event: Any = Event("packed", Parcels)
    incomplete = Parcels(all=[Parcel(note="x")])
    with pytest.raises(EncodeError, match=r"packed.*required fields: all\[0\].id"):
        event.encode(incomplete)
    with pytest.raises(ValueError, match=r"required fields: all\[0\].id"):
        ProtobufSerializer(Parcels).encode(incomplete)
    data = Parcels(all=[Parcel(id=1), Parcel(note="x")]).SerializePartialToString()
    with pytest.raises(DecodeError, match=r"packed.*required fields are missing: all\[1\].id"):
        event.decode(data)
    crate = Crate()
    crate.Extensions[CONTENT].note = "x"
    with pytest.raises(ValueError, match=r"required fields are missing: .*id"):
        ProtobufSerializer(Crate).decode(crate.SerializePartialToString())


def nested(levels: int) -> Any:
    order = Order(id=1)
    for _ in range(levels):
        order = Order(parent=order)
    return order


def test_what_nobody_can_decode_is_refused() -> None:
    """Protobuf writes messages nested as deep as you like, and reads 100 levels."""
    event: Any = Event("nested", Order)
    assert event.decode(event.encode(nested(98))) == nested(98)
    with pytest.raises(EncodeError, match=r"'nested'.* nobody could decode it"):
        event.encode(nested(101))
    unchecked = ProtobufSerializer(Order, check=False)
    data = unchecked.encode(nested(101))
    with pytest.raises(DecodeError, match="'nested'"):
        event.decode(data)


def test_a_nan_arrives() -> None:
    serializer = ProtobufSerializer(Order)
    back: Any = serializer.decode(serializer.encode(Order(weight=float("nan"))))
    assert back.weight != back.weight


@settings(max_examples=60, deadline=None)
@given(st.binary())
def test_rubbish_is_a_value_error_or_a_message(data: bytes) -> None:
    serializer = get_serializer(Order)
    try:
        message = serializer.decode(data)
    except ValueError:
        return
    assert serializer.decode(serializer.encode(message)) == message or "nan" in str(message)


def test_bad_data_names_the_event_and_the_cause() -> None:
    with pytest.raises(
        DecodeError, match=r"'opened' takes Timestamp.* \(8 bytes\) does not fit: \w+"
    ):
        Event("opened", Timestamp).decode(b'{"id":1}')


def test_equal_messages_give_equal_bytes() -> None:
    """So that what hashes payloads, deduplication for instance, takes them for the same."""
    keys = [f"key {number}" for number in range(50)]
    one = Order(stock=dict.fromkeys(keys, 1))
    other = Order(stock=dict.fromkeys(reversed(keys), 1))
    assert ProtobufSerializer(Order).encode(one) == ProtobufSerializer(Order).encode(other)


def test_inside_a_wrapper() -> None:
    wrapped = GZipSerializer(Timestamp)
    assert wrapped == GZipSerializer(Timestamp, ProtobufSerializer(Timestamp))
    assert wrapped.decode(wrapped.encode(Timestamp(seconds=5))) == Timestamp(seconds=5)
    assert json_schema(wrapped) == json_schema(ProtobufSerializer(Timestamp))
    assert GZipSerializer(int).serializer == get_serializer(int)
