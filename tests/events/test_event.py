"""An event is a checked value; its stream is one the server takes and walnats agrees with."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import pickle
import pydoc
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, assert_type

import anyio
import msgspec
import pytest
import walnats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.jetstream import create_stream, delete_stream, make_stream
from walnats_anyio._events import BaseEvent, Event, Limits
from walnats_anyio._link._errors import WalnatsError
from walnats_anyio.serializers import BytesSerializer, DecodeError, EncodeError, MsgspecSerializer
from walnats_anyio.testing import NatsServer

DAY = 24 * 3600.0


class User(msgspec.Struct, frozen=True):
    id: int
    name: str


class Hex:
    """A serializer of somebody else's."""

    def encode(self, message: bytes) -> bytes:
        return message.hex().encode()

    def decode(self, data: bytes) -> bytes:
        return bytes.fromhex(data.decode())


class Broken:
    def encode(self, message: bytes) -> bytes:
        raise KeyError("lost")

    def decode(self, data: bytes) -> bytes:
        raise KeyError("lost")


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        # When its last stream goes, the server (2.15.1) removes the folder of all streams, at times
        # while it is making the folder of the next one, which then fails. So one always stays.
        anyio.run(make_stream, server, "stays")
        yield server


# Names on the wire.


@pytest.mark.parametrize(
    ("name", "stream"), [("user-created", "user-created"), ("user.created", "user-created")]
)
def test_subject_and_stream_follow_from_the_name(name: str, stream: str) -> None:
    event = Event(name, User)
    assert event.subject_name == name
    assert event.stream_name == stream


# A value.

EVENTS: list[Event[Any]] = [
    Event("users", User),
    Event("users", list[User], description="all of them"),
    Event("users", int | str, limits=Limits(age=5)),
    Event("users", bytes, replicas=3, storage="memory", dedup_window=0.5),
    Event("users", bytes, MsgspecSerializer(bytes)),
    Event("users", bytes, BytesSerializer()),
    Event("other", User),
]


def test_events_of_equal_arguments_are_equal() -> None:
    assert Event("users", list[User]) == Event("users", list[User])
    assert len(set(EVENTS)) == len(EVENTS)
    assert {Event("users", User): 1}[Event("users", User)] == 1


@pytest.mark.parametrize("event", EVENTS, ids=repr)
def test_an_event_can_be_copied_and_pickled(event: Event[Any]) -> None:
    for same in (
        copy.copy(event),
        copy.deepcopy(event),
        pickle.loads(pickle.dumps(event)),
        dataclasses.replace(event),
    ):
        assert type(same) is Event
        assert same == event
        assert hash(same) == hash(event)
        assert repr(same) == repr(event)
        assert same.stream_config() == event.stream_config()


def test_a_pickled_event_works() -> None:
    event = pickle.loads(pickle.dumps(Event("users", User)))
    assert event.decode(event.encode(User(1, "a"))) == User(1, "a")


def test_an_event_is_frozen() -> None:
    event = Event("users", User)
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.name = "other"  # type: ignore[misc]  # what is tested  # pyright: ignore[reportAttributeAccessIssue]


def test_replace_checks_again() -> None:
    with pytest.raises(ValueError, match="event name 'a b'"):
        dataclasses.replace(Event("users", User), name="a b")
    assert dataclasses.replace(Event("users", User), limits=Limits(age=1)).limits.age == 1


def test_an_event_shows_what_differs_from_the_defaults() -> None:
    assert repr(Event("users", int)) == "Event('users', int)"
    described = Event("users", list[User], description="all", limits=Limits(age=5), replicas=3)
    assert repr(described) == (
        f"Event('users', {list[User]}, description='all', limits=Limits(age=5), replicas=3)"
    )


@pytest.mark.parametrize("declared", [Event, Limits])
def test_help_describes_every_argument(declared: Any) -> None:
    told = pydoc.plain(pydoc.render_doc(declared))
    arguments = [field.name for field in dataclasses.fields(declared) if field.init]
    assert [name for name in arguments if f"  {name}: " not in told] == []


def test_type_checkers_know_the_message() -> None:
    assert_type(Event("users", User), Event[User])
    assert_type(Event("users", User).decode(b'{"id":1,"name":"a"}'), User)
    assert_type(Event("users", list[int]), Event[list[int]])
    assert_type(Event("users", dict[str, User]), Event[dict[str, User]])
    assert_type(Event("users", int | str), Event[int | str])
    assert_type(Event("users", User | None), Event[User | None])
    assert_type(Event("users", Literal["a"]), Event[Literal["a"]])
    assert_type(Event("users", None), Event[None])
    assert_type(Event("users", bytes, Hex()), Event[bytes])
    base: BaseEvent[int] = Event("users", int)
    assert_type(base.decode(b"1"), int)


# Messages.


