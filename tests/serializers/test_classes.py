"""Dataclasses: unions of them, and those of a function; nothing of them is left changed."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

import attrs
import msgspec
import pytest

from tests.serializers._models import Bought, Circle, Drawing, Label, Line, Page, Sold, Square
from walnats_anyio import Event
from walnats_anyio.serializers import (
    DataclassSerializer,
    DecodeError,
    EncodeError,
    MessagePackSerializer,
    MsgspecSerializer,
    get_serializer,
)

T = TypeVar("T")


def arrives(schema: Any, *messages: Any) -> None:
    """Check that the messages come back, in both formats."""
    for serializer in (None, MessagePackSerializer[Any](schema)):
        event = Event[Any]("x", schema, serializer)
        for message in messages:
            back = event.decode(event.encode(message))
            assert (type(back), back) == (type(message), message)


# Unions.


@dataclasses.dataclass
class Cube:
    """As Square, by its fields."""

    side: float
    name: str = ""


@dataclasses.dataclass
class Empty:
    pass


def test_nothing_on_the_wire_names_the_class() -> None:
    event = Event("x", Circle | Square)
    assert event.encode(Circle(1.0)) == b'{"radius":1.0}'
    assert event.encode(Square(1.0)) == b'{"side":1.0,"name":""}'
    # The class of which more fields are there, also from a writer that leaves some out.
    assert event.decode(b'{"side":2}') == Square(2.0)
    assert event.decode(b'{"radius":1,"new":1}') == Circle(1.0)


def test_the_types_tell_the_class_where_the_fields_do_not() -> None:
    arrives(Bought | Sold, Bought("bought", 1), Sold("sold", 2))


def test_what_would_arrive_as_another_class_is_refused() -> None:
    event = Event("x", Square | Cube)
    assert event.decode(event.encode(Square(1.0))) == Square(1.0)
    with pytest.raises(EncodeError, match="this Cube would arrive as a Square"):
        event.encode(Cube(1.0))
    with pytest.raises(EncodeError, match="this Sold would arrive as a Bought"):
        Event("x", Bought | Sold).encode(Sold("bought", 1))  # type: ignore[arg-type]  # tested  # pyright: ignore[reportArgumentType]


def test_a_union_may_have_more_than_classes() -> None:
    arrives(Circle | Line | list[int] | int | None, Circle(1.0), Line(1), [1], 2, None)
    arrives(Circle | Label, Circle(1.0), Label(text="a"))
    arrives(Circle | dict[str, int], Circle(1.0), {"a": 1})
    arrives(dict[str, float] | Circle, Circle(1.0), {"a": 1.0})
    arrives(Circle | Empty, Circle(1.0), Empty())
    with pytest.raises(EncodeError, match="this dict would arrive as a Circle"):
        Event("x", Circle | dict[str, int]).encode({"radius": 1})


def test_unions_may_be_anywhere() -> None:
    drawing = Drawing([Circle(1.0), Line(1)], Square(2.0), {"a": Line(1), "b": 1}, Circle(3.0))
    arrives(Drawing, drawing, Drawing([], inner=drawing))
    arrives(Page, Page(Circle(1.0)), Page(Square(1.0), Label(text="a")))
    arrives(list[Page], [Page(Circle(1.0))])
    arrives(tuple[Circle | Square, int], (Square(1.0), 1))


def test_a_wrong_object_names_field_and_types() -> None:
    event = Event("x", Drawing)
    with pytest.raises(
        DecodeError,
        match=r"event 'x' .*none of the union \(Square: Expected `float`, got `str` - at `\$.side`;"
        r" Circle: Object missing required field `radius`; .* - at `\$.shapes\[1\]`",
    ):
        event.decode(b'{"shapes":[{"radius":1},{"side":"x"}]}')


@dataclasses.dataclass
class Left:
    child: Left | Right | None
    kind: Literal["left"] = "left"


@dataclasses.dataclass
class Right:
    child: Left | Right | None
    kind: Literal["right"] = "right"


@dataclasses.dataclass
class Twins:
    children: list[Left | Right]
    kind: Literal["twins"] = "twins"


@pytest.mark.parametrize("serializer", [MsgspecSerializer, MessagePackSerializer])
def test_a_union_in_itself_takes_no_attempt_twice(serializer: Any) -> None:
    """Each level that is told by its last field would double the time: 2**100 attempts."""
    event = Event[Any]("x", Left | Right, serializer(Left | Right))
    message: Left | Right | None = None
    for level in range(100):
        message = Left(message) if level % 3 else Right(message)
    assert event.decode(event.encode(message)) == message
    wrong = {"child": 1}
    for _ in range(60):
        wrong = {"child": wrong, "kind": "right"}  # type: ignore[dict-item]  # that is wrong
    with pytest.raises(DecodeError, match="none of the union") as caught:
        event.decode(serializer.wire.library.encode(wrong))
    assert len(str(caught.value)) < 700


def test_equal_parts_are_two_objects() -> None:
    event = Event[Any]("x", Left | Right | Twins)
    same = Right(Right(Left(None)))
    back = event.decode(event.encode(Twins([same, Right(same), same])))
    assert back == Twins([same, Right(same), same])
    first, second, third = back.children
    known = [first, second, second.child, third]
    assert len({id(each) for each in (*known, *(each.child for each in known))}) == 7


@dataclasses.dataclass
class Calm:
    child: Left | Right
    kind: Literal["calm"] = "calm"


def test_an_attempt_leaves_nothing_behind() -> None:
    """What an option made of the parts inside, before it turned out not to be the one."""

    @dataclasses.dataclass
    class Changing:
        child: Left | Right
        kind: Literal["calm"] = "calm"

        def __post_init__(self) -> None:
            self.child.child = None
            raise ValueError("never")

    event = Event[Any]("x", Changing | Calm)
    message = Calm(Right(Left(None)))
    assert event.decode(event.encode(message)) == message


def test_what_is_plain_from_the_classes_is_not_decoded_again() -> None:
    serializer = DataclassSerializer(Circle | Square | Line)
    assert serializer._is_exact(Circle(1.0))
    assert serializer._is_exact(Line(1, None))
    assert not serializer._is_exact(Circle(float("nan")))
    assert not DataclassSerializer(Square | Cube)._is_exact(Square(1.0))
    assert not DataclassSerializer(Circle | Label)._is_exact(Circle(1.0))
    assert MsgspecSerializer(list[Circle | Square])._is_exact([Circle(1.0), Square(1.0, "a")])


@dataclasses.dataclass
class Untouched:
    shape: Circle | Square


def test_the_classes_are_as_they_were() -> None:
    before = dict(vars(Untouched))
    arrives(Untouched, Untouched(Circle(1.0)))
    assert dict(vars(Untouched)) == before
    with pytest.raises(TypeError, match="more than one dataclass"):
        msgspec.json.Decoder(Untouched)


class Held(msgspec.Struct):
    shape: Circle | Square


def test_a_decoder_of_someone_else_does_not_take_what_it_cannot_check() -> None:
    # msgspec keeps what it knows of a Struct for good.
    arrives(Held, Held(Circle(1.0)))
    with pytest.raises((TypeError, msgspec.ValidationError)):
        msgspec.json.Decoder(Held).decode(b'{"shape":{"radius":1}}')


# Classes of a function.


def test_classes_of_a_function() -> None:
    @dataclasses.dataclass
    class Inner:
        value: int

    @dataclasses.dataclass
    class Outer:
        first: Inner
        rest: list[Inner | Circle]
        nested: Outer | None = None

    class Typed(TypedDict):
        inner: Inner
        outer: NotRequired[Outer]

    class Named(NamedTuple):
        inner: Inner
        number: int = 3

    @attrs.frozen
    class WithAttrs:
        inner: Inner

    class Struct(msgspec.Struct):
        inner: Inner
        nested: Struct | None = None

    @dataclasses.dataclass
    class Of(Generic[T]):
        content: T
        kind: Literal["of"] = "of"

    class Chain(dict[str, "Chain"]):
        pass

    one = Inner(1)
    arrives(Outer, Outer(one, [one, Circle(1.0)], Outer(one, [])))
    arrives(list[Inner], [one])
    arrives(Typed, {"inner": one})
    arrives(Named, Named(one))
    arrives(WithAttrs, WithAttrs(one))
    arrives(Struct, Struct(one, Struct(one)))
    arrives(Of[Inner], Of(one))
    arrives(Chain, Chain(a=Chain()))
    described = get_serializer(Outer).json_schema()
    assert described is not None
    assert set(described["$defs"]) == {"Outer", "Inner", "Circle"}


class Holder:
    def declare(self, depth: int) -> list[Event[Any]]:
        @dataclasses.dataclass
        class Inner:
            value: int

        class Around:
            @dataclasses.dataclass
            class Deep:
                inner: Inner

        deeper = self.declare(depth - 1) if depth else []
        event = Event[Any](f"e{depth}", Around.Deep)
        assert event.decode(event.encode(Around.Deep(Inner(1)))) == Around.Deep(Inner(1))
        return [event, *deeper]


def test_each_call_of_a_function_has_classes_of_its_own() -> None:
    events = Holder().declare(2)
    kinds = {type(event.decode(b'{"inner":{"value":1}}').inner) for event in events}
    assert len(kinds) == 3


def make_class() -> Any:
    @dataclasses.dataclass
    class Inner:
        value: int

    @dataclasses.dataclass
    class Gone:
        inner: Inner

    return Gone


def test_a_class_whose_function_is_over_is_refused_with_a_remedy() -> None:
    with pytest.raises(TypeError, match="name 'Inner', which is not there: define it before") as e:
        Event("x", make_class())
    assert "in that same function" in str(e.value)


def test_threads_may_declare_at_the_same_time() -> None:
    wrong: list[object] = []

    def declare() -> None:
        try:
            for _ in range(10):
                arrives(Drawing, Drawing([Circle(1.0)], Square(1.0)))
                arrives(Untouched, Untouched(Circle(1.0)))
                arrives(Page, Page(Circle(1.0)))
        except BaseException as error:
            wrong.append(error)
            raise

    threads = [threading.Thread(target=declare) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
