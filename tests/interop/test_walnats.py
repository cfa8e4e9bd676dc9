"""A mixed system: real walnats 1.2.6 on the other side."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from subprocess import PIPE
from typing import Any

import anyio
import msgspec
import nats
import pytest
import walnats as peers
from anyio.abc import TaskGroup

import walnats_anyio as walnats
from tests.interop import peer
from tests.link._probe import count, js, keep, stored
from tests.support.loops import in_turn
from tests.support.waiting import DEADLINE, until
from walnats_anyio.middlewares import Middleware, OkContext
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedActors, ConnectedEvents

pytestmark = pytest.mark.anyio

LONG = 120.0


@dataclass
class Order:
    number: int
    customer: str


class OrderStruct(msgspec.Struct):
    """The same on the wire."""

    number: int
    customer: str


ORDERED = walnats.Event("order.placed", Order)
ASKED = walnats.Event("order.asked", Order).with_response(Order)
EVENTS = walnats.Events(ORDERED)


class Look(Middleware):
    """Notes what the peer's middleware notes."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def on_success(self, ctx: OkContext, /) -> None:
        message: Order = ctx.message
        self.seen.append(
            {
                "message": asdict(message),
                "trace_id": ctx.trace_id,
                "headers": ctx.headers or None,
                "attempts": ctx.attempts,
            }
        )

    async def come(self, number: int) -> None:
        await until(lambda: len(self.seen) >= number, LONG)


async def handle(_order: Order) -> None:
    pass


def actors_with(look: Look) -> walnats.Actors:
    return walnats.Actors(walnats.Actor("ship", ORDERED, handle, middlewares=(look,)))


async def run_peer(server: NatsServer, *arguments: str) -> Any:
    """What the peer prints."""
    command = [sys.executable, str(Path(peer.__file__)), server.url, *arguments]
    with anyio.fail_after(LONG):
        done = await anyio.run_process(command, stdout=PIPE, stderr=None)
    return json.loads(done.stdout)


@pytest.fixture
async def conn(nats_server: NatsServer) -> AsyncIterator[ConnectedEvents]:
    async with EVENTS.connect(nats_server.url) as conn:
        yield conn


@pytest.fixture
def look() -> Look:
    return Look()


@pytest.fixture
async def listening(nats_server: NatsServer, look: Look) -> AsyncIterator[ConnectedActors]:
    async with actors_with(look).connect(nats_server.url) as listening:
        yield listening


def order(number: int) -> Order:
    return Order(number, f"Kim {number} ä")


def numbers_of(seen: list[dict[str, Any]]) -> list[int]:
    return sorted(one["message"]["number"] for one in seen)


# Its publisher, our actor


async def test_its_publisher_and_our_actor(
    nats_server: NatsServer, conn: ConnectedEvents, listening: ConnectedActors, look: Look
) -> None:
    await conn.register()
    await listening.register()
    options = {"uid": "one", "trace_id": "abc", "meta": {"Key": "value"}}
    messages = [[asdict(order(1)), options]] + [[asdict(order(n)), {}] for n in range(2, 30)]
    await run_peer(nats_server, "emit", json.dumps([*messages, messages[0]]))
    async with anyio.create_task_group() as tasks:
        await tasks.start(listen, listening)
        await look.come(29)
        listening.shutdown()
    assert numbers_of(look.seen) == list(range(1, 30))
    [first] = [one for one in look.seen if one["message"]["number"] == 1]
    assert first == {
        "message": asdict(order(1)),
        "trace_id": "abc",
        "headers": {"Nats-Msg-Id": "one", "Walnats-Trace": "abc", "Key": "value"},
        "attempts": 1,
    }
    [second] = [one for one in look.seen if one["message"]["number"] == 2]
    assert second["headers"] is None


