"""Messages that are made from a schema fit it; lines of a file are messages or are refused."""

from __future__ import annotations

import enum
import secrets
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pytest

import walnats_anyio as walnats
from walnats_anyio.serializers import MsgspecSerializer
from walnats_anyio.tune._messages import make_messages, read_messages


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Cat(msgspec.Struct, tag=True):
    name: str


class Dog(msgspec.Struct, tag=True):
    barks: bool


class Tree(msgspec.Struct):
    value: int
    left: Tree | None = None
    right: Tree | None = None


class Position(msgspec.Struct, array_like=True):
    x: float
    y: float


class Order(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    order_id: UUID
    placed_at: datetime
    colour: Colour
    total: Decimal
    lines: list[tuple[int, str]]
    pet: Cat | Dog
    kind: Literal["small", "large"]
    note: Annotated[str, msgspec.Meta(min_length=40, max_length=50)]
    count: Annotated[int, msgspec.Meta(ge=10, lt=20)]
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    due: date | None
    takes: timedelta
    position: Position
    labels: dict[str, set[int]] = {}


@dataclass
class Plain:
    name: str
    numbers: list[int] = field(default_factory=list[int])


class Typed(TypedDict):
    name: str
    age: int


class Named(NamedTuple):
    name: str
    age: int


SCHEMAS: list[Any] = [
    Order, Plain, Typed, Named, Tree, int, str, bytes, float, bool, datetime, dict[str, Any],
    list[Order], str | None, Cat | Dog, UUID,
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_made_messages_fit_the_schema(schema: Any) -> None:
    event = walnats.Event(f"made-{secrets.token_hex(2)}", schema)
    messages = make_messages(event)
    assert len(messages) == 500
    for message in messages:
        assert event.decode(event.encode(message)) == message


def test_made_messages_differ_and_are_the_same_each_time() -> None:
    event = walnats.Event("made", Order)
    first = make_messages(event)
    assert len({message.order_id for message in first}) == len(first)
    assert make_messages(event) == first


class Pattern(msgspec.Struct):
    code: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]


class Money:
    pass


def test_what_cannot_be_made_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"pattern '\^\[A-Z\].*--messages"):
        make_messages(walnats.Event("made", Pattern))
    codec: Any = MsgspecSerializer(int)  # whatever it is, msgspec does not know the type
    strange = walnats.Event("made", Money, serializer=codec)
    with pytest.raises(ValueError, match=r"made for event 'made'.*Money.*--messages"):
        make_messages(strange)


def test_a_file_has_a_message_in_each_line(tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_text('{"name": "Gram"}\n\n{"name": "Kim", "numbers": [1]}\n')
    assert read_messages(walnats.Event("read", Plain), file) == [Plain("Gram"), Plain("Kim", [1])]


def test_a_datetime_may_be_json_or_as_it_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_text('"2026-01-02T03:04:05Z"\n2026-01-02T03:04:05Z\n')
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert read_messages(walnats.Event("read", datetime), file) == [moment, moment]


def test_a_wrong_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_text('{"name": "Gram"}\n{"name": 5}\n')
    with pytest.raises(ValueError, match=r"messages.jsonl:2: .*str"):
        read_messages(walnats.Event("read", Plain), file)
    file.write_text("\n")
    with pytest.raises(ValueError, match="has no messages"):
        read_messages(walnats.Event("read", Plain), file)
