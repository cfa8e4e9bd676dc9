"""Every schema goes out and comes back; what does not fit stays out, in both directions."""

from __future__ import annotations

import dataclasses
import pickle
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    TypedDict,
    TypeVar,
    Union,
    assert_type,
)
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pytest
import typing_extensions
from hypothesis import given, settings
from hypothesis import strategies as st

from walnats_anyio import Event
from walnats_anyio.serializers import (
    BytesSerializer,
    DatetimeSerializer,
    DecodeError,
    EncodeError,
    MessagePackSerializer,
    MsgspecSerializer,
    Serializer,
    get_serializer,
)

T = TypeVar("T")


class User(msgspec.Struct, frozen=True):
    id: int
    name: str


class Admin(User, frozen=True):
    level: int


class Cat(msgspec.Struct, tag=True, frozen=True):
    lives: int


class Dog(msgspec.Struct, tag=True, frozen=True):
    tricks: list[str]


class Tree(msgspec.Struct, frozen=True):
    value: int
    children: list[Tree] = []


class Box(msgspec.Struct, Generic[T], frozen=True):
    content: T


class Adult(msgspec.Struct, frozen=True):
    age: Annotated[int, msgspec.Meta(ge=18)]


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.0


@attrs.frozen
class Order:
    id: UUID
    lines: list[str]


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class OldMovie(typing_extensions.TypedDict):
    title: str


class Pair(NamedTuple):
    left: int
    right: str


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Kind(StrEnum):
    NEW = "new"


class Everything(msgspec.Struct, frozen=True):
    user: User
    point: Point
    movie: Movie
    pair: Pair
    color: Color
    moment: datetime
    key: UUID
    amount: Decimal
    raw: bytes
    anything: Any
    maybe: Cat | Dog | None = None


UserId = NewType("UserId", int)

ANY_TIME = st.datetimes(timezones=st.sampled_from([None, UTC]))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
USERS = st.builds(User, id=st.integers(), name=st.text())
TREES = st.recursive(
    st.builds(Tree, value=st.integers()),
    lambda children: st.builds(Tree, value=st.integers(), children=st.lists(children, max_size=3)),
    max_leaves=8,
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | FINITE | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)

# Each schema with the messages that must come back as they went.
SCHEMAS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "Struct": (User, USERS),
    "nested Struct": (Tree, TREES),
    "generic Struct": (Box[int], st.builds(Box[int], content=st.integers())),
    "constrained Struct": (Adult, st.builds(Adult, age=st.integers(min_value=18))),
    "tagged union": (Cat | Dog, st.builds(Cat, lives=st.integers()) | st.builds(Dog)),
    "dataclass": (Point, st.builds(Point, x=st.integers(), y=FINITE)),
    "attrs": (Order, st.builds(Order, id=st.uuids(), lines=st.lists(st.text()))),
    "TypedDict": (Movie, st.builds(Movie, title=st.text(), year=st.integers())),
    "typing_extensions.TypedDict": (OldMovie, st.builds(OldMovie, title=st.text())),
    "NamedTuple": (Pair, st.builds(Pair)),
    "int": (int, st.integers()),
    "float": (float, FINITE),
    "float given as int": (float, st.integers(-(2**53), 2**53)),
    "bool": (bool, st.booleans()),
    "str": (str, st.text()),
    "None": (None, st.none()),
    "NoneType": (type(None), st.none()),
    "list": (list, st.lists(st.integers())),
    "list[int]": (list[int], st.lists(st.integers())),
    "list[User]": (list[User], st.lists(USERS, max_size=3)),
    "dict[str, User]": (dict[str, User], st.dictionaries(st.text(), USERS, max_size=3)),
    "dict[int, str]": (dict[int, str], st.dictionaries(st.integers(), st.text(), max_size=3)),
    "dict[UUID, date]": (dict[UUID, date], st.dictionaries(st.uuids(), st.dates(), max_size=3)),
    "Mapping": (Mapping[str, int], st.dictionaries(st.text(), st.integers(), max_size=3)),
    "Sequence": (Sequence[int], st.lists(st.integers())),
    "tuple[int, str]": (tuple[int, str], st.tuples(st.integers(), st.text())),
    "tuple[int, ...]": (tuple[int, ...], st.lists(st.integers()).map(tuple)),
    "set": (set[int], st.sets(st.integers())),
    "frozenset": (frozenset[str], st.frozensets(st.text())),
    "datetime": (datetime, ANY_TIME),
    "date": (date, st.dates()),
    "time": (time, st.times(timezones=st.sampled_from([None, UTC]))),
    "timedelta": (timedelta, st.timedeltas()),
    "UUID": (UUID, st.uuids()),
    "Decimal": (Decimal, st.decimals(allow_nan=False)),
    "Enum": (Color, st.sampled_from(Color)),
    "IntEnum": (Level, st.sampled_from(Level)),
    "StrEnum": (Kind, st.sampled_from(Kind)),
    "Literal": (Literal["a", 1, None], st.sampled_from(["a", 1, None])),
    "int | str": (int | str, st.integers() | st.text()),
    "Union": (Union[User, int], USERS | st.integers()),  # noqa: UP007  # the old spelling works too
    "Optional": (Optional[Point], st.none() | st.builds(Point, x=st.integers(), y=FINITE)),  # noqa: UP045  # likewise
    "bytes | None": (bytes | None, st.none() | st.binary()),
    "Any": (Any, JSON),
    "Any | None": (Optional[Any], JSON),  # noqa: UP045  # `Any | None` is no expression before 3.14
    "object": (object, JSON),
    "Annotated": (Annotated[int, msgspec.Meta(gt=0)], st.integers(min_value=1)),
    "Annotated[Any]": (Annotated[Any, "note"], JSON),
    "NewType": (UserId, st.integers()),
    "TypeVar": (T, JSON),
    "everything": (
        Everything,
        st.builds(
            Everything,
            user=USERS,
            point=st.builds(Point, x=st.integers(), y=FINITE),
            moment=ANY_TIME,
            amount=st.decimals(allow_nan=False),
            anything=JSON,
        ),
    ),
    "bytes": (bytes, st.binary()),
}

