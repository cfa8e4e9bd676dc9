"""Messages of every kind, odd ones among them, and the law that they are held against."""

from __future__ import annotations

import dataclasses
import enum
import os
from collections import OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from walnats_anyio import Event
from walnats_anyio.serializers import EncodeError


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Kind(enum.StrEnum):
    NEW = "new"


class Might(enum.Flag):
    READ = 1
    WRITE = 2


class Text(str):
    __slots__ = ()


class User(msgspec.Struct, frozen=True):
    id: int
    name: str


class Admin(User, frozen=True):
    level: int = 0


class Sparse(msgspec.Struct, omit_defaults=True, rename="camel", frozen=True):
    first_name: str = ""
    last_seen: int | None = 1
    a_tuple: tuple[int, ...] = ()


class Maybe(msgspec.Struct, frozen=True):
    value: int | msgspec.UnsetType = msgspec.UNSET
    ratio: float | None = None


class Cat(msgspec.Struct, tag=True, frozen=True):
    lives: int


class Dog(msgspec.Struct, tag=True, frozen=True):
    tricks: list[str]


class Row(msgspec.Struct, array_like=True, frozen=True):
    left: int
    right: float = 0.5


class Tree(msgspec.Struct, frozen=True):
    value: Any
    children: tuple[Tree, ...] = ()


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: float
    _note: str = ""


@dataclasses.dataclass(frozen=True)
class Point3(Point):
    z: int = 0


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    lines: list[Point]
    tags: frozenset[str]
    owner: User | None = None
    weight: Decimal = Decimal(1)


@dataclasses.dataclass
class Changes:
    """Decoding is not all that happens to it."""

    text: str

    def __post_init__(self) -> None:
        self.text = self.text.strip()


@dataclasses.dataclass
class Computed:
    """What its field was set to is not what it gives."""

    text: str

    def _get(self) -> str:
        return f"{self.__dict__.get('text')}!"

    def _set(self, value: str) -> None:
        self.__dict__["text"] = value


Computed.text = property(Computed._get, Computed._set)  # type: ignore[assignment]  # a descriptor


@attrs.define
class Account:
    id: int
    _token: str = ""


@attrs.frozen
class Order:
    id: UUID
    lines: list[str]


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Pair(NamedTuple):
    left: int
    right: float


OFFSETS = st.builds(
    timezone, st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59))
) | st.sampled_from(
    [
        None,
        UTC,
        timezone(timedelta(hours=2)),
        timezone(timedelta(minutes=19, seconds=32)),
        timezone(timedelta(hours=23, minutes=59, seconds=59)),
        ZoneInfo("Europe/Berlin"),
    ]
)
INTEGERS = st.integers() | st.sampled_from(
    [
        sign * 2**bits + off
        for bits in (31, 53, 63, 64, 200)
        for sign in (1, -1)
        for off in (-1, 0, 1)
    ]
)
MOMENTS = st.datetimes(timezones=OFFSETS)
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    INTEGERS,
    st.floats(),
    st.text(st.characters(exclude_categories=[])),
    st.text().map(Text),
    st.binary(max_size=5),
    MOMENTS,
    st.dates(),
    st.times(timezones=OFFSETS),
    st.timedeltas(),
    st.uuids(),
    st.decimals(),
    st.sampled_from([Color.RED, Level.LOW, Kind.NEW, Might.READ, Might.READ | Might.WRITE]),
    st.sampled_from(["red", "new", "a", "1", 1, 2, msgspec.UNSET, bytearray(b"x"), object()]),
)
KEYS = st.one_of(
    st.text(max_size=2),
    st.sampled_from(["1", 1, True, 1.0, None, "title", "year", "red", Color.RED, Level.LOW]),
    INTEGERS,
    st.dates(),
    st.uuids(),
    st.floats(),
    st.binary(max_size=2),
)


