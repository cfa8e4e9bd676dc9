"""An event with a response is a checked value, and the same event on the server."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any, assert_type

import anyio
import anyio.to_thread
import msgspec
import pytest

import walnats_anyio as walnats
from walnats_anyio import Actor
from walnats_anyio._events import BaseEvent
from walnats_anyio.serializers import DecodeError, EncodeError, MsgspecSerializer
from walnats_anyio.testing import NatsServer, run_job
from walnats_anyio.types import EventWithResponse


class Item(msgspec.Struct):
    name: str


class Price(msgspec.Struct):
    cents: int


EVENT = walnats.Event(
    "price.asked", Item, description="what does it cost", replicas=3, storage="memory"
)
ASKED = EVENT.with_response(Price)


async def price(item: Item) -> Price:
    return Price(len(item.name))


def test_it_is_the_same_event_on_the_server() -> None:
    assert_type(ASKED, EventWithResponse[Item, Price])
    assert ASKED.stream_config() == EVENT.stream_config()
    assert (ASKED.subject_name, ASKED.encode(Item("a"))) == ("price.asked", b'{"name":"a"}')
    for field in dataclasses.fields(EVENT):
        if field.name != "_codec":
            assert getattr(ASKED, field.name) == getattr(EVENT, field.name)


def test_it_is_a_value() -> None:
    assert EVENT.with_response(Price) == ASKED
    assert hash(EVENT.with_response(Price)) == hash(ASKED)
    different: list[BaseEvent[Any]] = [EVENT, EVENT.with_response(Item)]
    assert ASKED not in different
    for made in (copy.copy(ASKED), copy.deepcopy(ASKED), pickle.loads(pickle.dumps(ASKED))):
        assert made == ASKED
        assert made.decode_response(ASKED.encode_response(Price(3))) == Price(3)
    assert "response_schema=<class" in repr(ASKED)


def test_responses_have_a_codec_of_their_own() -> None:
    serializer = MsgspecSerializer(Price)
    asked = EVENT.with_response(Price, serializer)
    assert asked.response_codec is serializer
    wrong: Any = Item("a")
    with pytest.raises(EncodeError, match=r"answered with .*Price, and what the handler returned"):
        asked.encode_response(wrong)
    with pytest.raises(DecodeError, match=r"answered with .*Price, and what arrived \(2 bytes\)"):
        asked.decode_response(b"[]")


def test_what_is_no_serializer_of_a_response() -> None:
    wrong: Any = object()
    with pytest.raises(TypeError, match=r"event 'price.asked': response serializer must be"):
        EVENT.with_response(Price, wrong)


def test_a_registry_has_one_of_the_two() -> None:
    with pytest.raises(ValueError, match="two events are named"):
        walnats.Events(EVENT, ASKED)


def test_the_handler_of_an_actor_returns_the_response() -> None:
    assert_type(Actor("price", ASKED, price), Actor[Item, Price])


def test_a_response_that_no_worker_process_can_encode() -> None:
    class Local(msgspec.Struct):
        cents: int

    def handle(item: Item) -> Local:
        return Local(1)

    with pytest.raises(TypeError, match="cannot be pickled"):
        Actor("a", EVENT.with_response(Local), handle, execute_in=walnats.ExecuteIn.PROCESS)


@pytest.mark.anyio
async def test_a_job_without_a_server_has_the_response() -> None:
    run = await run_job(Actor("price", ASKED, price), Item("abc"))
    assert (run.verdict, run.response) == ("ack", Price(3))
    assert (await run_job(Actor("price", EVENT, price), Item("abc"))).response is None


@pytest.mark.anyio
async def test_requests_in_a_namespace_and_from_a_thread(nats_server: NatsServer) -> None:
    event = walnats.Event("price.asked", Item).with_response(Price)
    actors, events = walnats.Actors(Actor("price", event, price)), walnats.Events(event)

    def ask() -> Price:
        with events.connect_sync(nats_server.url, namespace="eu") as conn:
            conn.emit(event, Item("first"))
            return conn.request(event, Item("abcd"), timeout=60)

    async with (
        events.connect(nats_server.url, namespace="eu") as emitting,
        actors.connect(nats_server.url, namespace="eu") as conn,
        anyio.create_task_group() as tasks,
    ):
        await emitting.register()
        await conn.register()
        await tasks.start(lambda *, task_status: conn.listen(task_status=task_status))
        assert await emitting.request(event, Item("abc"), timeout=60) == Price(3)
        assert await anyio.to_thread.run_sync(ask) == Price(4)
        conn.shutdown()