if sys.version_info >= (3, 12):
    from typing import TypeAliasType

    SCHEMAS["type alias"] = (TypeAliasType("Alias", int | str), st.integers() | st.text())
    SCHEMAS["type alias of bytes"] = (TypeAliasType("Blob", bytes), st.binary())


@pytest.mark.parametrize("label", SCHEMAS)
def test_what_goes_out_comes_back(label: str) -> None:
    schema, messages = SCHEMAS[label]
    serializer: Serializer[Any] = get_serializer(schema)

    @settings(max_examples=30, deadline=None)
    @given(messages)
    def round_trip(message: Any) -> None:
        data = serializer.encode(message)
        assert type(data) is bytes
        back = serializer.decode(data)
        assert back == message
        if not label.startswith("float"):
            assert type(back) is type(message)

    round_trip()


@pytest.mark.parametrize("label", SCHEMAS)
@settings(max_examples=20, deadline=None)
@given(data=st.binary() | st.from_regex(rb'[\[{"0-9tfn][ -~]*', fullmatch=True))
def test_rubbish_is_a_value_error_or_a_message(label: str, data: bytes) -> None:
    serializer: Serializer[Any] = get_serializer(SCHEMAS[label][0])
    try:
        message = serializer.decode(data)
    except (ValueError, RecursionError):
        return
    assert serializer.decode(serializer.encode(message)) == message or message != message


