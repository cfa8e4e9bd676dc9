"""Models of a union that contain each other: pydantic tries each of them at every level."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest
import typing_extensions
from pydantic import Field

from walnats_anyio import Event
from walnats_anyio.serializers import DecodeError, EncodeError, PydanticSerializer
from walnats_anyio.serializers._pydantic_unions import MAX_FOR_EACH


class Left(pydantic.BaseModel):
    child: Left | Right | None = None
    kind: Literal["left"] = "left"


class Right(pydantic.BaseModel):
    child: Left | Right | None = None
    kind: Literal["right"] = "right"


class Tagged(pydantic.BaseModel):
    child: Annotated[Tagged | Other, Field(discriminator="kind")] | None = None
    kind: Literal["tagged"] = "tagged"


class Other(pydantic.BaseModel):
    child: Annotated[Tagged | Other, Field(discriminator="kind")] | None = None
    kind: Literal["other"] = "other"


class And(pydantic.BaseModel):
    args: list[And | Or | Not | bool]


class Or(pydantic.BaseModel):
    args: list[And | Or | Not | bool]
    short: bool = True


class Not(pydantic.BaseModel):
    arg: And | Or | Not | bool


class ByAlias(pydantic.BaseModel):
    one: ByAlias | ByOther | None = Field(None, alias="next")


class ByOther(pydantic.BaseModel):
    other: ByAlias | ByOther | None = Field(None, alias="next")


class Apart(pydantic.BaseModel):
    one: Apart | ApartToo | None = None


class ApartToo(pydantic.BaseModel):
    other: Apart | ApartToo | None = None


class Person(pydantic.BaseModel):
    friends: list[Person] = []
    boss: Person | None = None


@dataclass
class Plain:
    child: Plain | Model | None = None


class Model(pydantic.BaseModel):
    child: Plain | Model | None = None


class One(typing_extensions.TypedDict):
    child: typing_extensions.NotRequired[One | Two]


class Two(typing_extensions.TypedDict):
    child: typing_extensions.NotRequired[One | Two]
    person: typing_extensions.NotRequired[Person]


class Lists(pydantic.BaseModel):
    items: list[Lists] | list[MoreLists] = []


class MoreLists(pydantic.BaseModel):
    items: list[Lists] | list[MoreLists] = []


class Holder(pydantic.BaseModel):
    person: Person
    side: Left


class Either(pydantic.RootModel[Left | Right]):
    pass


@pytest.mark.parametrize(
    ("schema", "options", "names"),
    [
        (Left, 2, {"child"}),
        (dict[str, Left | Right], 2, {"child"}),
        (And, 2, {"args"}),  # `Not` has another name
        (ByAlias, 2, {"next"}),
        (Plain, 2, {"child"}),
        (list[One | Two], 2, {"child"}),
        (Lists, 2, {"items"}),
        (Holder, 2, {"child"}),
        (Either, 2, {"child"}),
        (Tagged, 1, set()),
        (Apart, 1, set()),
        (Person, 1, set()),
        (list[int | Person], 1, set()),
    ],
    ids=str,
)
def test_which_unions_are_tried_at_every_level(schema: Any, options: int, names: set[str]) -> None:
    nesting = PydanticSerializer(schema)._nesting
    assert (nesting.options if nesting else 1) == options
    assert (nesting.names if nesting else set()) == names


def nested(levels: int, kinds: tuple[str, ...], innermost: Any = None) -> Any:
    for level in range(levels):
        innermost = {"child": innermost, "kind": kinds[level % len(kinds)]}
    return innermost


@pytest.mark.parametrize("innermost", [None, 5])
def test_what_would_take_hours_is_refused_at_once(innermost: Any) -> None:
    event = Event("x", Left | Right)
    data = msgspec.json.encode(nested(40, ("left", "right"), innermost))
    started = time.process_time()
    with pytest.raises(DecodeError, match=r"takes 1e\+12 attempts.* each other in child: give the"):
        event.decode(data)
    assert time.process_time() - started < 1


def test_emit_refuses_it_as_well() -> None:
    event = Event("x", Left | Right)
    message: Left | Right = Left()
    for _ in range(10):
        message = Right.model_construct(child=message)  # as validation takes its time
    assert event.decode(event.encode(message)) == message
    for _ in range(4):
        message = Right.model_construct(child=message)
    assert event.encode(message)
    with pytest.raises(EncodeError, match="give the union a discriminator"):
        event.encode(Left.model_construct(child=message))


def test_with_a_discriminator_it_may_be_nested_deep() -> None:
    event = Event("x", Tagged)
    data = msgspec.json.encode(nested(80, ("other", "tagged")))
    assert msgspec.json.encode(nested(80, ("other", "tagged"))) == event.encode(event.decode(data))


def test_many_objects_that_are_nested_little_are_taken() -> None:
    """What they cost grows with their number only."""
    event = Event("x", list[Left | Right])
    part = nested(5, ("left", "right"))
    assert sum(2**level for level in range(5)) < 5 * MAX_FOR_EACH
    data = msgspec.json.encode([part] * 700)
    assert len(event.decode(data)) == 700


@pytest.mark.parametrize("data", [b"{", b'{"child":NaN}', b"\xff", b"[" * 1000])
def test_what_is_no_message_is_told_by_pydantic(data: bytes) -> None:
    with pytest.raises(DecodeError, match=r"Invalid JSON|Input should be"):
        Event("x", Left | Right).decode(data)
