"""Schemas of other kinds than msgspec takes by itself, and messages of them."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections import Counter, OrderedDict, deque
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar
from uuid import UUID

import attrs
import msgspec
import pydantic
from hypothesis import strategies as st
from pydantic import Field

from tests.serializers._messages import ANYTHING, INTEGERS, MOMENTS

T = TypeVar("T")


# Unions of classes that are all objects.


@dataclasses.dataclass(frozen=True)
class Circle:
    radius: float


@dataclasses.dataclass(frozen=True)
class Square:
    side: float
    name: str = ""


@attrs.frozen
class Line:
    start: int
    end: int | None = None


class Label(TypedDict):
    text: str


@dataclasses.dataclass
class Drawing:
    shapes: list[Circle | Square | Line]
    main: Circle | Square | None = None
    marks: dict[str, Line | Label | int] = dataclasses.field(default_factory=dict)
    inner: Drawing | Circle | None = None


@dataclasses.dataclass
class Bought:
    kind: Literal["bought"]
    amount: int


@dataclasses.dataclass
class Sold:
    kind: Literal["sold"]
    amount: int


class Page(msgspec.Struct):
    shape: Circle | Square
    label: Label | Line | None = None


class Corner(NamedTuple):
    shape: Circle | Square


@dataclasses.dataclass(frozen=True)
class Box(Generic[T]):
    content: T


# Subclasses of what msgspec knows.


class Email(str):
    __slots__ = ()

    def __new__(cls, value: str) -> Email:
        if "@" not in value:
            raise ValueError("an address has an @")
        return super().__new__(cls, value)


class Cents(int):
    pass


class Ratio(float):
    pass


class Blob(bytes):
    pass


class Prices(dict[str, Cents]):
    pass


class Names(list[str]):
    pass


class Moment(datetime):
    pass


class Day(date):
    pass


EmailId = NewType("EmailId", Email)


@dataclasses.dataclass
class Invoice:
    to: Email
    total: Cents
    prices: Prices
    blob: Blob
    at: Moment
    counts: Counter[str] = dataclasses.field(default_factory=Counter[str])
    order: OrderedDict[str, int] = dataclasses.field(default_factory=OrderedDict[str, int])
    by_email: dict[Email, list[Ratio]] = dataclasses.field(default_factory=dict)


# Pydantic.


class Address(pydantic.BaseModel):
    street: str
    number: int | str = 1


class House(Address):
    floors: int = 2


class Person(pydantic.BaseModel):
    name: str = Field(alias="fullName", min_length=1)
    home: Address
    tags: set[str] = set()
    born: date | None = None
    seen: datetime | None = None
    balance: Decimal = Decimal(0)
    ratio: float = 0.5
    raw: bytes = b""
    pair: tuple[int, str] = (1, "a")
    waited: timedelta = timedelta(0)
    by_number: dict[int, Address] = {}
    anything: Any = None
    host: ipaddress.IPv4Address | None = None
    queue: deque[int] = deque()
    _token: int = pydantic.PrivateAttr(default=0)


class Cat(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: list[str]


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Wrapped(pydantic.BaseModel, Generic[T]):
    content: T


class Strict(pydantic.BaseModel, extra="forbid", strict=True, frozen=True):
    id: int
    key: UUID | None = None

    @pydantic.computed_field  # type: ignore[prop-decorator]  # how pydantic has it
    @property
    def double(self) -> int:
        return 2 * self.id


class Open(pydantic.BaseModel, extra="allow"):
    id: int


class Renamed(pydantic.BaseModel):
    one: int = Field(validation_alias="first")
    two: int = Field(2, serialization_alias="second", validation_alias="second")
    three: int = Field(3, validation_alias=pydantic.AliasChoices("third", "drei"))


class Stripped(pydantic.BaseModel):
    text: str

    @pydantic.field_validator("text")
    @classmethod
    def strip(cls, text: str) -> str:
        return text.strip()


@pydantic.dataclasses.dataclass
class Job:
    id: int
    owner: Address | None = None


@dataclasses.dataclass
class Team:
    """Not of pydantic itself, but with parts that are."""

    people: list[Address]
    best: Team | None = None


ADDRESSES = st.builds(Address, street=st.text(), number=st.integers() | st.text())
PEOPLE = st.builds(
    Person,
    fullName=st.text(min_size=1),
    home=ADDRESSES,
    tags=st.sets(st.text(max_size=3), max_size=2),
    born=st.none() | st.dates(),
    seen=st.none() | st.datetimes(),
    balance=st.decimals(allow_nan=False, allow_infinity=False),
    ratio=st.floats(allow_nan=False, allow_infinity=False),
    raw=st.text().map(str.encode),
    pair=st.tuples(st.integers(), st.text()),
    waited=st.timedeltas(timedelta(days=-999), timedelta(days=999)),
    by_number=st.dictionaries(st.integers(), ADDRESSES, max_size=2),
    host=st.none() | st.ip_addresses(v=4),
)
INT64 = st.integers(-(2**63), 2**64 - 1)
"""What MessagePack has room for."""

CIRCLES = st.builds(Circle, st.floats(allow_nan=False, allow_infinity=False))
SQUARES = st.builds(Square, st.floats(allow_nan=False, allow_infinity=False), st.text())
LINES = st.builds(Line, INT64, st.none() | INT64)
LABELS = st.builds(Label, text=st.text())
SHAPES = CIRCLES | SQUARES
DRAWINGS = st.recursive(
    st.builds(
        Drawing,
        st.lists(SHAPES | LINES, max_size=3),
        st.none() | SHAPES,
        st.dictionaries(st.text(), LINES | LABELS | INT64, max_size=2),
    ),
    lambda inner: st.builds(Drawing, st.just([]), inner=inner | CIRCLES),
    max_leaves=2,
)
EMAILS = st.text().map(lambda text: Email(f"{text}@example.com"))
CENTS = INT64.map(Cents)
PRICES = st.dictionaries(st.text(), CENTS, max_size=2).map(Prices)
MOMENTS_OF_OURS = MOMENTS.filter(lambda at: not (at.utcoffset() or timedelta()).microseconds).map(
    lambda at: Moment(
        at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond, at.tzinfo
    )
)
INVOICES = st.builds(
    Invoice,
    EMAILS,
    CENTS,
    PRICES,
    st.binary().map(Blob),
    MOMENTS_OF_OURS,
    st.dictionaries(st.text(), st.integers(0, 9), max_size=2).map(Counter),
    st.dictionaries(st.text(), st.integers(0, 9), max_size=2).map(OrderedDict),
    st.dictionaries(EMAILS, st.lists(st.floats(-9, 9).map(Ratio)), max_size=2),
)

# Each schema with messages that must come back as they went; an emit may refuse others.
OBJECTS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "union of dataclasses": (Circle | Square, SHAPES),
    "union with attrs and TypedDict": (Circle | Line | Label, CIRCLES | LINES | LABELS),
    "union with more": (Circle | Line | int | list[int] | None, CIRCLES | LINES | INT64),
    "union by Literal": (
        Bought | Sold,
        st.builds(Bought, amount=INT64) | st.builds(Sold, amount=INT64),
    ),
    "unions in a dataclass": (Drawing, DRAWINGS),
    "unions in a Struct": (Page, st.builds(Page, SHAPES, st.none() | LINES | LABELS)),
    "union in a NamedTuple": (Corner, st.builds(Corner, SHAPES)),
    "union in containers": (
        dict[str, list[Circle | Square]],
        st.dictionaries(st.text(), st.lists(SHAPES, max_size=2), max_size=2),
    ),
    "union in a generic": (Box[Circle | Square], st.builds(Box, SHAPES)),
    "annotated union": (Annotated[Circle | Square, "shape"], SHAPES),
}
SUBCLASSES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "str": (Email, EMAILS),
    "NewType of it": (EmailId, EMAILS),
    "int": (Cents, CENTS),
    "float": (Ratio, st.floats(allow_nan=False, allow_infinity=False).map(Ratio)),
    "bytes": (Blob, st.binary().map(Blob)),
    "dict": (Prices, PRICES),
    "list": (Names, st.lists(st.text()).map(Names)),
    "datetime": (Moment, MOMENTS_OF_OURS),
    "date": (Day, st.dates().map(lambda day: Day(day.year, day.month, day.day))),
    "Counter": (Counter[str], st.dictionaries(st.text(), st.integers(0, 9)).map(Counter)),
    "in a union": (Email | int | list[Email] | None, EMAILS | INT64 | st.lists(EMAILS)),
    "in a list": (list[Email | None], st.lists(EMAILS | st.none(), max_size=2)),
}
MODELS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "model": (Person, PEOPLE),
    "models in a list": (list[Person], st.lists(PEOPLE, max_size=2)),
    "models in a dict": (
        dict[str, Address] | None,
        st.none() | st.dictionaries(st.text(), ADDRESSES, max_size=2),
    ),
    "discriminated union": (
        Pet,
        st.builds(Cat, lives=st.integers()) | st.builds(Dog, tricks=st.lists(st.text())),
    ),
    "RootModel": (Numbers, st.builds(Numbers, st.lists(st.integers()))),
    "generic model": (Wrapped[int], st.builds(Wrapped[int], content=st.integers())),
    "strict model": (Strict, st.builds(Strict, id=st.integers(), key=st.none() | st.uuids())),
    "open model": (Open, st.builds(Open, id=st.integers(), more=st.integers() | st.text())),
    "renamed fields": (Renamed, st.builds(Renamed, first=st.integers(), second=st.integers())),
    "pydantic dataclass": (Job, st.builds(Job, st.integers(), st.none() | ADDRESSES)),
    "dataclass of models": (
        Team,
        st.builds(Team, st.lists(ADDRESSES, max_size=2), st.none() | st.builds(Team)),
    ),
    "constrained int": (Annotated[int, Field(gt=0)], st.integers(min_value=1)),
    "set of models": (
        frozenset[Strict],
        st.frozensets(st.builds(Strict, id=st.integers()), max_size=2),
    ),
}

ODD: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "any field": (
        Person,
        st.builds(
            Person.model_construct,
            name=st.text(),
            home=ADDRESSES | st.builds(House, street=st.text()) | ANYTHING,
            tags=ANYTHING,
            seen=MOMENTS,
            anything=ANYTHING,
            ratio=st.floats() | INTEGERS,
            raw=st.binary(),
            queue=st.lists(st.integers() | st.booleans()).map(deque),
        ),
    ),
    "any content": (Wrapped[Any], st.builds(Wrapped[Any], content=ANYTHING)),
    "unstripped": (Stripped, st.builds(Stripped.model_construct, text=st.text())),
    "any extra": (Open, st.builds(Open, id=st.integers(), more=ANYTHING)),
    "any part of a dataclass": (Team, st.builds(Team, ANYTHING, ANYTHING)),
    "any shape": (Drawing, st.builds(Drawing, ANYTHING, ANYTHING, ANYTHING, ANYTHING)),
    "any part of a union": (Circle | Line, st.builds(Circle, ANYTHING) | st.builds(Line, ANYTHING)),
    "any price": (Prices, st.dictionaries(st.text(), ANYTHING, max_size=2).map(Prices)),
    "any part": (Invoice, st.builds(Invoice, ANYTHING, ANYTHING, PRICES, ANYTHING, ANYTHING)),
    "odd moments": (list[Moment], st.lists(MOMENTS_OF_OURS, max_size=2)),
}
"""Messages that an emit may refuse, but that must not change."""