def test_json_is_compact_and_plain() -> None:
    assert get_serializer(User).encode(User(1, "Zoë")) == '{"id":1,"name":"Zoë"}'.encode()
    assert get_serializer(bytes).encode(b"\x00\xff") == b"\x00\xff"


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (User, {"id": 1, "name": "a"}),
        (User, None),
        (User, User),
        (User, b'{"id":1,"name":"a"}'),
        (User, Cat(lives=9)),
        (User, User(id="1", name="a")),  # type: ignore[arg-type]  # a wrong field is what is tested
        (Adult, Adult(age=17)),
        (Point, Point(x="1")),  # type: ignore[arg-type]  # likewise
        (Point, Point(1, float("nan"))),
        (Order, Order(id="1", lines=[])),  # type: ignore[arg-type]  # likewise
        (Pair, (1, "a")),
        (Movie, {"year": 1999}),
        (Movie, [("title", "a")]),
        (int, True),
        (int, 1.0),
        (int, "1"),
        (int, None),
        (float, "1.0"),
        (float, True),
        (float, Decimal(1)),
        (float, float("nan")),
        (float, float("inf")),
        (bool, 1),
        (str, b"a"),
        (str, "\ud800"),
        (None, 0),
        (list[int], (1, 2)),
        (list[int], {1, 2}),
        (list[int], [1, "2"]),
        (list[int], [True]),
        (list[User], [User(1, "a"), {"id": 1}]),
        (dict[str, int], {1: 1.5}),
        (dict[str, int], [("a", 1)]),
        (set[int], [1]),
        (tuple[int, str], (1,)),
        (Sequence[int], "12"),
        (datetime, "2020-01-01T00:00:00"),
        (datetime, date(2020, 1, 1)),
        (date, datetime(2020, 1, 1, tzinfo=UTC)),
        (UUID, "00000000-0000-0000-0000-000000000000"),
        (Decimal, 1.5),
        (Color, "red"),
        (Literal["a"], "b"),
        (int | str, 1.5),
        (Cat | Dog, User(1, "a")),
        (Annotated[int, msgspec.Meta(gt=0)], 0),
        (Annotated[str, msgspec.Meta(max_length=3)], "abcd"),
        (Any, {(1, 2): 3}),
        (Any, object()),
        (bytes, "a"),
        (bytes, bytearray(b"a")),
        (bytes, memoryview(b"a")),
        (Box[int], Box(content="a")),
    ],
)
def test_a_message_that_does_not_fit_is_refused_before_it_leaves(schema: Any, message: Any) -> None:
    serializer: Serializer[Any] = get_serializer(schema)
    with pytest.raises((TypeError, ValueError)):
        serializer.encode(message)


OF_WRONG_CLASS: list[tuple[Any, Any, str]] = [
    (User, {}, "expected User, got dict"),
    (Box[int], User(1, "a"), "expected .*Box.*, got User"),
    (Movie, [], "expected Movie, got list"),
    (OldMovie, None, "expected OldMovie, got NoneType"),
    (Pair, (1, "a"), "expected Pair, got tuple"),
    (list[int], (1,), r"expected list\[int\], got tuple"),
    (Mapping[str, int], [], "expected .*Mapping.*, got list"),
    (UserId, "1", "expected .*UserId, got str"),
    (None, 0, "expected None, got int"),
    (float, "1", "expected float, got str"),
    (Color, "red", "expected Color, got str"),
    (Literal["a", 1], b"a", "expected .*Literal.*, got bytes"),
    (int | str, None, r"expected int \| str, got NoneType"),
    (Optional[User], {}, "expected .*Optional.*, got dict"),  # noqa: UP045  # the old spelling works too
    (Annotated[int, "note"], "1", "expected .*Annotated.*, got str"),
]

if sys.version_info >= (3, 12):
    OF_WRONG_CLASS.append((TypeAliasType("Alias", int | str), None, "expected Alias, got NoneType"))


@pytest.mark.parametrize(("schema", "message", "told"), OF_WRONG_CLASS)
def test_the_wrong_class_is_named(schema: Any, message: Any, told: str) -> None:
    serializer: Serializer[Any] = MsgspecSerializer(schema, check=False)
    with pytest.raises(TypeError, match=f"^{told}$"):
        serializer.encode(message)


def test_the_wrong_field_is_named() -> None:
    with pytest.raises(ValueError, match=r"Expected `int`, got `str` - at `\$.id`"):
        get_serializer(User).encode(User(id="x", name="a"))  # type: ignore[arg-type]  # tested


@attrs.define
class Account:
    id: int
    _token: str = attrs.field(default="", alias="token")


@attrs.define
class Locked:
    _token: str


class Shape(msgspec.Struct):
    kind: msgspec.Struct


@dataclasses.dataclass
class Meeting:
    at: datetime


@dataclasses.dataclass
class Trimmed:
    text: str

    def __post_init__(self) -> None:
        self.text = self.text.strip()


ODD = timezone(timedelta(hours=23, minutes=59, seconds=59))


