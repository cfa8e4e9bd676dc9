"""The serializers of walnats 1.2.6 on the other side of the wire, in both directions."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import marshmallow
import msgspec
import nats
import pydantic
import pytest
import walnats as peers
from cryptography.fernet import Fernet
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from marshmallow import fields
from walnats import serializers as theirs

import walnats_anyio as walnats
from tests.support.waiting import until
from walnats_anyio import serializers as ours

KEY = Fernet.generate_key()
SECRET = b"a secret of both"
LONG = 60.0


@dataclass
class Order:
    number: int
    customer: str
    price: float | None = None


class OrderStruct(msgspec.Struct):
    """The same on the wire."""

    number: int
    customer: str
    price: float | None = None


class OrderModel(pydantic.BaseModel):
    number: int
    customer: str = "nobody"


class OrderSchema(marshmallow.Schema):
    number = fields.Integer(required=True, data_key="orderNumber")
    placed = fields.DateTime()
    lines = fields.List(fields.String())


EXTRA = Struct()
EXTRA.update({"a": [1.5, "ä", None, {"b": True}]})
ORDER = Order(1, "Kim ä", 1.5)

PLAIN: list[tuple[Any, Any]] = [
    (Order, ORDER),
    (Order, Order(-(2**63), "")),
    (Timestamp, Timestamp(seconds=2**33, nanos=5)),
    (Struct, EXTRA),
    (OrderSchema, {"number": 1, "lines": ["a", "ä"], "placed": datetime(2020, 1, 2, tzinfo=UTC)}),
    (OrderSchema, {"number": 1}),
    (bytes, b"\x00\xff"),
    (str, "Kim ä \U0001f980"),
    (int, 2**64 - 1),
    (float, 1e300),
    (bool, False),
    (type(None), None),
    (list, [1, "b", None, [1.5]]),
    (dict, {"a": [1, "b", None], "": {}}),
    (datetime, datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC)),
    (date, date(2020, 1, 2)),
]


def reads_both_ways(one: Any, other: Any, message: Any) -> None:
    for writer, reader in ((one, other), (other, one)):
        back = reader.decode(writer.encode(message))
        assert (type(back), back) == (type(message), message)


@pytest.mark.parametrize(("schema", "message"), PLAIN, ids=lambda value: repr(value)[:20])
def test_what_both_pick_for_a_schema(schema: Any, message: Any) -> None:
    reads_both_ways(ours.get_serializer(schema), theirs.get_serializer(schema), message)


def test_each_by_its_name() -> None:
    """Named as over there, for those who name them."""
    for name, schema, message in [
        ("BytesSerializer", bytes, b"a"),
        ("DataclassSerializer", Order, ORDER),
        ("DatetimeSerializer", date, date(2020, 1, 2)),
        ("MarshmallowSerializer", OrderSchema, {"number": 1}),
        ("MessagePackSerializer", object, {"a": [1, b"b", None, 1.5, "ä"]}),
        ("PrimitiveSerializer", dict, {"a": [1, None]}),
        ("ProtobufSerializer", Timestamp, Timestamp(seconds=1)),
    ]:
        one, other = getattr(ours, name)(schema), getattr(theirs, name)(schema)
        reads_both_ways(one, other, message)


def test_a_struct_reads_and_writes_what_a_dataclass_does() -> None:
    struct, dataclass_ = ours.MsgspecSerializer(OrderStruct), theirs.DataclassSerializer(Order)
    assert dataclass_.decode(struct.encode(OrderStruct(1, "Kim ä", 1.5))) == ORDER
    assert struct.decode(dataclass_.encode(ORDER)) == OrderStruct(1, "Kim ä", 1.5)


def test_pydantic() -> None:
    """It was written for pydantic 1, and can only read with pydantic 2."""
    model = OrderModel(number=1, customer="Kim ä")
    data = ours.get_serializer(OrderModel).encode(model)
    serializer = theirs.PydanticSerializer(OrderModel)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert serializer.decode(data) == model
        with pytest.raises(TypeError):
            serializer.encode(model)
    # As pydantic 1 writes it.
    assert ours.get_serializer(OrderModel).decode(b'{"number":1,"customer":"Kim \\u00e4"}') == model


# The wrappers

Pair = tuple[Any, Any]
Wrap = Callable[[Any, Pair], Pair]


def gzipped(schema: Any, inner: Pair) -> Pair:
    return ours.GZipSerializer(schema, inner[0]), theirs.GZipSerializer(schema, inner[1])


def encrypted(schema: Any, inner: Pair) -> Pair:
    return (
        ours.FernetSerializer(schema, inner[0], KEY),
        theirs.FernetSerializer(schema, inner[1], KEY),
    )


def signed(schema: Any, inner: Pair) -> Pair:
    return (
        ours.HMACSerializer(schema, inner[0], SECRET),
        theirs.HMACSerializer(schema, inner[1], SECRET),
    )


def signed_otherwise(schema: Any, inner: Pair) -> Pair:
    return (
        ours.HMACSerializer(schema, inner[0], SECRET, "sha256"),
        theirs.HMACSerializer(schema, inner[1], SECRET, "sha256"),
    )


def stacked(schema: Any, *wraps: Wrap) -> Pair:
    pair: Pair = (ours.get_serializer(schema), theirs.get_serializer(schema))
    for wrap in wraps:
        pair = wrap(schema, pair)
    return pair


@pytest.mark.parametrize(
    "wraps",
    [
        (gzipped,),
        (encrypted,),
        (signed,),
        (signed_otherwise,),
        (gzipped, encrypted),
        (signed, gzipped, encrypted),
        (encrypted, signed),
    ],
    ids=lambda wraps: "-".join(wrap.__name__ for wrap in wraps),
)
def test_wrappers(wraps: tuple[Wrap, ...]) -> None:
    for schema, message in ((Order, ORDER), (bytes, bytes(1000)), (bytes, b"")):
        reads_both_ways(*stacked(schema, *wraps), message)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_wrapped_events_go_both_ways(nats_url: str) -> None:
    """Each actor gets what both publishers emitted."""
    our_serializer, their_serializer = stacked(Order, signed, gzipped, encrypted)
    our_event = walnats.Event("sealed", Order, our_serializer)
    their_event = peers.Event("sealed", Order, their_serializer)
    got: dict[str, list[Order]] = {"ours": [], "theirs": []}

    def handler(name: str) -> Any:
        async def handle(order: Order) -> None:
            got[name].append(order)

        return handle

    our_actors = walnats.Actors(walnats.Actor("ours", our_event, handler("ours")))
    their_actors = peers.Actors(peers.Actor("theirs", their_event, handler("theirs")))
    client = await nats.connect(nats_url)
    async with (
        walnats.Events(our_event).connect(nats_url) as our_events,
        peers.Events(their_event).connect(client, close=False) as their_events,
        our_actors.connect(nats_url) as our_listening,
        their_actors.connect(client, close=False) as their_listening,
    ):
        await our_events.register()
        await our_listening.register()
        await their_listening.register()
        await our_events.emit(our_event, ORDER, sync=True)
        await their_events.emit(their_event, ORDER, sync=True)
        async with asyncio.timeout(LONG), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(their_listening.listen(poll_delay=0.5))
            tasks.create_task(our_listening.listen())
            await until(lambda: len(got["ours"]) == len(got["theirs"]) == 2, LONG)
            our_listening.shutdown()
            running.cancel()
    assert got == {"ours": [ORDER] * 2, "theirs": [ORDER] * 2}
    await client.close()
