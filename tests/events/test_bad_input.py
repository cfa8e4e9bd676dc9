"""Wrong arguments: refused by the call that was given them, with the value and what to do."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, TypedDict

import msgspec
import pytest

import walnats_anyio as walnats
from tests.link._probe import count, keep
from tests.support.waiting import DEADLINE
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedEvents

pytestmark = pytest.mark.anyio


class User(msgspec.Struct):
    id: int
    name: str


@dataclass
class Point:
    x: int


class Colour(enum.Enum):
    RED = "red"


class Address(TypedDict):
    city: str


Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]

USER = walnats.Event("user-created", User)
SMALL = walnats.Event("small", bytes, limits=walnats.Limits(message_size=100))
BYTES = walnats.Event("data", bytes)
EVENTS = walnats.Events(USER, SMALL, BYTES)

WRONG: list[tuple[Any, Any]] = [
    (User, {"id": 1, "name": "Kim"}),
    (User, User("1", "Kim")),  # type: ignore[arg-type]  # what is tested  # pyright: ignore[reportArgumentType]
    (User, User),
    (User, None),
    (Point, User(1, "Kim")),
    (Colour, "red"),
    (Address, {"town": "Ulm"}),
    (int, "1"),
    (int, 1.5),
    (bool, 1),
    (str, b"x"),
    (bytes, "x"),
    (bytes, bytearray(b"x")),
    (list[int], [1, "2"]),
    (list[int], (1, 2)),
    (dict[str, int], {"a": "b"}),
    (datetime, "2020-01-01"),
    (Percent, 101),
    (float, float("nan")),
]


@pytest.fixture
async def conn(nats_server: NatsServer) -> AsyncIterator[ConnectedEvents]:
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        yield conn


# The message


@pytest.mark.parametrize(("schema", "message"), WRONG, ids=lambda value: repr(value)[:40])
async def test_a_message_of_another_type(nats_url: str, schema: Any, message: Any) -> None:
    event = walnats.Event("user-created", schema)
    async with walnats.Events(event).connect(nats_url) as conn:
        await conn.register()
        for sync in (False, True):
            with pytest.raises((TypeError, ValueError), match=r"event 'user-created' takes "):
                await conn.emit(event, message, sync=sync)
            with pytest.raises((TypeError, ValueError), match=r"event 'user-created' takes "):
                await conn.emit_many(event, [message], sync=sync)


async def test_a_message_of_another_type_is_a_type_error(conn: ConnectedEvents) -> None:
    wrong: Any = "Kim"
    with pytest.raises(TypeError, match="'user-created' takes User, and this message \\(str\\) "):
        await conn.emit(USER, wrong)


# The event


async def test_an_event_that_is_not_in_the_registry(conn: ConnectedEvents) -> None:
    for other in (walnats.Event("other", int), walnats.Event("user-created", int)):
        for sync in (False, True):
            with pytest.raises(ValueError, match=f"event '{other.name}' is not in the registry"):
                await conn.emit(other, 1, sync=sync)
        with pytest.raises(ValueError, match="is not in the registry"):
            await conn.emit_many(other, [1])


@pytest.mark.parametrize("event", ["user-created", None, 5, User, User(1, "Kim"), object()])
async def test_what_is_no_event(conn: ConnectedEvents, event: Any) -> None:
    with pytest.raises(TypeError, match="emit takes an event first, not"):
        await conn.emit(event, User(1, "Kim"))
    with pytest.raises(TypeError, match="emit takes an event first, not"):
        await conn.emit_many(event, [User(1, "Kim")])


# Its size


async def test_a_message_larger_than_the_server_takes() -> None:
    with NatsServer(config={"max_payload": 1000}) as server:
        async with EVENTS.connect(server.url) as conn:
            await conn.register()
            await keep(server, BYTES)
            await conn.emit(BYTES, b"x" * 1000)
            for sync in (False, True):
                with pytest.raises(walnats.MessageTooLargeError, match=r"1001 bytes.* most 1000 "):
                    await conn.emit(BYTES, b"x" * 1001, sync=sync)
                # Headers count.
                with pytest.raises(walnats.MessageTooLargeError, match="with its headers"):
                    await conn.emit(BYTES, b"x" * 1000, uid="1", sync=sync)
            block = len("NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n")
            await conn.emit(BYTES, b"x" * (1000 - block), uid="1", sync=True)
            # The connection was not lost over it, as it is when the server is the one to notice.
            await conn.flush()
        assert await count(server, BYTES) == 2


async def test_a_message_larger_than_the_events_limit(
    conn: ConnectedEvents, nats_server: NatsServer
) -> None:
    await keep(nats_server, SMALL)
    await conn.emit(SMALL, b"x" * 100, sync=True)
    with pytest.raises(walnats.MessageTooLargeError, match=r"'small'.* 101 bytes.* at most 100 "):
        await conn.emit(SMALL, b"x" * 101)
    with pytest.raises(walnats.MessageTooLargeError, match="with its headers"):
        await conn.emit(SMALL, b"x" * 100, uid="1")
    block = len("NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n")
    await conn.emit(SMALL, b"x" * (100 - block), uid="1", sync=True)
    assert await count(nats_server, SMALL) == 2


async def test_too_large_is_both_kinds_of_error(conn: ConnectedEvents) -> None:
    for kind in (ValueError, walnats.EmitError, walnats.WalnatsError):
        with pytest.raises(kind):
            await conn.emit(SMALL, b"x" * 101)


# Many


@pytest.mark.parametrize("messages", [None, 5, User(1, "Kim")])
async def test_many_of_what_is_not_iterable(conn: ConnectedEvents, messages: Any) -> None:
    with pytest.raises(TypeError, match="iterable"):
        await conn.emit_many(USER, messages)


async def test_many_with_a_uid_that_is_no_function(conn: ConnectedEvents) -> None:
    wrong: Any = "uid"
    for atomic in (False, True):
        with pytest.raises(TypeError, match=r"must be a function .*, not 'uid'"):
            await conn.emit_many(USER, [User(1, "Kim")], uid=wrong, atomic=atomic)


async def test_a_time_that_is_no_number(conn: ConnectedEvents) -> None:
    wrong: Any = "4"
    for call in (conn.flush, partial(conn.request, USER.with_response(int), User(1, "Kim"))):
        with pytest.raises(TypeError, match=r"timeout must be None or a number .*, not str: '4'"):
            await call(timeout=wrong)


# A registry that cannot be


def test_a_registry_of_two_that_differ() -> None:
    with pytest.raises(ValueError, match="two events are named 'user-created'"):
        walnats.Events(USER, walnats.Event("user-created", int))


@pytest.mark.parametrize("name", ["", "a b", "a.*", "a.>", "a..b", ".a", "a.", "$JS.a", "x" * 256])
def test_an_event_of_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="event name"):
        walnats.Event(name, int)


async def test_a_refusal_costs_no_slot(conn: ConnectedEvents) -> None:
    """What never went out is not counted as on its way."""
    wrong: Any = "x"
    for _ in range(5000):
        with pytest.raises(TypeError):
            await conn.emit(USER, wrong)
    await conn.flush(timeout=0)
    await conn.emit(USER, User(1, "Kim"), sync=True)
    await conn.flush(timeout=DEADLINE)