def test_messages_go_through_the_serializer_of_the_schema() -> None:
    assert Event("users", User).encode(User(1, "a")) == b'{"id":1,"name":"a"}'
    assert Event("users", User).decode(b'{"id":1,"name":"a"}') == User(1, "a")
    assert Event("users", bytes).encode(b"\x00") == b"\x00"
    assert Event("users", bytes).decode(b"\x00") == b"\x00"


def test_messages_go_through_the_serializer_given() -> None:
    event = Event("users", bytes, Hex())
    assert event.encode(b"\xff") == b"ff"
    assert event.decode(b"ff") == b"\xff"


def test_a_schema_of_any_kind_goes_with_a_serializer_for_it() -> None:
    class Foreign:
        pass

    class ForeignSerializer:
        def encode(self, message: Foreign) -> bytes:
            return b"f"

        def decode(self, data: bytes) -> Foreign:
            return Foreign()

    assert type(Event("users", Foreign, ForeignSerializer()).decode(b"f")) is Foreign


@pytest.mark.parametrize(
    ("event", "message", "told"),
    [
        (Event("users", User), {"id": 1}, "takes User, and this message (dict) does not fit"),
        (Event("users", User), User(id="1", name="a"), "Expected `int`, got `str` - at `$.id`"),  # type: ignore[arg-type]  # tested
        (Event("users", list[int]), (1,), "takes list[int], and this message (tuple)"),
        (Event("users", datetime), "now", "takes datetime, and this message (str)"),
        (Event("users", bytes), "text", "expected bytes, got str"),
        (Event("users", str), "\ud800", "surrogates not allowed"),
        (Event("users", bytes, Broken()), b"", "'lost'"),
    ],
)
def test_a_message_that_does_not_fit_names_event_schema_and_type(
    event: Event[Any], message: Any, told: str
) -> None:
    with pytest.raises(EncodeError, match=r"^event 'users' takes ") as caught:
        event.encode(message)
    assert told in str(caught.value)
    assert caught.value.__cause__ is not None
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("event", "data", "told"),
    [
        (Event("users", User), b"{}", "Object missing required field `id`"),
        (Event("users", User), b"", "(0 bytes)"),
        (Event("users", User), b'{"id":1,"name":2}', "Expected `str`, got `int` - at `$.name`"),
        (Event("users", list), b"[" * 100_000, "recursion"),
        (Event("users", bytes, Broken()), b"", "'lost'"),
    ],
)
def test_data_that_does_not_fit_names_event_and_schema(
    event: Event[Any], data: bytes, told: str
) -> None:
    with pytest.raises(DecodeError, match=r"^event 'users' takes ") as caught:
        event.decode(data)
    assert told in str(caught.value)
    assert caught.value.__cause__ is not None
    assert isinstance(caught.value, WalnatsError)
    assert isinstance(caught.value, ValueError)


def test_the_data_itself_is_not_told() -> None:
    with pytest.raises(DecodeError) as caught:
        Event("users", User).decode(b'{"id":"secret"}')
    assert "secret" not in str(caught.value)


# Bad arguments.


@pytest.mark.parametrize("name", ["", "a b", "a*", "a.>", "a..b", "$a", "a/b", "a\nb", "a" * 256])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="event name "):
        Event(name, User)


class Unknown:
    pass


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"name": None}, TypeError, "event name must be a str"),
        ({"schema": Unknown}, TypeError, "event 'users': no serializer for the schema Unknown"),
        ({"schema": "User"}, TypeError, "event 'users': no serializer for the schema User"),
        ({"serializer": Hex}, TypeError, "an object with the methods encode and decode"),
        ({"serializer": object()}, TypeError, "an object with the methods encode and decode"),
        ({"description": b"x"}, TypeError, "description must be a str or None, not bytes"),
        ({"description": "é" * 2049}, ValueError, "4098 bytes long, NATS takes at most 4096"),
        (
            {"description": "a\ud800"},
            ValueError,
            "description has .*ud800. at 1, half of a character",
        ),
        ({"limits": None}, TypeError, r"limits must be Limits\(...\), not None"),
        ({"limits": {"age": 5}}, TypeError, r"limits must be Limits\(...\)"),
        ({"replicas": 0}, ValueError, "replicas must be 1 to 5, not 0"),
        ({"replicas": 6}, ValueError, "replicas must be 1 to 5, not 6"),
        ({"replicas": True}, TypeError, "replicas must be an int, not True"),
        ({"replicas": 3.0}, TypeError, r"replicas must be an int, not 3\.0"),
        ({"storage": "disk"}, ValueError, "storage must be 'file' or 'memory', not 'disk'"),
        ({"storage": None}, ValueError, "storage must be 'file' or 'memory', not None"),
        ({"dedup_window": 0}, ValueError, r"'users': dedup_window must be 0\.1 to .*, not 0"),
        ({"dedup_window": -5}, ValueError, "dedup_window must be .*, not -5"),
        ({"dedup_window": float("nan")}, ValueError, "dedup_window must be .*, not nan"),
        ({"dedup_window": None}, TypeError, "dedup_window must be a number of seconds"),
        ({"dedup_window": True}, TypeError, "dedup_window must be a number of seconds"),
        (
            {"dedup_window": 61, "limits": Limits(age=60)},
            ValueError,
            "dedup_window of 61 seconds is longer than limits.age of 60",
        ),
    ],
)
def test_a_bad_argument_is_refused(
    arguments: dict[str, Any], error: type[Exception], told: str
) -> None:
    defaults: dict[str, Any] = {"name": "users", "schema": User}
    with pytest.raises(error, match=told):
        Event(**(defaults | arguments))


