"""AsyncAPI documents: right for the official schema, and about the services that were added."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NotRequired, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest

import walnats_anyio as walnats
from tests.services._official import accepts, problems
from walnats_anyio.serializers import MessagePackSerializer, Serializer

T = TypeVar("T")


class Line(msgspec.Struct):
    product: Annotated[str, msgspec.Meta(min_length=1, description="What it is.")]
    pieces: Annotated[int, msgspec.Meta(ge=1)] = 1


class Order(msgspec.Struct):
    """What was bought."""

    id: int
    lines: list[Line]


class Tree(msgspec.Struct):
    value: int
    branches: list[Tree] = []


class Bird(msgspec.Struct, tag="bird"):
    wings: int


class Fish(msgspec.Struct, tag="fish"):
    fins: int


class Pair(msgspec.Struct, Generic[T]):
    left: T
    right: T


class Color(Enum):
    RED = "red"


class Address(pydantic.BaseModel):
    street: str


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=1)
    home: Address = pydantic.Field(description="Where parcels go.")
    friends: list[Person] = []


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]


class Pet(pydantic.BaseModel):
    animal: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]


@dataclasses.dataclass
class Box:
    size: tuple[int, int, int]
    color: Color = Color.RED


@attrs.define
class Label:
    text: str


class Note(TypedDict):
    text: str
    author: NotRequired[str]


async def handle(message: Any) -> None:
    """Do nothing."""


def document_of(event: walnats.Event[Any]) -> dict[str, Any]:
    services = walnats.Services()
    services.add("some", emits=walnats.Events(event))
    return services.get_async_api()


CASES: list[tuple[Any, Any, list[Any]]] = [
    (Order, Order(1, [Line("x", 2)]), [{"id": "1", "lines": []}, {"id": 1}, {"id": 1, "lines": 2}]),
    (Tree, Tree(1, [Tree(2)]), [{"value": 1, "branches": [{"value": "2"}]}]),
    (Bird | Fish, Fish(3), [{"type": "fish", "wings": 2}, {"type": "cow"}]),
    (Pair[int], Pair(1, 2), [{"left": "a", "right": 2}]),
    (Person, Person(name="k", home=Address(street="s")), [{"name": "", "home": {"street": "s"}}]),
    (Pet, Pet(animal=Cat(kind="cat", lives=9)), [{"animal": {"kind": "cow"}}]),
    (Box, Box((1, 2, 3)), [{"size": [1, 2]}, {"size": [1, 2, "3"]}, {"size": [1, 2, 3, 4]}]),
    (Label, Label("x"), [{"text": 1}, {}]),
    (Note, {"text": "x"}, [{"author": "y"}]),
    (Color, Color.RED, ["blue"]),
    (list[Line], [Line("x")], [[{"product": ""}], [1]]),
    (dict[str, int], {"a": 1}, [{"a": "b"}]),
    (tuple[int, str], (1, "x"), [[1], ["x", 1]]),
    (Literal["a.b", "<c>"], "a.b", ["d"]),
    (int | None, None, ["x"]),
]


@pytest.mark.parametrize(("schema", "message", "others"), CASES, ids=lambda case: repr(case)[:40])
def test_the_schema_of_a_message_takes_what_is_sent_and_nothing_else(
    schema: Any, message: Any, others: list[Any]
) -> None:
    event = walnats.Event("some", schema)
    document = document_of(event)
    assert problems(document) == []
    assert accepts(document, "some", json.loads(event.encode(message)))
    assert [other for other in others if accepts(document, "some", other)] == []


def test_the_check_of_documents_notices_mistakes() -> None:
    document = document_of(walnats.Event("some", Order))
    document["channels"]["some"]["adress"] = "wrong"
    document["operations"]["some.emit.some"]["channel"]["$ref"] = "#/channels/other"
    assert len(problems(document)) == 2


PLACED = walnats.Event("order.placed", Order, description="Somebody paid.")
PACK = walnats.Actor("pack", PLACED, handle, "Packs.", max_attempts=5, retry_delay=(1,))
PEOPLE = walnats.Event("people", Person)
STREETS = walnats.Event("streets", Address)


def shop(**options: Any) -> walnats.Services:
    services = walnats.Services(title="Shop", version="2.0", **options)
    services.add("checkout", version="3.1", description="Money.", emits=walnats.Events(PLACED))
    services.add("warehouse", emits=walnats.Events(PEOPLE), defines=walnats.Actors(PACK))
    return services


def test_one_document_for_all_services() -> None:
    document = shop().get_async_api()
    assert problems(document) == []
    assert document["asyncapi"] == "3.0.0"
    assert document["info"] == {"title": "Shop", "version": "2.0"}
    assert list(document["channels"]) == ["order.placed", "people"]
    placed = document["channels"]["order.placed"]
    assert (placed["address"], placed["description"]) == ("order.placed", "Somebody paid.")
    assert placed["x-jetstream-stream"] == PLACED.stream_config()
    message = document["components"]["messages"]["order.placed"]
    assert (message["title"], message["contentType"]) == ("Order", "application/json")
    assert document["components"]["schemas"]["Order"]["description"] == "What was bought."


def test_emits_send_and_actors_receive() -> None:
    operations = shop().get_async_api()["operations"]
    assert {key: operation["action"] for key, operation in operations.items()} == {
        "checkout.emit.order.placed": "send",
        "warehouse.emit.people": "send",
        "warehouse.pack": "receive",
    }
    pack = operations["warehouse.pack"]
    assert pack["description"] == "Packs."
    assert pack["tags"] == [{"name": "warehouse"}]
    assert pack["channel"] == {"$ref": "#/channels/order.placed"}
    consumer = PACK.consumer_config()
    del consumer["metadata"]
    assert pack["x-jetstream-consumer"] == consumer
    assert pack["x-walnats-actor"] == {
        "max_attempts": 5,
        "job_timeout": 32,
        "max_jobs": 16,
        "dead_letters": True,
        "retry_delay": [1],
    }


def test_an_event_with_a_response_has_a_reply() -> None:
    asked = walnats.Event("price.asked", Order).with_response(list[Line])

    def answer(order: Order) -> list[Line]:
        return order.lines

    services = walnats.Services()
    services.add("shop", version="1", emits=walnats.Events(asked))
    price = walnats.Actor("price", asked, answer)
    services.add("prices", version="1", defines=walnats.Actors(price))
    document = services.get_async_api()
    assert problems(document) == []
    assert document["channels"]["price.asked.response"]["address"] is None
    reply = {
        "address": {"location": "$message.header#/Walnats-Reply"},
        "channel": {"$ref": "#/channels/price.asked.response"},
        "messages": [{"$ref": "#/channels/price.asked.response/messages/price.asked.response"}],
    }
    for key, action in (("shop.emit.price.asked", "send"), ("prices.price", "receive")):
        operation = document["operations"][key]
        assert (operation["action"], operation["reply"]) == (action, reply)
    messages = document["components"]["messages"]
    assert messages["price.asked.response"]["title"] == "list[Line]"
    assert messages["price.asked.response"]["payload"]["type"] == "array"
    traits = document["components"]["messageTraits"]
    assert set(traits["request"]["headers"]["properties"]) == {
        "Nats-Msg-Id", "Walnats-Trace", "Walnats-Reply", "Walnats-Timeout",
    }  # fmt: skip
    assert len(messages["price.asked"]["traits"]) == 2


def test_one_document_for_each_service() -> None:
    checkout, warehouse = shop(servers={"main": "nats://a"}).get_async_apis()
    assert problems(checkout) == problems(warehouse) == []
    assert checkout["info"] == {"title": "checkout", "version": "3.1", "description": "Money."}
    assert list(checkout["channels"]) == ["order.placed"]
    assert list(checkout["operations"]) == ["checkout.emit.order.placed"]
    assert list(warehouse["operations"]) == ["warehouse.emit.people", "warehouse.pack"]
    assert checkout["servers"] == {"main": {"host": "a:4222", "protocol": "nats"}}


def test_a_document_is_new_at_each_call() -> None:
    services = shop()
    whole = json.dumps(services.get_async_api())
    changed = services.get_async_api()
    changed["info"]["description"] = "Mine."
    changed["components"]["messageTraits"]["event"]["headers"]["properties"].clear()
    changed["components"]["schemas"]["Order"].clear()
    assert json.dumps(services.get_async_api()) == whole


def test_a_type_that_many_have_is_there_once() -> None:
    services = walnats.Services()
    services.add("some", emits=walnats.Events(PEOPLE, STREETS))
    document = services.get_async_api()
    assert problems(document) == []
    assert set(document["components"]["schemas"]) == {"Person", "Address"}
    home = document["components"]["schemas"]["Person"]["properties"]["home"]
    # Draft 07 would ignore a description beside the reference.
    assert home["allOf"] == [{"$ref": "#/components/schemas/Address"}]
    assert home["description"] == "Where parcels go."


def test_types_of_one_name_are_kept_apart() -> None:
    one = msgspec.defstruct("Thing", [("inner", msgspec.defstruct("Inner", [("a", int)]))])
    other = msgspec.defstruct("Thing", [("inner", msgspec.defstruct("Inner", [("a", str)]))])
    services = walnats.Services()
    services.add("some", emits=walnats.Events(walnats.Event("a", one), walnats.Event("b", other)))
    document = services.get_async_api()
    assert problems(document) == []
    assert set(document["components"]["schemas"]) == {"Thing", "Inner", "Thing_2", "Inner_2"}
    for name, good, bad in (("a", 1, "x"), ("b", "x", 1)):
        assert accepts(document, name, {"inner": {"a": good}})
        assert not accepts(document, name, {"inner": {"a": bad}})


def test_a_namespace_goes_before_the_names_on_the_server() -> None:
    document = shop(namespace="test.one").get_async_api()
    assert problems(document) == []
    channel = document["channels"]["order.placed"]
    assert channel["address"] == "test.one.order.placed"
    assert channel["x-jetstream-stream"]["name"] == "test-one-order-placed"
    consumer = document["operations"]["warehouse.pack"]["x-jetstream-consumer"]
    assert consumer["durable_name"] == "test-one-pack"


def test_servers() -> None:
    urls = {"main": ["nats://a:1", "tls://[::1]"], "web": "wss://c/nats?token=x"}
    document = shop(servers=urls).get_async_api()
    assert problems(document) == []
    assert document["servers"] == {
        "main": {"host": "a:1", "protocol": "nats"},
        "main-2": {"host": "[::1]:4222", "protocol": "nats", "description": "With TLS."},
        "web": {
            "host": "c:443",
            "protocol": "wss",
            "pathname": "/nats",
            "description": "With TLS.",
        },
    }


ODD_NAMES = """a"b a'b a`b <b a&b a#b a%20b ~1 a~b {a} 1e3 no 日本 a_b A_b |a| a${b}"""


