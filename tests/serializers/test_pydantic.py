"""Pydantic models: what arrives, what is refused, and that errors keep values to themselves."""

from __future__ import annotations

import dataclasses
from collections import deque
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Literal

import attrs
import msgspec
import pydantic
import pytest
import typing_extensions
from pydantic import Field

from tests.serializers._models import (
    Address,
    Cat,
    Dog,
    House,
    Job,
    Numbers,
    Open,
    Person,
    Pet,
    Renamed,
    Strict,
    Stripped,
    Team,
)
from walnats_anyio import Event
from walnats_anyio.serializers import (
    DecodeError,
    EncodeError,
    PydanticSerializer,
    get_serializer,
    json_schema,
)

HOME = Address(street="High Street")


def test_a_model_is_json_with_its_aliases() -> None:
    event = Event("x", Person)
    data = event.encode(Person(fullName="Ada", home=HOME))
    assert data.startswith(b'{"fullName":"Ada","home":{"street":"High Street","number":1},')
    assert event.decode(data) == Person(fullName="Ada", home=HOME)


def test_both_names_are_read() -> None:
    event = Event("x", Renamed)
    assert event.encode(Renamed.model_validate({"first": 1})) == b'{"one":1,"second":2,"three":3}'
    for data in (b'{"first":1,"second":4}', b'{"one":1,"two":4}', b'{"one":1,"second":4}'):
        assert event.decode(data) == Renamed.model_validate({"first": 1, "second": 4})
    assert event.decode(b'{"one":1,"drei":5}').three == 5


def test_computed_fields_are_left_out_as_they_are_computed_again() -> None:
    event = Event("x", Strict)
    assert event.encode(Strict(id=1)) == b'{"id":1,"key":null}'
    assert event.decode(b'{"id":1}').double == 2


@pytest.mark.parametrize(
    ("schema", "message", "data"),
    [
        (Numbers, Numbers([1, 2]), b"[1,2]"),
        (Job, Job(1, HOME), b'{"id":1,"owner":{"street":"High Street","number":1}}'),
        (Team, Team([], Team([])), b'{"people":[],"best":{"people":[],"best":null}}'),
        (Pet, Cat(lives=9), b'{"kind":"cat","lives":9}'),
        (list[Pet] | None, [Dog(tricks=[])], b'[{"kind":"dog","tricks":[]}]'),
        (dict[int, Cat], {1: Cat(lives=9)}, b'{"1":{"kind":"cat","lives":9}}'),
        (Annotated[int, Field(gt=0)], 1, b"1"),
        (tuple[Cat, ...], (Cat(lives=1),), b'[{"kind":"cat","lives":1}]'),
        (Open, Open.model_validate({"id": 1, "more": [1]}), b'{"id":1,"more":[1]}'),
    ],
    ids=str,
)
def test_what_type_adapter_takes(schema: Any, message: Any, data: bytes) -> None:
    event = Event[Any]("x", schema)
    assert event.encode(message) == data
    back = event.decode(data)
    assert (type(back), back) == (type(message), message)


class Secrets(pydantic.BaseModel):
    word: pydantic.SecretStr


class Hidden(pydantic.BaseModel):
    shown: int
    hidden: int = Field(default=1, exclude=True)


class OutOnly(pydantic.BaseModel):
    one: int = Field(serialization_alias="eins")


class Meeting(pydantic.BaseModel):
    at: datetime


class Numbered(pydantic.BaseModel):
    ratio: float


def with_token(person: Person, token: int) -> Person:
    person._token = token
    return person