async def listen(conn: ConnectedActors, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    await conn.listen(task_status=task_status)


# Our publisher, its actor


async def test_our_publisher_and_its_actor(nats_server: NatsServer, conn: ConnectedEvents) -> None:
    await run_peer(nats_server, "register")
    await conn.emit(ORDERED, order(1), uid="one", trace_id="abc", meta={"Key": "value"})
    await conn.emit(ORDERED, order(1), uid="one")
    await conn.emit_many(ORDERED, map(order, range(2, 30)))
    await conn.flush()
    seen = await run_peer(nats_server, "listen", "29", "0")
    assert numbers_of(seen) == list(range(1, 30))
    [first] = [one for one in seen if one["message"]["number"] == 1]
    assert first == {
        "message": asdict(order(1)),
        "trace_id": "abc",
        "headers": {"Nats-Msg-Id": "one", "Walnats-Trace": "abc", "Key": "value"},
        "attempts": 1,
    }
    [second] = [one for one in seen if one["message"]["number"] == 2]
    assert second["headers"] is None

    async def all_acknowledged() -> bool:
        return await count(nats_server, ORDERED) == 0

    await until(all_acknowledged)


async def test_its_retries_of_our_events(nats_server: NatsServer, conn: ConnectedEvents) -> None:
    await run_peer(nats_server, "register")
    await conn.emit_many(ORDERED, map(order, range(10)), sync=True)
    seen = await run_peer(nats_server, "listen", "10", "3")
    assert numbers_of(seen) == list(range(10))
    assert sorted(one["attempts"] for one in seen) == [1] * 7 + [2] * 3


# Request and response


async def test_its_requests_and_our_responses(nats_server: NatsServer) -> None:
    """A failure is not told to it: it would take the error for a response."""
    got: list[Any] = []

    async def double(order: Order) -> Order:
        if order.number == 3:
            raise walnats.Reject("no threes")
        return Order(order.number * 2, order.customer)

    actors = walnats.Actors(walnats.Actor("double", ASKED, double))
    async with (
        walnats.Events(ASKED).connect(nats_server.url) as emitting,
        actors.connect(nats_server.url) as listening,
        anyio.create_task_group() as tasks,
    ):
        await emitting.register()
        await listening.register()
        await tasks.start(listen, listening)
        messages = json.dumps([asdict(order(number)) for number in (1, 2, 3)])
        got.extend(await run_peer(nats_server, "request", messages, "2"))
        listening.shutdown()
    assert got == [asdict(Order(2, "Kim 1 ä")), asdict(Order(4, "Kim 2 ä")), "TimeoutError"]


async def test_our_requests_and_its_responses(nats_server: NatsServer) -> None:
    got: list[Order] = []
    async with (
        walnats.Events(ASKED).connect(nats_server.url) as conn,
        anyio.create_task_group() as tasks,
    ):
        await conn.register()
        tasks.start_soon(run_peer, nats_server, "respond", "10")

        async def registered() -> bool:
            found = await js(nats_server, "CONSUMER.NAMES.order-asked")
            return bool(found["total"])

        await until(registered, LONG)

        async def ask(number: int) -> None:
            got.append(await conn.request(ASKED, order(number), timeout=LONG, trace_id="abc"))

        for number in range(10):
            tasks.start_soon(ask, number)
    assert sorted(one.number for one in got) == [number * 2 for number in range(10)]


# One actor, workers of both kinds


async def test_workers_of_both_kinds_share_the_events(
    nats_server: NatsServer, conn: ConnectedEvents, listening: ConnectedActors, look: Look
) -> None:
    """One consumer, so each event goes to one of them; each gets some."""
    await conn.register()
    await listening.register()
    theirs: list[dict[str, Any]] = []

    async def run_theirs() -> None:
        theirs.extend(await run_peer(nats_server, "listen", "20", "0"))

    emitted = 0

    async def emit(tasks: TaskGroup) -> None:
        nonlocal emitted
        while not theirs:
            await conn.emit(ORDERED, order(emitted), sync=True)
            emitted += 1
            await anyio.sleep(0.002)
        # Events it had asked for and did not handle come back once their `ack_wait` is over, so
        # only what was handled is looked at.
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        await tasks.start(listen, listening)
        tasks.start_soon(run_theirs)
        tasks.start_soon(emit, tasks)
    handled = numbers_of(look.seen) + numbers_of(theirs)
    assert len(theirs) >= 20
    assert look.seen
    assert len(handled) == len(set(handled))
    assert set(handled) <= set(range(emitted))


# Registering

STREAM, CONSUMER = "STREAM.INFO.order-placed", "CONSUMER.INFO.order-placed.ship"


async def config_of(server: NatsServer, what: str) -> dict[str, Any]:
    """Without what only ours leaves there, and theirs forgets."""
    config: dict[str, Any] = (await js(server, what))["config"]
    del config["metadata"]
    config.pop("allow_atomic", None)
    return config


async def both_configs(server: NatsServer) -> list[dict[str, Any]]:
    return [await config_of(server, what) for what in (STREAM, CONSUMER)]


@in_turn("first", ["ours", "theirs"])
async def test_both_register_the_same(
    nats_server: NatsServer, conn: ConnectedEvents, listening: ConnectedActors, first: str
) -> None:
    """In any order, again and again, and nothing changes for it."""

    async def register_ours() -> None:
        await conn.register()
        await listening.register()

    if first == "ours":
        await register_ours()
    else:
        await run_peer(nats_server, "register")
    before = await both_configs(nats_server)
    await run_peer(nats_server, "register")
    # Ours would say if there were anything to update.
    await conn.register(create=False, update=False)
    await register_ours()
    await run_peer(nats_server, "register")
    assert await both_configs(nats_server) == before


async def test_an_actor_registered_by_the_peer_is_ready_to_listen(
    nats_server: NatsServer, conn: ConnectedEvents, listening: ConnectedActors, look: Look
) -> None:
    await run_peer(nats_server, "register")
    await conn.emit(ORDERED, order(1), sync=True)
    with anyio.fail_after(DEADLINE):
        await listening.listen(burst=True)
    assert numbers_of(look.seen) == [1]


async def test_moving_in_steps_from_a_peer_that_has_the_server_count(
    nats_server: NatsServer,
    conn: ConnectedEvents,
    look: Look,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its consumer is listened to, with a warning; register then makes it ours, and says so."""
    await run_peer(nats_server, "register", "3")
    assert (await config_of(nats_server, CONSUMER))["max_deliver"] == 3
    await conn.emit(ORDERED, order(1), sync=True)
    ours = walnats.Actor("ship", ORDERED, handle, middlewares=(look,), max_attempts=3)
    async with walnats.Actors(ours).connect(nats_server.url) as listening:
        with anyio.fail_after(DEADLINE):
            await listening.listen(burst=True)
        assert numbers_of(look.seen) == [1]
        assert "max_deliver is 3, not -1" in caplog.text
        await listening.register()
        assert "changed: max_deliver from 3 to -1" in caplog.text
        assert (await config_of(nats_server, CONSUMER))["max_deliver"] == -1
        caplog.clear()
        await listening.listen(burst=True, poll_delay=0)
        assert "max_deliver" not in caplog.text


# On the wire


async def test_both_write_the_same(nats_server: NatsServer, conn: ConnectedEvents) -> None:
    await conn.register()
    await keep(nats_server, ORDERED)
    options = {"uid": "one", "trace_id": "abc"}
    await run_peer(nats_server, "emit", json.dumps([[{"number": 1, "customer": "Kim"}, options]]))
    await conn.emit(ORDERED, Order(1, "Kim"), uid="two", trace_id="abc", sync=True)
    theirs, ours = await stored(nats_server, ORDERED)
    assert ours.payload == theirs.payload
    assert ours.subject == theirs.subject
    assert sorted(ours.headers.splitlines()) == sorted(
        theirs.headers.replace("one", "two").splitlines()
    )


async def test_a_struct_reads_what_a_dataclass_wrote(nats_server: NatsServer) -> None:
    got: list[OrderStruct] = []

    async def handle_struct(order: OrderStruct) -> None:
        got.append(order)

    event = walnats.Event("order.placed", OrderStruct)
    actors = walnats.Actors(walnats.Actor("ship", event, handle_struct))
    async with (
        walnats.Events(event).connect(nats_server.url) as conn,
        actors.connect(nats_server.url) as listening,
    ):
        await conn.register()
        await listening.register()
        await run_peer(nats_server, "emit", json.dumps([[asdict(order(1)), {}]]))
        with anyio.fail_after(DEADLINE):
            await listening.listen(burst=True)
    assert got == [OrderStruct(1, "Kim 1 ä")]


# In one process, over one client, as an application would that moves over step by step


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_both_over_one_client(nats_url: str) -> None:
    ours: list[Order] = []
    theirs: list[peer.Order] = []

    async def handle_ours(order: Order) -> None:
        ours.append(order)

    async def handle_theirs(order: peer.Order) -> None:
        theirs.append(order)

    our_actors = walnats.Actors(walnats.Actor("ours", ORDERED, handle_ours))
    their_actors = peers.Actors(peers.Actor("theirs", peer.ORDERED, handle_theirs))
    client = await nats.connect(nats_url)
    async with (
        EVENTS.connect(client, close=False) as our_events,
        peers.Events(peer.ORDERED).connect(client, close=False) as their_events,
        our_actors.connect(client, close=False) as our_listening,
        their_actors.connect(client, close=False) as their_listening,
    ):
        await our_events.register()
        await their_events.register()
        await our_listening.register()
        await their_listening.register()
        await our_events.emit(ORDERED, order(1), sync=True)
        await their_events.emit(peer.ORDERED, peer.Order(2, "Kim"), sync=True)
        async with asyncio.timeout(LONG), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(their_listening.listen(poll_delay=0.5))
            tasks.create_task(our_listening.listen())
            await until(lambda: len(ours) == len(theirs) == 2)
            our_listening.shutdown()
            running.cancel()
    assert sorted(one.number for one in ours) == [1, 2]
    assert sorted(one.number for one in theirs) == [1, 2]
    await client.close()


# Kinds of messages that both have


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (bytes, b"\x00\xff"),
        (int, -5),
        (float, 1.5),
        (str, "Kim ä"),
        (bool, True),
        (dict, {"a": [1, "b", None]}),
        (list, [1, "b", None]),
        (datetime, datetime(2020, 1, 2, 3, 4, 5, 6)),  # noqa: DTZ001
        (datetime, datetime(2020, 1, 2, tzinfo=UTC)),
        (datetime, datetime(1930, 1, 2, tzinfo=timezone(timedelta(minutes=19, seconds=32)))),
        (date, date(2020, 1, 2)),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_one_reads_what_the_other_wrote(schema: type[Any], message: Any) -> None:
    ours = walnats.Event("x", schema)
    theirs = peers.Event("x", schema)
    assert ours.decode(theirs.encode(message)) == message
    assert theirs.decode(ours.encode(message)) == message
    if schema in (datetime, date):
        assert ours.encode(message) == theirs.encode(message)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("schema", "message"),
    [(datetime, datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)), (date, date(2020, 1, 2))],
)
async def test_dates_go_both_ways(nats_url: str, schema: Any, message: Any) -> None:
    """Each actor gets what both publishers emitted."""
    ours: list[Any] = []
    theirs: list[Any] = []

    async def handle_ours(moment: Any) -> None:
        ours.append(moment)

    async def handle_theirs(moment: Any) -> None:
        theirs.append(moment)

    our_event, their_event = walnats.Event("moment", schema), peers.Event("moment", schema)
    our_actors = walnats.Actors(walnats.Actor("ours", our_event, handle_ours))
    their_actors = peers.Actors(peers.Actor("theirs", their_event, handle_theirs))
    client = await nats.connect(nats_url)
    async with (
        walnats.Events(our_event).connect(nats_url) as our_events,
        peers.Events(their_event).connect(client, close=False) as their_events,
        our_actors.connect(nats_url) as our_listening,
        their_actors.connect(client, close=False) as their_listening,
    ):
        await our_events.register()
        await our_listening.register()
        await their_listening.register()
        await our_events.emit(our_event, message, sync=True)
        await their_events.emit(their_event, message, sync=True)
        async with asyncio.timeout(LONG), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(their_listening.listen(poll_delay=0.5))
            tasks.create_task(our_listening.listen())
            await until(lambda: len(ours) == len(theirs) == 2)
            our_listening.shutdown()
            running.cancel()
    assert ours == theirs == [message] * 2
    assert {type(moment) for moment in ours} == {schema}
    await client.close()