def test_names_of_any_characters() -> None:
    names = ODD_NAMES.split()
    events = [walnats.Event(name, Order) for name in names]
    actors = [walnats.Actor(name, events[0], handle) for name in names]
    services = walnats.Services()
    services.add('"<s> \N{SNOWMAN}', emits=walnats.Events(*events), defines=walnats.Actors(*actors))
    document = services.get_async_api()
    assert problems(document) == []
    channels = document["channels"].values()
    assert [channel["title"] for channel in channels] == names
    # Braces in an address would be a parameter.
    addresses = [None if "{" in name else name for name in names]
    assert [channel["address"] for channel in channels] == addresses
    assert len(document["operations"]) == 2 * len(names)


class Own:
    """A serializer that only has what it must have."""

    def encode(self, message: int) -> bytes:
        return str(message).encode()

    def decode(self, data: bytes) -> int:
        return int(data)


class Described(Own):
    content_type = "text/x-number"

    def __init__(self, described: Any) -> None:
        self.described = described

    def json_schema(self) -> Any:
        return self.described


def payload_of(described: Any) -> Any:
    document = document_of(walnats.Event("some", int | None, Described(described)))
    assert problems(document) == []
    json.dumps(document, allow_nan=False)
    return document["components"]["messages"]["some"]["payload"], document["components"]["schemas"]