def collections_of(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(items, max_size=3)
    dicts = st.dictionaries(KEYS, items, max_size=3)
    return st.one_of(
        lists,
        lists.map(tuple),
        dicts,
        dicts.map(OrderedDict),
        dicts.map(lambda some: defaultdict(int, some)),
        st.lists(SCALARS.filter(hashable), max_size=3).map(set),
        st.lists(SCALARS.filter(hashable), max_size=3).map(frozenset),
        objects_of(items),
    )


def objects_of(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects whose fields hold anything at all."""
    classes: list[Any] = [
        User, Admin, Sparse, Maybe, Cat, Dog, Row, Tree, Point, Point3, Parcel, Account, Order, Pair
    ]  # fmt: skip

    def build(cls: Any) -> st.SearchStrategy[Any]:
        names = [
            *getattr(cls, "__struct_fields__", ()),
            *getattr(cls, "__dataclass_fields__", ()),
            *[a.alias for a in getattr(cls, "__attrs_attrs__", ())],
            *getattr(cls, "_fields", ()),
        ]
        return st.builds(cls, **dict.fromkeys(names, items))

    return st.sampled_from(classes).flatmap(build)


def hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


ANYTHING = st.recursive(SCALARS, collections_of, max_leaves=5)

SCHEMAS: list[Any] = [
    Any, object, dict, list, tuple, set, frozenset,
    int, float, str, bool, None, bytes, datetime, date, time, timedelta, UUID, Decimal,
    Annotated[datetime, msgspec.Meta(tz=True)], Annotated[int, msgspec.Meta(ge=0)],
    Color, Level, Kind, Might, Literal["a", 1, None],
    int | str, float | int, float | None, int | float | None, str | None, Row, list[Row | None],
    Decimal | int, datetime | None, User | None, User | Any, Cat | Dog, Level | None,
    Decimal | float,
    list[int], list[float], list[Any], list[User], list[Any | None],
    tuple[int, ...], tuple[int, str], tuple[Point, float], set[int], set[float], frozenset[str],
    frozenset[User], set[tuple[int, float]],
    dict[str, int], dict[int, str], dict[str, Any], dict[int | str, str], dict[Any, Any],
    dict[float, int], dict[UUID, date], dict[date, UUID], dict[Color, int], dict[Level, int],
    dict[bytes, int], dict[datetime, int], dict[Decimal, int], dict[str, float],
    User, Admin, Sparse, Maybe, Tree, Cat, Point, Point3, Parcel, Changes, Computed, Account, Order,
    Movie, Pair, list[Pair], list[Movie], list[Account], dict[str, Parcel],
]  # fmt: skip


def fitting(schema: Any) -> st.SearchStrategy[Any]:
    """Messages that type checkers take for the schema, odd ones among them."""
    if "Any" in str(schema):
        return ANYTHING
    return st.from_type(type(None) if schema is None else schema)


for odd, messages in {
    datetime: MOMENTS,
    time: st.times(timezones=OFFSETS),
    int: INTEGERS,
    Tree: st.recursive(
        st.builds(Tree, SCALARS),
        lambda inner: st.builds(Tree, SCALARS, st.lists(inner, max_size=2).map(tuple)),
        max_leaves=3,
    ),
    Maybe: st.builds(Maybe, INTEGERS | st.just(msgspec.UNSET), st.none() | st.floats()),
    User: st.builds(User, INTEGERS, st.text()) | st.builds(Admin, INTEGERS, st.text(), INTEGERS),
    Point: st.builds(Point, INTEGERS, INTEGERS | st.floats(), st.text()) | st.from_type(Point3),
    Account: st.builds(Account, id=INTEGERS, token=st.text(max_size=1)),
}.items():
    st.register_type_strategy(odd, messages)


def same(one: Any, other: Any) -> bool:
    """The law, told without any help of the code under test."""
    if type(one) is not type(other):
        # An int is a float to type checkers.
        return type(one) is int and type(other) is float and one == other
    if isinstance(one, datetime | time):
        naive = (one.replace(tzinfo=None, fold=0), one.utcoffset())
        return naive == (other.replace(tzinfo=None, fold=0), other.utcoffset())
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and all(any(same(a, b) for b in other) for a in one)
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(map(same, one, other))
    names = [
        *getattr(one, "__struct_fields__", ()),
        *getattr(one, "__dataclass_fields__", ()),
        *[a.name for a in getattr(one, "__attrs_attrs__", ())],
        *getattr(type(one), "__pydantic_fields__", ()),
    ]
    if names:
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    return bool(one == other)


def check_law(event: Event[Any], message: Any) -> None:
    try:
        data = event.encode(message)
    except EncodeError:
        return
    back = event.decode(data)
    assert same(message, back), f"{message!r} arrived as {back!r}"


LAW = settings(
    max_examples=int(os.environ.get("WALNATS_EXAMPLES", "20")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
"""`WALNATS_EXAMPLES=1000` looks further."""
