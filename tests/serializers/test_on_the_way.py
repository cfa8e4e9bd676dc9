"""From emit to the handler, through a real server: equal, or refused."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import anyio
import attrs
import msgspec
import pytest

from tests.serializers._models import (
    Address,
    Cat,
    Circle,
    Drawing,
    Email,
    House,
    Line,
    Person,
    Pet,
    Square,
    Team,
)
from tests.support.waiting import DEADLINE
from walnats_anyio import Actor, Actors, Event, Events
from walnats_anyio.serializers import Codec, EncodeError, MessagePackSerializer
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

LMT = timezone(timedelta(minutes=19, seconds=32))
NEARLY_A_DAY = timezone(timedelta(hours=23, minutes=59, seconds=59))


@attrs.define
class User:
    """A private field is not written (msgspec 803)."""

    id: int
    _token: str = attrs.field(default="", alias="token")


class Shape(msgspec.Struct):
    """The base class as a type has no fields (msgspec 25)."""

    kind: msgspec.Struct


class Ring(msgspec.Struct):
    radius: int


@dataclasses.dataclass
class Meeting:
    """A time offset may have seconds (msgspec 384)."""

    at: datetime


REFUSED_WHERE_DECLARED: list[Any] = [msgspec.Struct, Shape, dict[str, complex]]
REFUSED_WHERE_EMITTED: list[tuple[Any, Any]] = [
    (User, User(1, token="secret")),
    (Meeting, Meeting(datetime(1930, 1, 1, tzinfo=LMT))),
    (Meeting, Meeting(datetime(2020, 1, 1, tzinfo=NEARLY_A_DAY))),
    (dict[int | str, str], {1: "a", "1": "b"}),
    (dict[int | str, str], {1: "a"}),
    (Address, House(street="a")),
    (Circle | Square, Line(1)),
]
ARRIVES: list[tuple[Any, Any, Any]] = [
    (User, User(1), None),
    (Meeting, Meeting(datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=2)))), None),
    (datetime, datetime(1930, 1, 1, tzinfo=LMT), None),
    (datetime, datetime(2020, 1, 1, tzinfo=NEARLY_A_DAY), None),
    (Person, Person(fullName="Ada", home=Address(street="a"), tags={"x"}), None),
    (list[Pet], [Cat(lives=9)], None),
    (Team, Team([Address(street="a")]), None),
    (Circle | Square, Square(1.0), None),
    (Drawing, Drawing([Circle(1.0), Line(1)]), None),
    (Email, Email("a@b"), None),
    (Drawing, Drawing([Square(1.0)]), MessagePackSerializer(Drawing)),
    (
        dict[tuple[int, int], bytes],
        {(1, 2): b"\xff"},
        MessagePackSerializer(dict[tuple[int, int], bytes]),
    ),
]


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


def declare(schema: Any, serializer: Codec[Any] | None = None) -> Event[Any]:
    return Event(f"values-{secrets.token_hex(6)}", schema, serializer, storage="memory")


@pytest.mark.parametrize("schema", REFUSED_WHERE_DECLARED, ids=str)
def test_refused_where_declared(schema: Any) -> None:
    with pytest.raises(TypeError, match="no serializer for the schema"):
        declare(schema)


async def test_refused_where_emitted(server: NatsServer) -> None:
    events = [(declare(schema), message) for schema, message in REFUSED_WHERE_EMITTED]
    async with Events(*[event for event, _ in events]).connect(server.url) as connected:
        for event, message in events:
            with pytest.raises(EncodeError, match=f"event '{event.name}' takes"):
                await connected.emit(event, message)


async def test_equal_in_value_and_type(server: NatsServer) -> None:
    cases = [(declare(schema, serializer), message) for schema, message, serializer in ARRIVES]
    arrived: dict[str, Any] = {}

    def keeper(name: str) -> Any:
        async def keep(message: Any) -> None:
            arrived[name] = message

        return keep

    actors = Actors(*[Actor(event.name, event, keeper(event.name)) for event, _ in cases])
    async with (
        Events(*[event for event, _ in cases]).connect(server.url) as events,
        actors.connect(server.url) as connected,
    ):
        with anyio.fail_after(DEADLINE):
            await events.register()
            await connected.register()
            for event, message in cases:
                await events.emit(event, message, sync=True)
            await connected.listen(burst=True)
    for event, message in cases:
        back = arrived[event.name]
        assert (type(back), back) == (type(message), message)
