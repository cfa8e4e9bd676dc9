"""The schema of an event is kept in the metadata of its stream, and compared with the next one."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import pytest

import walnats_anyio as walnats
from tests.link._probe import js, stream_config
from walnats_anyio._events import _schemas
from walnats_anyio._events._kept_schema import FORMAT, MAX_SCHEMA, SCHEMA, verdict
from walnats_anyio._link.protocol import ServerInfo
from walnats_anyio.serializers import MessagePackSerializer
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

BREAKS = "cannot read all messages of the version registered before"


class Old(msgspec.Struct):
    id: int
    note: str | None = None


class Wider(msgspec.Struct):
    id: int
    note: str | None = None
    email: str = ""


class Breaking(msgspec.Struct):
    id: str
    email: str


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
def name() -> str:
    return f"user-{secrets.token_hex(4)}.created"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "walnats_anyio")
    return caplog


def event_of(name: str, schema: Any, **options: Any) -> walnats.Event[Any]:
    return walnats.Event(name, schema, storage="memory", **options)


async def register(server: NatsServer, *events: walnats.Event[Any], **options: bool) -> None:
    async with walnats.Events(*events).connect(server.url) as conn:
        await conn.register(**options)


async def metadata_of(server: NatsServer, event: walnats.Event[Any]) -> dict[str, str]:
    """What is kept there, without what the server keeps itself."""
    config = await stream_config(server, event)
    assert config is not None
    metadata: dict[str, str] = config.get("metadata") or {}
    return {name: value for name, value in metadata.items() if not name.startswith("_nats")}


def warned(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelname == "WARNING"]


# What is kept


async def test_the_schema_is_in_the_metadata(server: NatsServer, name: str) -> None:
    event = event_of(name, Old)
    await register(server, event)
    metadata = await metadata_of(server, event)
    assert metadata.keys() == {SCHEMA, FORMAT}
    assert metadata[FORMAT] == "application/json"
    assert json.loads(metadata[SCHEMA]) == {
        "$ref": "#/$defs/Old",
        "$defs": {
            "Old": {
                "type": "object",
                "properties": {
                    "id": {"type": "integer"},
                    "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                },
                "required": ["id"],
                "x-always-written": ["note"],
            }
        },
    }


async def test_bytes_have_no_schema(server: NatsServer, name: str) -> None:
    event = event_of(name, bytes)
    await register(server, event)
    assert await metadata_of(server, event) == {}


async def test_the_next_version_takes_its_place(server: NatsServer, name: str) -> None:
    await register(server, event_of(name, Old))
    event = event_of(name, Wider)
    await register(server, event)
    assert "email" in (await metadata_of(server, event))[SCHEMA]
    await register(server, event_of(name, bytes))
    assert await metadata_of(server, event) == {}


async def test_what_others_keep_there_stays(server: NatsServer, name: str) -> None:
    event = event_of(name, Old)
    config = event.stream_config() | {"metadata": {"owner": "kim"}}
    await js(server, f"STREAM.CREATE.{event.stream_name}", config)
    await register(server, event)
    metadata = await metadata_of(server, event)
    assert metadata["owner"] == "kim"
    assert metadata.keys() == {SCHEMA, FORMAT, "owner"}
    await register(server, event_of(name, Wider, limits=walnats.Limits(messages=9)))
    assert (await metadata_of(server, event))["owner"] == "kim"


def large(values: int) -> Any:
    return Literal[tuple(f"value number {number}" for number in range(values))]


async def test_of_a_large_schema_it_is_the_hash(
    server: NatsServer, name: str, log: pytest.LogCaptureFixture
) -> None:
    event = event_of(name, large(1000))
    await register(server, event)
    kept = (await metadata_of(server, event))[SCHEMA]
    assert kept.startswith("sha256:")
    assert len(kept) == len("sha256:") + 64
    await register(server, event)
    assert "cannot be compared" not in log.text
    await register(server, event_of(name, large(1001)))
    assert "cannot be compared with the one registered before" in log.text
    assert f"one of them has more than {MAX_SCHEMA} bytes" in log.text
    assert (await metadata_of(server, event))[SCHEMA] != kept
    assert warned(log) == []


# What is said


async def test_a_version_that_reads_all_is_not_worth_a_word(
    server: NatsServer, name: str, log: pytest.LogCaptureFixture
) -> None:
    for schema in (Old, Wider, Old):
        await register(server, event_of(name, schema))
    assert warned(log) == []


async def test_one_that_does_not_is_warned_of_once(
    server: NatsServer, name: str, log: pytest.LogCaptureFixture
) -> None:
    await register(server, event_of(name, Old))
    await register(server, event_of(name, Breaking))
    (told,) = warned(log)
    assert told == (
        f"event {name!r}: this version {BREAKS}: is required now, and does not exist in the old "
        "version - at `$.email`; may be an integer, and must be a string now - at `$.id`"
    )
    log.clear()
    await register(server, event_of(name, Breaking))
    assert warned(log) == []


async def test_a_look_without_update_leaves_what_is_kept(
    server: NatsServer, name: str, log: pytest.LogCaptureFixture
) -> None:
    event = event_of(name, Old)
    await register(server, event)
    kept = await metadata_of(server, event)
    for _ in range(2):
        log.clear()
        await register(server, event_of(name, Breaking), create=False, update=False)
        assert len(warned(log)) == 1
    assert await metadata_of(server, event) == kept


async def test_another_format(server: NatsServer, name: str, log: pytest.LogCaptureFixture) -> None:
    await register(server, event_of(name, Old))
    await register(server, event_of(name, Old, serializer=MessagePackSerializer(Old)))
    (told,) = warned(log)
    assert "the format was 'application/json' and is 'application/vnd.msgpack'" in told


async def test_many_breaks_are_counted(
    server: NatsServer, name: str, log: pytest.LogCaptureFixture
) -> None:
    fields = [(f"field_{number}", int) for number in range(20)]
    await register(server, event_of(name, Old))
    await register(server, event_of(name, msgspec.defstruct("Many", fields)))
    (told,) = warned(log)
    assert told.endswith("; and 15 more")


async def handle(_: object) -> None:
    """Do nothing."""


async def test_an_actor_is_warned_of_when_it_is_registered(
    server: NatsServer, name: str, log: pytest.LogCaptureFixture
) -> None:
    """The program that emits has registered what it writes; this one only reads."""
    await register(server, event_of(name, Old))
    for schema in (Wider, Breaking):
        actor = walnats.Actor("ship", event_of(name, schema), handle)
        async with walnats.Actors(actor).connect(server.url) as conn:
            await conn.register()
    (told,) = warned(log)
    assert f"event {name!r}: actor 'ship' {BREAKS}: " in told
    assert (
        "id"
        in json.loads((await metadata_of(server, event_of(name, Old)))[SCHEMA])["$defs"]["Old"][
            "properties"
        ]
    )


# Streams of others


async def test_a_stream_without_a_schema_gets_one_and_no_warning(
    server: NatsServer, name: str, log: pytest.LogCaptureFixture
) -> None:
    """As walnats and earlier versions of this library make them."""
    event = event_of(name, Breaking)
    await js(server, f"STREAM.CREATE.{event.stream_name}", event.stream_config())
    await register(server, event, create=False, update=False)
    assert await metadata_of(server, event) == {}
    await register(server, event)
    assert SCHEMA in await metadata_of(server, event)
    assert warned(log) == []


@pytest.mark.parametrize(
    "kept",
    ["", "{", "sha256:0", '"text"', "17", "[" * 5000, '{"$ref": "#"}', '{"type": "' + "x" * 70_000],
    ids=lambda kept: kept[:9] or "nothing",
)
async def test_what_a_stranger_keeps_there_does_no_harm(
    server: NatsServer, name: str, kept: str
) -> None:
    event = event_of(name, Old)
    config = event.stream_config() | {"metadata": {SCHEMA: kept, FORMAT: "application/json"}}
    await js(server, f"STREAM.CREATE.{event.stream_name}", config)
    await register(server, event)
    assert json.loads((await metadata_of(server, event))[SCHEMA])["$ref"] == "#/$defs/Old"


# Who may not, and who cannot


@pytest.fixture(scope="module")
def strict_server() -> Iterator[NatsServer]:
    users = (
        "{user: admin, password: p}, "
        '{user: kim, password: p, permissions: {publish: {deny: ["$JS.API.STREAM.UPDATE.*"]}}}'
    )
    with NatsServer(config=f"authorization {{ users = [{users}] }}") as server:
        yield server


async def test_a_user_that_may_not_update_streams(
    strict_server: NatsServer, log: pytest.LogCaptureFixture
) -> None:
    """It is tried for one stream only, and nothing fails."""
    events = [event_of(f"event-{secrets.token_hex(4)}", Old) for _ in range(40)]
    admin = {"user": "admin", "pass": "p"}
    for event in events:
        await js(
            strict_server, f"STREAM.CREATE.{event.stream_name}", event.stream_config(), **admin
        )
    async with walnats.Events(*events).connect(strict_server.url, user="kim", password="p") as conn:
        await conn.register()
        await conn.emit(events[0], Old(1), sync=True)
    told = [record for record in log.records if "is not kept" in record.getMessage()]
    assert told
    assert {record.levelname for record in told} == {"DEBUG"}
    assert len(told) < len(events)
    assert warned(log) == []


@dataclass(frozen=True)
class Versioned:
    """As much of a link as the keeper of schemas asks before it sends anything."""

    info: ServerInfo


@pytest.mark.parametrize(
    ("version", "keeps"),
    [
        ("2.9.25", False),
        ("2.10.0", True),
        ("2.15.1-beta", True),
        ("3.0", True),
        ("", True),
        ("1.4", False),
    ],
)
def test_servers_that_forget_metadata(version: str, keeps: bool) -> None:
    link: Any = Versioned(ServerInfo(version=version))
    found = _schemas.SchemaKeeper(link).missing_in({}, event_of("user.created", Old))
    assert bool(found) is keeps


def test_a_schema_of_a_stranger_is_not_compared_without_end() -> None:
    large = json.dumps({"enum": ["x" * 70_000]})
    found = verdict({SCHEMA: large}, event_of("user.created", Old).schema_metadata)
    assert "more than" in found.unknown


# Serializers of users


class Wrapper(walnats.serializers.Serializer[Any]):
    """One that changes what another one writes, and does not say what it is then."""

    def __init__(self) -> None:
        self.serializer = walnats.serializers.get_serializer(int)

    def encode(self, message: Any) -> bytes:
        return self.serializer.encode(message)[::-1]

    def decode(self, data: bytes) -> Any:
        return self.serializer.decode(data[::-1])


class NamedWrapper(Wrapper):
    """One that says it."""

    content_type = "application/backwards"


def test_the_format_of_a_wrapper_names_both() -> None:
    inner = walnats.Event("numbers", int).schema_metadata[FORMAT]
    for wrapper, name in ((Wrapper(), "Wrapper"), (NamedWrapper(), "application/backwards")):
        event = walnats.Event("numbers", int, wrapper)
        assert event.schema_metadata[FORMAT] == f"{name}({inner})"


@dataclass(frozen=True)
class Own:
    """A serializer with a description."""

    schema: Any

    def encode(self, message: object) -> bytes:
        return msgspec.json.encode(message)

    def decode(self, data: bytes) -> Any:
        return msgspec.json.decode(data)

    def json_schema(self) -> Any:
        if isinstance(self.schema, Exception):
            raise self.schema
        return self.schema


async def test_the_description_of_a_serializer_of_ones_own(
    server: NatsServer, name: str, log: pytest.LogCaptureFixture
) -> None:
    event = event_of(name, object, serializer=Own({"type": "integer", "title": "A number"}))
    await register(server, event)
    assert await metadata_of(server, event) == {SCHEMA: '{"type":"integer"}'}
    await register(server, event_of(name, object, serializer=Own({"type": "string"})))
    (told,) = warned(log)
    assert "may be an integer, and must be a string now - at `$`" in told


@pytest.mark.parametrize(
    "bad",
    [ValueError("no description"), 17, {"const": object()}],
    ids=lambda bad: type(bad).__name__,
)
async def test_a_serializer_that_cannot_describe_its_messages(
    server: NatsServer, name: str, log: pytest.LogCaptureFixture, bad: Any
) -> None:
    event = event_of(name, object, serializer=Own(bad))
    for _ in range(2):
        await register(server, event)
    (told,) = warned(log)
    assert f"event {name!r}: its schema cannot be kept: " in told
    assert await metadata_of(server, event) == {}