def test_a_description_may_be_as_long_as_nats_takes_it() -> None:
    assert len(Event("users", int, description="é" * 2048).description or "") == 2048


def test_streams_are_configured_by_keyword_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        Event("users", User, None, None, Limits(), 3)  # type: ignore[call-arg]  # what is tested  # pyright: ignore[reportCallIssue]


# The stream.


def test_the_configuration_is_that_of_the_api() -> None:
    assert Event("a.b", int).stream_config() == {
        "name": "a-b",
        "subjects": ["a.b"],
        "retention": "interest",
        "storage": "file",
        "num_replicas": 1,
        "discard": "old",
        "duplicate_window": 120_000_000_000,
        "max_age": 0,
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msg_size": -1,
    }
    assert Event(
        "a.b",
        int,
        description="numbers",
        limits=Limits(age=90.5, consumers=2, messages=3, bytes=4, message_size=5),
        replicas=3,
        storage="memory",
        dedup_window=1.5,
    ).stream_config() == {
        "name": "a-b",
        "subjects": ["a.b"],
        "description": "numbers",
        "retention": "interest",
        "storage": "memory",
        "num_replicas": 3,
        "discard": "old",
        "duplicate_window": 1_500_000_000,
        "max_age": 90_500_000_000,
        "max_consumers": 2,
        "max_msgs": 3,
        "max_bytes": 4,
        "max_msg_size": 5,
    }


@pytest.mark.parametrize(
    ("age", "window", "effective"),
    [(None, 120, 120), (60, 120, 60), (0.1, 120, 0.1), (DAY, 120, 120), (60, 60, 60), (60, 1, 1)],
)
def test_only_the_default_dedup_window_gives_way(
    age: float | None, window: float, effective: float
) -> None:
    event = Event("users", User, limits=Limits(age=age), dedup_window=window)
    assert event.stream_config()["duplicate_window"] == effective * 10**9
    assert event.dedup_window == window


SECONDS = st.floats(0.1, 9_223_372_036)
SIZES = st.none() | st.integers(1, 2**31 - 1)


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(["hypothesis", "hypothesis.x.y", "hypothesis größe".replace(" ", "-")]),
    description=st.none() | st.text(max_size=1000),
    age=st.none() | SECONDS | st.sampled_from([0.1, 60.0, 119.9999999999, 9_223_372_036]),
    window=st.just(120.0) | SECONDS,
    limits=st.builds(Limits, consumers=SIZES, messages=SIZES, bytes=SIZES, message_size=SIZES),
)
def test_the_server_takes_every_event_that_can_be_declared(
    server: NatsServer,
    name: str,
    description: str | None,
    age: float | None,
    window: float,
    limits: Limits,
) -> None:
    assume(age is None or window <= age or window == 120)
    event = Event(
        name,
        User,
        description=description,
        limits=limits.evolve(age=age),
        storage="memory",
        dedup_window=window,
    )
    config = event.stream_config()
    try:
        created = anyio.run(create_stream, server, config)
        assert {key: created.get(key, "") for key in config} == config
    finally:
        anyio.run(delete_stream, server, event.stream_name)


@pytest.mark.parametrize("first", ["walnats", "walnats_anyio"])
@pytest.mark.parametrize(
    ("name", "description", "limits"),
    [
        ("plain", None, {}),
        ("dotted.name", "described", {}),
        ("aged", None, {"age": 60}),
        ("aged-long", None, {"age": DAY}),
        ("limited", None, {"consumers": 5, "messages": 6, "bytes": 7000, "message_size": 800}),
    ],
)
def test_walnats_declares_the_same_stream(
    server: NatsServer,
    first: str,
    name: str,
    description: str | None,
    limits: dict[str, Any],
) -> None:
    ours = Event(name, User, description=description, limits=Limits(**limits))
    theirs = walnats.Event(name, dict, description=description, limits=walnats.Limits(**limits))

    async def register_theirs() -> None:
        async with walnats.Events(theirs).connect(server.url) as connection:
            # With update=False, a stream of another configuration is an error.
            await connection.register(update=False)

    try:
        if first == "walnats":
            asyncio.run(register_theirs())
        # The server takes a stream that exists only if it is configured alike.
        anyio.run(create_stream, server, ours.stream_config())
        if first != "walnats":
            asyncio.run(register_theirs())
    finally:
        anyio.run(delete_stream, server, ours.stream_name)