@pytest.mark.parametrize(
    ("event", "content_type"),
    [
        (walnats.Event("some", bytes), "application/octet-stream"),
        (walnats.Event("some", int, Own()), None),
    ],
)
def test_a_message_that_nothing_is_known_about(
    event: walnats.Event[Any], content_type: str | None
) -> None:
    document = document_of(event)
    assert problems(document) == []
    message = document["components"]["messages"]["some"]
    assert "payload" not in message
    assert message.get("contentType") == content_type


def test_the_content_type_of_plain_text_and_of_a_serializer_of_yours() -> None:
    for event, right in (
        (walnats.Event("some", datetime), "text/plain"),
        (walnats.Event("some", int, Described({})), "text/x-number"),
    ):
        message = document_of(event)["components"]["messages"]["some"]
        assert message["contentType"] == right


def test_a_schema_that_contains_itself() -> None:
    tree = {
        "type": "object",
        "properties": {"left": {"$ref": "#"}, "x/y": {"$ref": "#/$defs/a~1b"}},
    }
    payload, schemas = payload_of({**tree, "$defs": {"a/b": {"$ref": "#/properties/left"}}})
    assert payload == {"$ref": "#/components/schemas/message"}
    assert schemas["message"]["properties"]["left"] == payload
    assert schemas["a_b"] == {"$ref": "#/components/schemas/message/properties/left"}