@pytest.mark.parametrize(
    ("schema", "message", "told"),
    [
        (Address, {"street": "a"}, "this dict would arrive as a Address"),
        (Address, Person(fullName="a", home=HOME), r"Field required - at `\$.street`"),
        (Address, House(street="a"), r"this House would arrive as a Address - at `\$`"),
        (
            Person,
            Person(fullName="a", home=House(street="a")),
            r"this House would arrive as a Address - at `\$.home`",
        ),
        (
            list[Person],
            [with_token(Person(fullName="a", home=HOME), 7)],
            r"private attributes of this Person would be lost - at `\$\[0\]`",
        ),
        (Person, Person(fullName="a", home=HOME, anything=(1,)), r"tuple .* a list - at `\$.any"),
        (Person, Person(fullName="a", home=HOME, raw=b"\xff"), "invalid utf-8"),
        (Address, Address.model_construct(street=1), r"valid string - at `\$.street`"),
        (
            Address,
            Address.model_construct(street="a", number=True),
            r"bool .* int - at `\$.number`",
        ),
        (Numbered, Numbered(ratio=float("nan")), r"valid number - at `\$.ratio`"),
        (Stripped, Stripped.model_construct(text=" a"), r"another str - at `\$.text`"),
        (
            Person,
            Person.model_construct(name="a", home=HOME, queue=deque([True])),
            r"bool would arrive as an? int - at `\$.queue\[0\]`",
        ),
        (Secrets, Secrets(word=pydantic.SecretStr("hush")), r"another SecretStr - at `\$.word`"),
        (Hidden, Hidden(shown=1, hidden=2), r"another int - at `\$.hidden`"),
        (OutOnly, OutOnly(one=1), r"Field required - at `\$.one`"),
        (Open, Open.model_validate({"id": 1, "more": {1: 2}}), "this int would arrive as a str"),
        (
            Meeting,
            Meeting(at=datetime(1930, 1, 1, tzinfo=timezone(timedelta(seconds=1172)))),
            "offset 0:19:32 would arrive as a datetime with offset 0:19:00",
        ),
        (Annotated[int, Field(gt=0)], 0, "greater than 0"),
    ],
    ids=str,
)
def test_what_would_change_is_refused(schema: Any, message: Any, told: str) -> None:
    with pytest.raises(EncodeError, match=rf"^event 'x' takes .*{told}") as caught:
        Event[Any]("x", schema).encode(message)
    assert "hush" not in str(caught.value)


def test_what_a_serialization_alias_hides_is_no_loss_when_it_is_the_default() -> None:
    event = Event("x", Hidden)
    assert event.decode(event.encode(Hidden(shown=1))) == Hidden(shown=1)


def test_without_check_it_is_on_your_head() -> None:
    serializer = PydanticSerializer(Hidden, check=False)
    assert serializer.decode(serializer.encode(Hidden(shown=1, hidden=2))) == Hidden(shown=1)


@pytest.mark.parametrize(
    ("schema", "data", "told"),
    [
        (Person, b"{", r"Invalid JSON: .* - at `\$`"),
        (Person, b"[]", r"Input should be an object - at `\$`"),
        (Person, b'{"fullName":"Ada","home":{"street":7}}', r"string - at `\$.home.street`"),
        (
            Person,
            b'{"fullName":"Ada","home":{"street":"a"},"by_number":{"1":{"street":7}}}',
            r"string - at `\$.by_number.1.street`",
        ),
        (list[Cat], b'[{"lives":1},{"lives":"few"}]', r"integer, .* - at `\$\[1\].lives`"),
        (Pet, b'{"kind":"cow"}', r"tag 'cow' .* expected tags: 'cat', 'dog' - at `\$`"),
        (Strict, b'{"id":"1"}', r"Input should be a valid integer - at `\$.id`"),
        (Strict, b'{"id":1,"new":1}', r"Extra inputs are not permitted - at `\$.new`"),
        (Numbers, b'["a","b","c","d","e"]', r"at `\$\[2\]`; and 2 more$"),
    ],
)
def test_bad_data_names_event_field_and_type(schema: Any, data: bytes, told: str) -> None:
    with pytest.raises(DecodeError, match=rf"^event 'x' takes .*{told}"):
        Event("x", schema).decode(data)


