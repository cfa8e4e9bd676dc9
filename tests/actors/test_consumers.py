"""Registering actors, and listening to consumers that are not as declared."""

from __future__ import annotations

import dataclasses
from typing import Any

import anyio
import pytest

from tests.actors._stage import DEADLINE, Gate, Handled, Stage, breaking, listening, stage
from walnats_anyio import (
    Actor,
    Actors,
    ConsumerConfigError,
    Event,
    Events,
    StreamConfigError,
    WalnatsError,
)
from walnats_anyio._link import Link, api

pytestmark = pytest.mark.anyio


async def delete_consumer(link: Link, actor: Actor[Any, Any]) -> None:
    await api(link, f"CONSUMER.DELETE.{actor.event.stream_name}.{actor.consumer_name}")


# register


async def test_register_makes_the_consumer(url: str, event: Event[int]) -> None:
    actor = Actor(
        "a",
        event,
        Handled(),
        description="Notes numbers.",
        ack_wait=1.5,
        max_attempts=7,
        max_ack_pending=9,
    )
    async with stage(url, actor) as on:
        config = (await on.consumer(actor)).config
    assert config["durable_name"] == "a"
    assert config["description"] == "Notes numbers."
    assert config["ack_policy"] == "explicit"
    assert config["deliver_policy"] == "all"
    assert config["ack_wait"] == 1_500_000_000
    assert config["max_deliver"] == -1
    assert config["max_ack_pending"] == 9


async def test_register_again_changes_nothing(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Handled())
    async with stage(url, actor) as on:
        await on.emit(1, 2, 3)
        before = await on.consumer(actor)
        await on.actors.register()
        assert await on.consumer(actor) == before


@pytest.mark.parametrize(
    ("field", "value", "on_server"),
    [
        ("ack_wait", 3, ("ack_wait", 3_000_000_000)),
        ("max_ack_pending", 50, ("max_ack_pending", 50)),
        ("description", "New.", ("description", "New.")),
    ],
)
async def test_register_brings_changes_to_the_server(
    url: str, event: Event[int], field: str, value: Any, on_server: tuple[str, Any]
) -> None:
    """And what waits in the consumer stays there."""
    handled = Handled()
    actor = Actor("a", event, handled)
    async with stage(url, actor) as on:
        await on.emit(1, 2, 3)
        changed = dataclasses.replace(actor, **{field: value})
        async with Actors(changed).connect(url) as conn:
            await conn.register()
            consumer = await on.consumer(changed)
            assert consumer.config[on_server[0]] == on_server[1]
            assert consumer.waiting == 3
            async with listening(conn):
                await handled.come(3)


async def test_register_leaves_alone_what_is_not_declared(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Handled())
    async with stage(url, actor) as on:
        stream = event.stream_name
        config = (await on.consumer(actor)).config | {"metadata": {"team": "blue"}, "ack_wait": 1}
        body = {"stream_name": stream, "config": config, "action": "update"}
        await api(on.link, f"CONSUMER.CREATE.{stream}.a", body)
        await on.actors.register()
        config = (await on.consumer(actor)).config
        assert config["metadata"]["team"] == "blue"
        assert config["ack_wait"] == 16_000_000_000


async def test_register_without_a_stream(url: str, event: Event[int]) -> None:
    async with Actors(Actor("a", event, Handled())).connect(url) as conn:
        with pytest.raises(StreamConfigError, match=rf"actor 'a'.*{event.name}.*register"):
            await conn.register()


async def test_register_several_without_a_stream(url: str, event: Event[int]) -> None:
    """Those that can be registered are; every one that cannot is named."""
    missing = [Event(f"{event.name}-{number}", int) for number in range(2)]
    fine = Actor("fine", event, Handled())
    bad = [Actor(f"bad{number}", one, Handled()) for number, one in enumerate(missing)]
    async with Events(event).connect(url) as events:
        await events.register()
        async with Actors(bad[0], fine, bad[1]).connect(url) as conn:
            with pytest.raises(ExceptionGroup) as raised:
                await conn.register()
            assert len(raised.value.exceptions) == 2
            for error in raised.value.exceptions:
                assert isinstance(error, StreamConfigError)
            info = await api(conn._link, f"CONSUMER.INFO.{event.stream_name}.fine")
            assert info["name"] == "fine"


async def test_a_consumer_of_another_kind(url: str, event: Event[int]) -> None:
    """A push consumer of that name is there, which nobody can pull from."""
    actor = Actor("a", event, Handled())
    async with Events(event).connect(url) as events, Actors(actor).connect(url) as conn:
        await events.register()
        config = {"durable_name": "a", "ack_policy": "explicit", "deliver_subject": "push"}
        body = {"stream_name": event.stream_name, "config": config}
        await api(conn._link, f"CONSUMER.DURABLE.CREATE.{event.stream_name}.a", body)
        with pytest.raises(ConsumerConfigError, match=r"'a'.*push"):
            await conn.register()
        with pytest.raises(ConsumerConfigError, match=r"actor 'a'.*deliver_subject"):
            await conn.listen()