@pytest.mark.parametrize(
    ("schema", "message", "told"),
    [
        (User, Admin(1, "a", level=3), r"this Admin would arrive as a User - at `\$`"),
        (list[User], [Admin(1, "a", level=3)], r"this Admin .* at `\$\[0\]`"),
        (dict, {"a": [1.5, float("nan")]}, r"nan would arrive as None - at `\$\[...\]\[1\]`"),
        (list, [float("-inf")], "-inf would arrive as None"),
        (Any, float("inf"), "inf would arrive as None"),
        (Any, (1, 2), "this tuple would arrive as a list"),
        (User | Any, User(1, "a"), "this User would arrive as a dict"),
        (Any, [UUID(int=1)], r"this UUID would arrive as a str - at `\$\[0\]`"),
        (Any, {1: "a"}, r"this int would arrive as a str - at `\$.keys\(\)`"),
        (dict[int | str, str], {1: "a", "1": "b"}, "2 keys would arrive as 1"),
        (dict[int | str, str], {1: "a"}, "this int would arrive as a str"),
        (dict[str, int], Counter("a"), "this Counter would arrive as a dict"),
        (list[int], [Level.LOW], "this Level would arrive as an? int"),
        (str, Kind.NEW, "this Kind would arrive as a str"),
        (float, 2**53 + 1, "this int would arrive as a float"),
        (float | None, float("nan"), "nan would arrive as None"),
        (Account, Account(1, token="x"), r"this str would arrive as another str - at `\$._token`"),
        (Meeting, Meeting(datetime(2020, 1, 1, tzinfo=ODD)), "offset 23:59:59 .* offset 0:00:00"),
        (time, time(1, tzinfo=ODD), "offset 23:59:59 .* offset"),
        (Trimmed, Trimmed("x"), "would arrive as another str"),
        (Point, Point(1, 2**60 + 1), r"would arrive as a float - at `\$.y`"),
    ],
)
def test_what_would_arrive_as_something_else_is_refused(
    schema: Any, message: Any, told: str
) -> None:
    if isinstance(message, Trimmed):
        message.text = " x "
    with pytest.raises((TypeError, ValueError), match=told):
        get_serializer(schema).encode(message)