WORDS = {
    "properties": {"$ref": {"type": "null"}, "prefixItems": {}},
    "default": {"prefixItems": [1]},
}


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        (
            {"prefixItems": [{"type": "integer"}, True], "items": False},
            {"items": [{"type": "integer"}, True], "additionalItems": False},
        ),
        ({"prefixItems": [{"type": "integer"}]}, {"items": [{"type": "integer"}]}),
        ({"dependentRequired": {"a": ["b"]}}, {"dependencies": {"a": ["b"]}}),
        (
            {"dependentSchemas": {"a": {"minProperties": 2}}},
            {"dependencies": {"a": {"minProperties": 2}}},
        ),
        ({"contains": {"type": "null"}, "minContains": 0}, {}),
        ({"anyOf": [{}, True], "discriminator": {"propertyName": "kind"}}, {"anyOf": [{}, True]}),
        ({"$id": "https://example.com/", "$schema": "x", "unevaluatedItems": False}, {}),
        ({"default": float("nan"), "examples": [float("inf")], "const": b"x"}, {}),
        (
            {"description": "a\ud800b", "enum": ["\udc00", ["\ud83d\ude00"]]},
            {"description": "a\ufffdb", "enum": ["\ufffd", ["\U0001f600"]]},
        ),
        ({"schema": {}, "title": "x"}, {"title": "x"}),
        # Names and values are none of its words.
        (WORDS, WORDS),
    ],
)
def test_later_words_are_written_in_the_earlier_way(later: Any, earlier: Any) -> None:
    assert payload_of(later)[0] == earlier


@pytest.mark.parametrize(
    ("described", "error", "says"),
    [
        ({"$ref": "#/$defs/Nothing"}, ValueError, "event 'some': .*Nothing"),
        ([1], TypeError, "event 'some': .*json_schema"),
    ],
)
def test_a_schema_of_yours_that_is_wrong(described: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        document_of(walnats.Event("some", int, Described(described)))


def test_a_schema_of_yours_that_fails() -> None:
    class Failing(Own):
        def json_schema(self) -> Any:
            raise UnicodeDecodeError("ascii", b"x", 0, 1, "wrong")

    with pytest.raises(ValueError, match=r"event 'some': .*wrong"):
        document_of(walnats.Event("some", int, Failing()))


def test_a_serializer_that_derives_from_the_base_class() -> None:
    class Hex(Serializer[int]):
        def encode(self, message: int) -> bytes:
            return f"{message:x}".encode()

        def decode(self, data: bytes) -> int:
            return int(data, 16)

    make: Callable[..., Any] = Hex
    document = document_of(walnats.Event("some", int, make(int)))
    assert problems(document) == []
    message = document["components"]["messages"]["some"]
    assert message["contentType"] == "application/octet-stream"
    assert "payload" not in message


def test_what_is_not_json_is_described_by_the_messages_it_stands_for() -> None:
    document = document_of(walnats.Event("some", Order, MessagePackSerializer(Order)))
    assert problems(document) == []
    message = document["components"]["messages"]["some"]
    assert message["contentType"] == "application/vnd.msgpack"
    assert message["payload"] == {"$ref": "#/components/schemas/Order"}
