"""Headers: what arrives with an event, and what cannot be smuggled in through them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

import walnats_anyio as walnats
from tests.link._probe import count, keep, stored
from tests.support.waiting import DEADLINE
from walnats_anyio._events._headers import HEADER_ID, HEADER_TRACE, header_block
from walnats_anyio.middlewares import Context, Middleware
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedEvents

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("user-created", int)
EVENTS = walnats.Events(EVENT)

INJECTIONS = [
    "x\r\nKey: value",
    "x\nKey: value",
    "x\rKey: value",
    "x\r\n\r\n+OK",
    "\r\n",
    "x\x00",
    "x\x7f",
    "\x1b[2J",
]


@pytest.fixture
async def conn(nats_server: NatsServer) -> AsyncIterator[ConnectedEvents]:
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, EVENT)
        yield conn


async def sent(server: NatsServer) -> dict[str, str]:
    """The headers of the only event in the stream, as bytes on the wire."""
    [one] = await stored(server, EVENT)
    lines = one.headers.removesuffix("\r\n\r\n").split("\r\n") if one.headers else []
    return dict(line.split(": ", 1) for line in lines if line)


# What arrives


async def test_no_headers(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    await conn.emit(EVENT, 1, sync=True)
    assert await sent(nats_server) == {}


async def test_all_kinds_of_headers(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    await conn.emit(
        EVENT,
        1,
        uid="order-1",
        trace_id="463ac35c9f6413ad48485a3953bb6124",
        meta={"Tenant": "kim & co: 100 %", "ce-type": "created"},
        sync=True,
    )
    assert await sent(nats_server) == {
        "Tenant": "kim & co: 100 %",
        "ce-type": "created",
        "Nats-Msg-Id": "order-1",
        "Walnats-Trace": "463ac35c9f6413ad48485a3953bb6124",
    }


@pytest.mark.parametrize(
    "value", ["", "ä ö ü", "日本", "🦑", "a: b", "a\tb", '"quoted"', "x" * 10_000, "NATS/1.0"]
)
async def test_a_value_arrives_as_it_is(
    conn: ConnectedEvents, nats_server: NatsServer, value: str
) -> None:
    await conn.emit(EVENT, 1, trace_id=value, meta={"Key": value}, sync=True)
    assert await sent(nats_server) == {"Walnats-Trace": value, "Key": value}


async def test_a_mapping_of_any_kind(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    meta = MappingProxyType({"Key": "value"})
    await conn.emit(EVENT, 1, meta=meta, uid="x", sync=True)
    assert (await sent(nats_server))["Key"] == "value"
    assert dict(meta) == {"Key": "value"}


async def test_an_actor_gets_what_was_sent(nats_url: str) -> None:
    seen: list[tuple[str | None, dict[str, str]]] = []

    class Look(Middleware):
        def on_start(self, ctx: Context, /) -> None:
            seen.append((ctx.trace_id, ctx.headers))

    async def handle(_number: int) -> None:
        pass

    actors = walnats.Actors(walnats.Actor("look", EVENT, handle, middlewares=(Look(),)))
    async with EVENTS.connect(nats_url) as events, actors.connect(nats_url) as listening:
        await events.register()
        await listening.register()
        await events.emit(EVENT, 1, uid="one", trace_id="abc", meta={"Key": "ä: b"}, sync=True)
        with anyio.fail_after(DEADLINE):
            await listening.listen(burst=True)
    expected = {"Nats-Msg-Id": "one", "Walnats-Trace": "abc", "Key": "ä: b"}
    assert seen == [("abc", expected)]


@pytest.mark.parametrize(
    "meta",
    [{"Status": "503"}, {"Status": "408", "Description": "Request Timeout"}, {"Status": "100"}],
    ids=str,
)
async def test_headers_that_look_like_a_status(nats_url: str, meta: dict[str, str]) -> None:
    """An event whose headers are those of a status message is still an event."""
    got: list[int] = []

    async def handle(number: int) -> None:
        got.append(number)

    actors = walnats.Actors(walnats.Actor("look", EVENT, handle))
    async with EVENTS.connect(nats_url) as events, actors.connect(nats_url) as listening:
        await events.register()
        await listening.register()
        await events.emit(EVENT, 1, meta=meta)
        await events.emit(EVENT, 2, sync=True)
        with anyio.fail_after(DEADLINE):
            await listening.listen(burst=True)
    assert sorted(got) == [1, 2]


# What is refused


@pytest.mark.parametrize("value", [*INJECTIONS, " x", "x ", "\tx", "\ud800"])
async def test_a_value_that_would_break_the_message(
    conn: ConnectedEvents, nats_server: NatsServer, value: str
) -> None:
    arguments: list[dict[str, Any]] = [
        {"uid": value},
        {"trace_id": value},
        {"meta": {"Key": value}},
    ]
    for argument in arguments:
        for sync in (False, True):
            with pytest.raises(ValueError, match="header"):
                await conn.emit(EVENT, 1, sync=sync, **argument)
        if "uid" not in argument:
            with pytest.raises(ValueError, match="header"):
                await conn.emit_many(EVENT, [1, 2], **argument)
    with pytest.raises(ValueError, match="header"):
        await conn.emit_many(EVENT, [1], uid=lambda _: value)
    # Nothing went out, and the connection is as it was.
    await conn.flush()
    assert await count(nats_server, EVENT) == 0
    await conn.emit(EVENT, 1, sync=True)


@pytest.mark.parametrize("name", [*INJECTIONS, "", "a b", "a:b", "ä", "Key:", "(key)"])
async def test_a_name_that_would_break_the_message(conn: ConnectedEvents, name: str) -> None:
    with pytest.raises(ValueError, match=r"header name .* must be ASCII letters, digits"):
        await conn.emit(EVENT, 1, meta={name: "value"})


@pytest.mark.parametrize("value", [1, b"x", 1.5, ["x"], object()])
async def test_a_value_of_another_type(conn: ConnectedEvents, value: Any) -> None:
    arguments: list[dict[str, Any]] = [
        {"uid": value},
        {"trace_id": value},
        {"meta": {"Key": value}},
    ]
    for argument in arguments:
        with pytest.raises(TypeError, match=r"header .* must be a str, not .*; convert it first"):
            await conn.emit(EVENT, 1, **argument)


async def test_a_meta_that_is_no_mapping(conn: ConnectedEvents) -> None:
    for meta in (5, "Key: value", ["Key"], [("Key", "value")], {1: "x"}):
        wrong: Any = meta
        with pytest.raises(TypeError, match=r"meta|header name"):
            await conn.emit(EVENT, 1, meta=wrong)


async def test_an_empty_uid(conn: ConnectedEvents) -> None:
    """It would silently not deduplicate."""
    with pytest.raises(ValueError, match="uid is empty: pass None, or what identifies"):
        await conn.emit(EVENT, 1, uid="")


@pytest.mark.parametrize(
    ("argument", "name"), [("uid", "Nats-Msg-Id"), ("trace_id", "Walnats-Trace")]
)
async def test_meta_that_contradicts_an_argument(
    conn: ConnectedEvents, argument: str, name: str
) -> None:
    wrong: dict[str, Any] = {argument: "a", "meta": {name: "b"}}
    with pytest.raises(ValueError, match=f"meta has {name}='b' and {argument}='a' sets it too"):
        await conn.emit(EVENT, 1, **wrong)


async def test_a_uid_given_as_meta(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    for _ in range(2):
        await conn.emit(EVENT, 1, meta={"Nats-Msg-Id": "one"}, sync=True)
    assert await count(nats_server, EVENT) == 1


# The block itself


def parsed(block: bytes) -> dict[str, str]:
    """Read a header block strictly, as a server does."""
    text = block.decode()
    assert text.startswith("NATS/1.0\r\n")
    assert text.endswith("\r\n\r\n")
    lines = text.removeprefix("NATS/1.0\r\n").removesuffix("\r\n\r\n").split("\r\n")
    return dict(line.split(": ", 1) for line in lines)


ANY_TEXT = st.none() | st.text(max_size=20)


@given(uid=ANY_TEXT, trace_id=ANY_TEXT, meta=st.none() | st.dictionaries(st.text(), st.text()))
def test_whatever_is_given_arrives_or_is_refused(
    uid: str | None, trace_id: str | None, meta: dict[str, str] | None
) -> None:
    try:
        block = header_block(uid, trace_id, meta)
    except ValueError:
        return
    given_headers = dict(meta or {})
    if uid is not None:
        given_headers[HEADER_ID] = uid
    if trace_id is not None:
        given_headers[HEADER_TRACE] = trace_id
    assert (parsed(block) if block else {}) == given_headers