def test_values_are_not_told() -> None:
    with pytest.raises(ValueError, match="another str") as caught:
        get_serializer(Account).encode(Account(1, token="secret"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (float, 2),
        (Point, Point(1, 2)),
        (Account, Account(1)),
        (Meeting, Meeting(datetime(2020, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")))),
        # An hour that comes twice: == is never true between zones then.
        (Meeting, Meeting(datetime(2020, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1))),
    ],
)
def test_what_arrives_as_good_as_it_is(schema: Any, message: Any) -> None:
    serializer: Serializer[Any] = get_serializer(schema)
    back = serializer.decode(serializer.encode(message))
    if isinstance(message, Meeting):
        assert back.at.isoformat() == message.at.isoformat()
    else:
        assert back == message


# Dates and moments


@pytest.mark.parametrize(
    ("schema", "message", "data"),
    [
        (datetime, datetime(2020, 1, 2, 3, 4, 5), b"2020-01-02T03:04:05"),  # noqa: DTZ001
        (datetime, datetime(2020, 1, 2, tzinfo=UTC), b"2020-01-02T00:00:00+00:00"),
        (datetime, datetime(2020, 1, 2, tzinfo=ODD), b"2020-01-02T00:00:00+23:59:59"),
        (date, date(2020, 1, 2), b"2020-01-02"),
        (Annotated[datetime, "when"], datetime(1, 1, 1, tzinfo=UTC), b"0001-01-01T00:00:00+00:00"),
    ],
)
def test_dates_are_plain_text(schema: Any, message: Any, data: bytes) -> None:
    serializer: Serializer[Any] = get_serializer(schema)
    assert isinstance(serializer, DatetimeSerializer)
    assert serializer.encode(message) == data
    assert serializer.decode(data) == message
    assert serializer.decode(b'"%s"' % data) == message


@pytest.mark.parametrize("offset", [UTC, None, timezone(timedelta(hours=5, minutes=30)), ODD])
@given(moment=st.datetimes())
def test_dates_come_back(offset: timezone | None, moment: datetime) -> None:
    moment = moment.replace(tzinfo=offset)
    serializer = get_serializer(datetime)
    back = serializer.decode(serializer.encode(moment))
    assert (back, back.utcoffset()) == (moment, moment.utcoffset())
    if offset is not ODD:
        # As this library wrote it once, and MsgspecSerializer does.
        assert serializer.decode(msgspec.json.encode(moment)) == moment


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (datetime, b"now"), (datetime, b""), (datetime, b'"'), (datetime, b'"now"'),
        (datetime, b"5"), (datetime, b"\xff"), (datetime, b"2020-13-01"),
        (date, b"2020-01-01T00:00:00"), (date, b"null"), (date, b'"2020-01-01" "'),
        (Annotated[datetime, msgspec.Meta(tz=True)], b"2020-01-02T03:04:05"),
        (Annotated[datetime, msgspec.Meta(tz=False)], b"2020-01-02T03:04:05Z"),
    ],
)  # fmt: skip
def test_text_that_is_no_date(schema: Any, data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        get_serializer(schema).decode(data)


class Moment(datetime):
    pass


@pytest.mark.parametrize(
    ("schema", "message", "told"),
    [
        (datetime, Moment(2020, 1, 1, tzinfo=UTC), "expected datetime, got Moment"),
        (date, datetime(2020, 1, 1, tzinfo=UTC), "expected date, got datetime"),
        (datetime, date(2020, 1, 1), "expected datetime, got date"),
        (datetime, "2020-01-01", "expected datetime, got str"),
        (Annotated[datetime, msgspec.Meta(tz=False)], datetime.now(UTC), "without a time zone"),
        (Annotated[datetime, msgspec.Meta(tz=True)], datetime(1, 1, 1), "with a time zone"),  # noqa: DTZ001
    ],
)
def test_what_is_no_date_is_refused(schema: Any, message: Any, told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        get_serializer(schema).encode(message)


def test_an_offset_that_python_does_not_read_back_is_refused() -> None:
    event = Event("x", datetime)
    fine = timezone(timedelta(seconds=1, microseconds=1))
    assert event.decode(event.encode(datetime(2020, 1, 1, tzinfo=fine))).tzinfo == fine
    with pytest.raises(EncodeError, match="would arrive as"):
        event.encode(datetime(2020, 1, 1, tzinfo=timezone(timedelta(microseconds=1))))


def test_a_serializer_of_dates_takes_nothing_else() -> None:
    with pytest.raises(TypeError, match="takes datetime or date, not int"):
        DatetimeSerializer(int)  # type: ignore[type-var]  # what is tested  # pyright: ignore[reportArgumentType]


class Blob(bytes):
    __slots__ = ()


def test_a_subclass_of_bytes_would_arrive_as_bytes() -> None:
    with pytest.raises(TypeError, match="expected bytes, got Blob"):
        get_serializer(bytes).encode(Blob(b"x"))


def test_recursive_data_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(RecursionError):
        get_serializer(list).encode(endless)


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (User, b""),
        (User, b"{"),
        (User, b"{}"),
        (User, b'{"id":"1","name":"a"}'),
        (User, b'{"id":1,"name":"a"} x'),
        (User, b'{"id":1,"name":"\xff"}'),
        (User, b"[1, 2]"),
        (Adult, b'{"age":17}'),
        (Point, b'{"x":"1"}'),
        (Order, b'{"id":"x","lines":[]}'),
        (Pair, b'["a",1]'),
        (int, b"1.5"),
        (int, b'"1"'),
        (int, b"true"),
        (list[int], b'[1,"2"]'),
        (datetime, b'"yesterday"'),
        (Color, b'"green"'),
        (None, b"0"),
        (Any, b"["),
    ],
)
def test_decoding_validates(schema: Any, data: bytes) -> None:
    serializer: Serializer[Any] = get_serializer(schema)
    with pytest.raises(ValueError, match=r".+"):
        serializer.decode(data)


def test_unknown_fields_are_ignored_so_that_schemas_can_grow() -> None:
    assert get_serializer(User).decode(b'{"id":1,"name":"a","new":[]}') == User(1, "a")


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    id: int


def test_unknown_fields_are_refused_where_the_class_says_so() -> None:
    for serializer in (None, MessagePackSerializer(Closed)):
        event = Event("x", Closed, serializer)
        assert event.decode(event.encode(Closed(1))) == Closed(1)
    with pytest.raises(DecodeError, match=r"unknown field `new` - at `\$\[0\]`"):
        Event("x", list[Closed]).decode(b'[{"id":1,"new":[]}]')


class Plain:
    pass


class Lost(msgspec.Struct):
    plain: Plain


class Deep(msgspec.Struct):
    lost: dict[str, list[Lost | None]]


class Undefined(msgspec.Struct):
    x: Nowhere  # type: ignore[name-defined]  # noqa: F821  # what is tested


class Mixed(Enum):
    ONE = 1
    TWO = "two"


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (Plain, "Plain"),
        (Lost, "Plain"),
        (Deep, "Plain"),
        (list[Plain], "Plain"),
        (tuple[int, Plain], "Plain"),
        (Annotated[Plain, msgspec.Meta(title="plain")], "Plain"),
        (Plain | None, "Plain"),
        (Undefined, "Nowhere"),
        (Mixed, "Mixed"),
        (complex, "complex"),
        (Exception, "Exception"),
        ("User", "User"),
        (5, "5"),
        (User(1, "a"), "User"),
        (print, "print"),
        (msgspec.msgpack.Ext, "Ext"),
        (dict[tuple[int, int], str], "tuple"),
        (dict[bool, str], "bool"),
        (dict[None, str], "none"),
        (dict[frozenset[int], str], "frozenset"),
        (list[int] | tuple[int, ...] | Point, "array-like"),
        (list[int] | set[int], "array-like"),
        (bytearray, "bytearray"),
        (memoryview, "memoryview"),
        (Annotated[bytes, msgspec.Meta(max_length=3)], "bytes"),
        (msgspec.Struct, "msgspec.Struct itself"),
        (Shape, "msgspec.Struct itself"),
        (list[msgspec.Struct | None], "msgspec.Struct itself"),
        (Locked, "private field '_token' of Locked"),
        (dict[str, Locked], "private field '_token' of Locked"),
    ],
)
def test_a_schema_without_a_serializer_is_refused_with_a_remedy(schema: Any, told: str) -> None:
    with pytest.raises(LookupError, match="serializer=") as caught:
        get_serializer(schema)
    assert told in str(caught.value)