def test_an_error_tells_no_values() -> None:
    with pytest.raises(DecodeError) as caught:
        Event("x", Strict).decode(b'{"id":"hush"}')
    error: BaseException | None = caught.value
    while error is not None:
        assert "hush" not in str(error)
        assert not isinstance(error, pydantic.ValidationError)
        error = error.__cause__


class Struct(msgspec.Struct):
    home: Address


@attrs.define
class WithAttrs:
    home: Address


class Later(pydantic.BaseModel):
    what: Nowhere  # type: ignore[name-defined]  # noqa: F821  # what is tested  # pyright: ignore[reportUndefinedVariable]


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (Struct, "Unable to generate pydantic-core schema for .*Struct"),
        (WithAttrs, "Unable to generate pydantic-core schema for .*WithAttrs"),
        (Later, "Nowhere"),
        (complex | Later, "Nowhere"),
    ],
    ids=str,
)
def test_what_pydantic_cannot_do_is_refused_where_it_is_declared(schema: Any, told: str) -> None:
    with pytest.raises(TypeError, match=rf"^event 'x': no serializer .*{told}.*`serializer=`"):
        Event("x", schema)
    with pytest.raises(LookupError, match=told):
        get_serializer(schema)


def test_models_of_a_function() -> None:
    class Inner(pydantic.BaseModel):
        value: int

    class Outer(pydantic.BaseModel):
        inner: Inner
        nested: Outer | None = None

    @dataclasses.dataclass
    class Around:
        inner: Inner

    class Typed(typing_extensions.TypedDict):
        inner: Inner

    one = Inner(value=1)
    messages: list[tuple[Any, Any]] = [
        (Outer, Outer(inner=one, nested=Outer(inner=one))),
        (Around, Around(one)),
        (Typed, {"inner": one}),
    ]
    for schema, message in messages:
        event = Event[Any]("x", schema)
        assert isinstance(event._codec, PydanticSerializer)
        assert event.decode(event.encode(message)) == message


def test_the_constraints_of_a_field_are_respected() -> None:
    """A dataclass with a mark of pydantic is no longer what msgspec would ignore the mark of."""

    @dataclasses.dataclass
    class Order:
        amount: pydantic.PositiveInt
        kind: Literal["a"] = "a"

    event = Event("x", Order)
    assert event.decode(b'{"amount":1}') == Order(1)
    with pytest.raises(DecodeError, match=r"greater than 0 - at `\$.amount`"):
        event.decode(b'{"amount":0}')
    with pytest.raises(EncodeError, match="greater than 0"):
        event.encode(Order(0))


def test_the_description_is_about_what_is_read() -> None:
    described = json_schema(get_serializer(Person))
    assert described is not None
    assert described["required"] == ["fullName", "home"]
    assert described["properties"]["home"] == {"$ref": "#/$defs/Address"}


@pydantic.dataclasses.dataclass(config=pydantic.ConfigDict(extra="allow"))
class Extensible:
    id: int


def test_fields_that_a_dataclass_does_not_write_are_refused() -> None:
    event = Event[Any]("x", Extensible)
    assert event.decode(event.encode(Extensible(1))) == Extensible(1)
    with pytest.raises(EncodeError, match=r"not declared would be lost - at `\$\.more`"):
        event.encode(Extensible(1, more=2))  # type: ignore[call-arg]  # the type does not say so  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("schema", [{}, {"a": int}, Event("x", int)])
def test_what_is_no_type_is_refused_as_such(schema: Any) -> None:
    with pytest.raises(TypeError, match="no serializer for the schema"):
        PydanticSerializer(schema)


class Weird(pydantic.BaseModel):
    call: Any = Field(default_factory=object)
    sentinel: Any = object()


class Opaque(pydantic.BaseModel, arbitrary_types_allowed=True):
    thing: Struct


def test_a_description_leaves_out_what_is_no_json() -> None:
    described = json_schema(get_serializer(Weird))
    assert described is not None
    assert described["properties"] == {
        "call": {"title": "Call"},
        "sentinel": {"title": "Sentinel"},
    }
    assert json_schema(get_serializer(Opaque)) is None