async def test_a_configuration_that_the_server_refuses(url: str, event: Event[int]) -> None:
    """The acknowledgement policy of a consumer cannot be changed."""
    actor = Actor("a", event, Handled())
    async with Events(event).connect(url) as events, Actors(actor).connect(url) as conn:
        await events.register()
        body = {
            "stream_name": event.stream_name,
            "config": {"durable_name": "a", "ack_policy": "none"},
        }
        await api(conn._link, f"CONSUMER.DURABLE.CREATE.{event.stream_name}.a", body)
        with pytest.raises(ConsumerConfigError, match=r"actor 'a': the server refuses.*'a'"):
            await conn.register()


# listen


async def test_listening_without_registering(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Handled())
    async with Events(event).connect(url) as events, Actors(actor).connect(url) as conn:
        await events.register()
        with pytest.raises(ConsumerConfigError, match=r"actor 'a'.*register"):
            await conn.listen()


async def test_listening_without_a_stream(url: str, event: Event[int]) -> None:
    async with Actors(Actor("a", event, Handled())).connect(url) as conn:
        with pytest.raises(WalnatsError, match=r"actor 'a'.*register"):
            await conn.listen()


@pytest.mark.parametrize(("field", "value"), [("ack_wait", 3), ("max_ack_pending", 50)])
async def test_a_consumer_changed_on_the_server(
    url: str, event: Event[int], field: str, value: Any
) -> None:
    handled = Handled()
    actor = Actor("a", event, handled)
    changed = dataclasses.replace(actor, **{field: value})
    async with stage(url, actor) as on, Actors(changed).connect(url) as conn:
        await conn.register()
        await on.emit(1)
        with pytest.raises(ConsumerConfigError, match=r"actor 'a'.*not as declared.*register"):
            await on.actors.listen()
        assert not handled.messages
        await on.actors.register()
        async with listening(on.actors):
            await handled.come(1)


async def test_a_description_does_not_matter(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled, description="One.")
    async with stage(url, actor) as on:
        other = dataclasses.replace(actor, description="Another.")
        async with Actors(other).connect(url) as conn, listening(conn):
            await on.emit(1)
            await handled.come(1)


async def test_a_failed_listen_can_be_repeated(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled)
    async with stage(url, actor) as on:
        await delete_consumer(on.link, actor)
        with pytest.raises(ConsumerConfigError):
            await on.actors.listen()
        await on.actors.register()
        async with listening(on.actors):
            await on.emit(1)
            await handled.come(1)


# underneath a `listen`


@pytest.mark.parametrize("burst", [False, True])
async def test_a_consumer_deleted_while_listening(url: str, event: Event[int], burst: bool) -> None:
    actor = Actor("a", event, Handled())
    async with (
        stage(url, actor) as on,
        breaking(on.actors, ConsumerConfigError, burst=burst, poll_delay=DEADLINE),
    ):
        await _until_asked(on, actor)
        await delete_consumer(on.link, actor)


async def test_a_consumer_deleted_while_all_slots_are_busy(url: str, event: Event[int]) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, max_jobs=1)
    async with stage(url, actor) as on, breaking(on.actors, ConsumerConfigError):
        await on.emit(1)
        await gate.come(1)
        await delete_consumer(on.link, actor)
        gate.open()


async def test_a_stream_deleted_while_listening(url: str, event: Event[int]) -> None:
    """The other actor's job is cancelled, and its event handed back, as one of them is broken."""
    gate = Gate()
    other = Event(f"{event.name}-other", int, storage="memory")
    actors = Actor("a", event, gate, ack_wait=120), Actor("b", other, Handled())
    async with stage(url, *actors) as on:
        async with breaking(on.actors, ConsumerConfigError):
            await on.emit(1)
            await gate.come(1)
            await _until_asked(on, actors[1])
            await api(on.link, f"STREAM.DELETE.{other.stream_name}")
        handled = Handled()
        again = dataclasses.replace(actors[0], handler=handled)
        async with Actors(again).connect(url) as conn, listening(conn):
            await handled.come(1)


async def _until_asked(on: Stage, actor: Actor[Any, Any]) -> None:
    with anyio.fail_after(DEADLINE):
        while (await on.consumer(actor)).requested == 0:
            await anyio.sleep(0.01)


# arguments of `listen`

WRONG: list[tuple[type[Exception], dict[str, Any]]] = [
    *[(ValueError, {name: 0}) for name in ("max_jobs", "max_polls", "batch")],
    *[(ValueError, {name: -1}) for name in ("max_threads", "max_processes", "shutdown_timeout")],
    (ValueError, {"poll_delay": 0}),
    (ValueError, {"poll_delay": -1}),
    (ValueError, {"poll_delay": float("inf")}),
    (ValueError, {"poll_delay": -1, "burst": True}),
    (ValueError, {"shutdown_timeout": float("nan")}),
    *[(TypeError, {name: 1.5}) for name in ("max_jobs", "max_polls", "batch", "max_threads")],
    (TypeError, {"max_jobs": None}),
    (TypeError, {"max_jobs": True}),
    (TypeError, {"max_processes": "2"}),
    (TypeError, {"poll_delay": "1"}),
    (TypeError, {"shutdown_timeout": "1"}),
]


@pytest.mark.parametrize(("error", "arguments"), WRONG, ids=str)
async def test_wrong_arguments(
    url: str, event: Event[int], error: type[Exception], arguments: dict[str, Any]
) -> None:
    name = next(iter(arguments))
    async with Actors(Actor("a", event, Handled())).connect(url) as conn:
        with pytest.raises(error, match=name) as raised:
            await conn.listen(**arguments)
    assert repr(arguments[name]) in str(raised.value)
