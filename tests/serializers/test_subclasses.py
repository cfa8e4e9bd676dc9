"""Subclasses of `str`, `int` and the like arrive as they are, and what they check is checked."""

from __future__ import annotations

import enum
from collections import defaultdict
from datetime import UTC, date, datetime
from typing import Any

import pytest

from tests.serializers._models import Blob, Cents, Circle, Day, Email, Invoice, Moment, Prices
from walnats_anyio import Event
from walnats_anyio.serializers import (
    DecodeError,
    EncodeError,
    MessagePackSerializer,
    MsgspecSerializer,
    PrimitiveSerializer,
    get_serializer,
)


class Loud(str):
    """What is written is the text, whatever these say."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()

    def __repr__(self) -> str:
        return "Loud"


class Wrong(int):
    def __int__(self) -> int:
        return 5


class Two(str):
    __slots__ = ()

    def __new__(cls, one: str, two: str) -> Two:
        return super().__new__(cls, one + two)


class Doubled(int):
    """Made of a value, it has another."""

    def __new__(cls, value: int) -> Doubled:
        return super().__new__(cls, 2 * value)


class Counted(dict[str, int]):
    def __init__(self, *items: Any) -> None:
        super().__init__(*items)
        self.count = len(self)


class Slotted(str):
    __slots__ = ("note",)
    note: int


class Level(enum.IntEnum):
    LOW = 1


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (Email("a@b"), b'"a@b"'),
        (Cents(5), b"5"),
        (Loud("a"), b'"a"'),
        (Wrong(3), b"3"),
        (Prices(a=Cents(1)), b'{"a":1}'),
        (Counted({"a": 1}), b'{"a":1}'),
        (Blob(b"\xff"), b"\xff"),
        (Moment(2020, 1, 2, tzinfo=UTC), b"2020-01-02T00:00:00+00:00"),
        (Day(2020, 1, 2), b"2020-01-02"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_wire_has_the_plain_value(message: Any, data: bytes) -> None:
    event = Event[Any]("x", type(message))
    assert event.encode(message) == data
    back = event.decode(data)
    assert (type(back), back) == (type(message), message)


@pytest.mark.parametrize(
    ("schema", "message", "told"),
    [
        (Email, "a@b", "expected Email, got str"),
        (Cents, 5, "expected Cents, got int"),
        (Cents, True, "expected Cents, got bool"),
        (Prices, {"a": Cents(1)}, "expected Prices, got dict"),
        (
            Prices,
            Prices({"a": 1}),  # type: ignore[dict-item]  # tested  # pyright: ignore[reportArgumentType]
            "this int would arrive as a Cents",
        ),
        (Blob, b"x", "expected Blob, got bytes"),
        (Moment, datetime.now(UTC), "expected Moment, got datetime"),
        (Day, date(2020, 1, 1), "expected Day, got date"),
        (list[Email], ["a@b"], "this str would arrive as an? Email"),
        (Two, Two("a", "b"), "missing 1 required positional argument"),
        (Doubled, Doubled(1), "this Doubled would arrive as another Doubled"),
        (str, Email("a@b"), "Encoding objects of type Email is unsupported"),
        (int, Level.LOW, "this Level would arrive as an? int"),
        (list[Cents], [Email("a@b")], "Encoding objects of type Email is unsupported"),
    ],
)
def test_what_would_arrive_otherwise_is_refused(schema: Any, message: Any, told: str) -> None:
    with pytest.raises(EncodeError, match=told):
        Event("x", schema).encode(message)


def test_a_subclass_may_be_in_a_union() -> None:
    event = Event("x", list[Email | Cents | int | Circle | None])
    message: list[Email | Cents | int | Circle | None] = [Email("a@b"), Cents(1), Circle(1.0), None]
    assert [type(each) for each in event.decode(event.encode(message))] == list(map(type, message))
    with pytest.raises(EncodeError, match=r"this int would arrive as a Cents - at `\$\[0\]`"):
        event.encode([1])
    with pytest.raises(DecodeError, match=r"none of the union \(Email: an address has an @; Cents"):
        event.decode(b'["nobody"]')


NOTED: list[Any] = [
    Counted({"a": 1}),
    Slotted("a"),
    Cents(1),
    Blob(b"x"),
    Moment(2020, 1, 1, tzinfo=UTC),
    Day(2020, 1, 1),
]


@pytest.mark.parametrize("message", NOTED, ids=lambda message: type(message).__name__)
def test_attributes_would_be_lost(message: Any) -> None:
    kind: Any = type(message)
    message.note = "nothing on the wire"
    for schema, given in ((kind, message), (list[kind], [message])):
        with pytest.raises(EncodeError, match=r"attributes of this .* would be lost"):
            Event[Any]("x", schema).encode(given)


@pytest.mark.parametrize(
    ("schema", "data", "told"),
    [
        (Email, b'"nobody"', "an address has an @"),
        (Email, b"1", "Expected `str`, got `int`"),
        (list[Email], b'["a@b","x"]', r"an address has an @ - at `\$\[1\]`"),
        (Prices, b'{"a":"x"}', r"Expected `int`, got `str` \(at `\$\[...\]` of it\)"),
        (Cents, b"1.5", "Expected `int`, got `float`"),
        (Invoice, b'{"to":"x"}', r"an address has an @ - at `\$.to`"),
        (Moment, b"now", "isoformat"),
    ],
)
def test_decoding_calls_the_class(schema: Any, data: bytes, told: str) -> None:
    with pytest.raises(DecodeError, match=f"^event 'x' takes .*{told}"):
        Event("x", schema).decode(data)


def test_a_plain_value_costs_no_more_than_before() -> None:
    assert PrimitiveSerializer(int)._is_exact(5)
    assert not PrimitiveSerializer(int)._is_exact(Cents(5))


def test_the_function_of_a_defaultdict_would_be_lost() -> None:
    with pytest.raises(LookupError, match="defaultdict cannot be written as JSON"):
        get_serializer(defaultdict[str, int])


def test_a_number_of_a_subclass_is_no_key_of_json() -> None:
    with pytest.raises(TypeError, match=r"a JSON object cannot be a Cents .MessagePackSerializer"):
        Event("x", dict[Cents, int])
    event = Event("x", dict[Cents, int], MessagePackSerializer(dict[Cents, int]))
    assert [type(key) for key in event.decode(event.encode({Cents(1): 2}))] == [Cents]


@pytest.mark.parametrize("kind", [MsgspecSerializer, MessagePackSerializer])
def test_an_unknown_class_is_refused_where_it_is_declared(kind: Any) -> None:
    with pytest.raises(TypeError, match="complex cannot be written as"):
        kind(dict[str, complex])


# MessagePack.


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (object, {"a": [1, None, b"x", 1.5]}),
        (float, float("inf")),
        (dict[tuple[int, str], float], {(1, "a"): float("-inf")}),
        (dict[bytes, set[int]], {b"\xff": {1}}),
        (bytes, b"\xff"),
        (bytearray, bytearray(b"x")),
        (datetime, datetime(2020, 1, 1, tzinfo=UTC)),
        (datetime, datetime(2020, 1, 1)),  # noqa: DTZ001 - one without is a message as well
    ],
)
def test_message_pack_takes_what_json_does_not(schema: Any, message: Any) -> None:
    event = Event[Any]("x", schema, MessagePackSerializer(schema))
    back = event.decode(event.encode(message))
    assert (type(back), back) == (type(message), message)


def test_message_pack_without_a_schema_takes_what_it_knows() -> None:
    serializer: MessagePackSerializer[Any] = MessagePackSerializer()
    assert serializer.decode(serializer.encode({"a": (b"x",)[0]})) == {"a": b"x"}
    with pytest.raises(ValueError, match="this tuple would arrive as a list"):
        serializer.encode((1,))


@pytest.mark.parametrize(
    ("schema", "message", "told"),
    [
        (int, 2**64, "int"),
        (float, float("nan"), "nan would arrive as another float"),
        (datetime, datetime.fromisoformat("2020-01-01T00:00:00+02:00"), "offset 2:00:00 would"),
        (list[int], (1,), "expected list"),
    ],
)
def test_message_pack_refuses_what_would_change(schema: Any, message: Any, told: str) -> None:
    with pytest.raises(EncodeError, match=told):
        Event("x", schema, MessagePackSerializer(schema)).encode(message)