@pytest.mark.parametrize("schema", [bytes, NewType("Blob", bytes), Annotated[bytes, "a blob"]])
def test_bytes_by_any_name_travel_as_they_are(schema: Any) -> None:
    assert get_serializer(schema) == BytesSerializer()


def test_without_check_only_the_class_is_looked_at() -> None:
    serializer = MsgspecSerializer(User, check=False)
    wrong = User(id="x", name="a")  # type: ignore[arg-type]  # what is tested
    assert serializer.encode(wrong) == b'{"id":"x","name":"a"}'
    with pytest.raises(TypeError):
        serializer.encode({})  # type: ignore[arg-type]  # what is tested


def test_serializers_are_values() -> None:
    one = MsgspecSerializer(User)
    assert one == MsgspecSerializer(User)
    assert hash(one) == hash(MsgspecSerializer(User))
    assert one != MsgspecSerializer(User, check=False)
    assert one != MsgspecSerializer(Admin)
    assert repr(one) == f"MsgspecSerializer(schema={User!r}, check=True)"
    assert BytesSerializer() == BytesSerializer()


@pytest.mark.parametrize(
    "serializer", [MsgspecSerializer(User), MsgspecSerializer(list[User], check=False)]
)
def test_a_serializer_can_be_pickled(serializer: MsgspecSerializer[Any]) -> None:
    copy = pickle.loads(pickle.dumps(serializer))
    assert copy == serializer
    assert (
        copy.decode(b"[]" if serializer.schema is not User else b'{"id":1,"name":"a"}') is not None
    )


@pytest.mark.parametrize("kind", [EncodeError, DecodeError])
def test_the_errors_can_be_pickled(kind: type[Exception]) -> None:
    error = pickle.loads(pickle.dumps(kind("why")))
    assert type(error) is kind
    assert str(error) == "why"


def test_type_checkers_know_the_message() -> None:
    assert_type(get_serializer(User).decode(b'{"id":1,"name":"a"}'), User)
    assert_type(get_serializer(list[int]).decode(b"[]"), list[int])
    assert_type(MsgspecSerializer(User).decode(b'{"id":1,"name":"a"}'), User)
    assert_type(BytesSerializer().decode(b""), bytes)
