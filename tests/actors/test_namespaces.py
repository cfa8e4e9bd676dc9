"""Several installations of one program in one account, each in its namespace."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.actors._life import Life
from tests.actors._stage import listening, stage
from tests.support.waiting import until
from walnats_anyio._link import api, open_link
from walnats_anyio.dead_letters import DeadLetters, LetterNotFoundError, RequeueError
from walnats_anyio.testing import NatsServer

NAMESPACES = ("north", "south.eu", None)


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
def event() -> walnats.Event[str]:
    return walnats.Event("orders.placed", str, storage="memory")


@pytest.mark.anyio
async def test_all_of_an_events_life_happens_in_its_namespace(
    server: NatsServer, event: walnats.Event[str]
) -> None:
    stream = "south-eu-orders-placed"
    letter = await Life(event).live(server.url, namespace="south.eu")
    assert (letter.event, letter.actor, letter.stream) == ("orders.placed", "pack", stream)
    async with open_link(server.url) as link:
        names = (await api(link, "STREAM.NAMES"))["streams"]
        assert sorted(names) == [
            stream,
            "south-eu-walnats-attempts",
            "south-eu-walnats-dead-letters",
        ]
        config = (await api(link, f"STREAM.INFO.{stream}"))["config"]
        assert config["subjects"] == ["south.eu.orders.placed"]
        for helper in names:
            subjects = (await api(link, f"STREAM.INFO.{helper}"))["config"]["subjects"]
            assert all(subject.startswith("south.eu.") for subject in subjects)
        [consumer] = (await api(link, f"CONSUMER.NAMES.{stream}"))["consumers"]
        assert consumer == "south-eu-pack"
    # Without a namespace there is nothing of it, and nothing is in the way.
    async with DeadLetters.connect(server.url) as dead:
        assert await dead.count() == 0
    await Life(event).live(server.url)


@pytest.mark.anyio
async def test_installations_do_not_see_each_other(
    server: NatsServer, event: walnats.Event[str]
) -> None:
    handled: list[tuple[str | None, str]] = []

    def actor(namespace: str | None) -> walnats.Actor[str, None]:
        async def handle(message: str) -> None:
            handled.append((namespace, message))
            if message == "bad":
                raise walnats.Reject

        # Declared otherwise in each, which would be a conflict within one.
        limit = 100 + len(namespace or "")
        limited = walnats.Event(
            event.name, str, storage="memory", limits=walnats.Limits(messages=limit)
        )
        return walnats.Actor("pack", limited, handle, max_ack_pending=limit)

    for namespace in NAMESPACES:
        async with stage(server.url, actor(namespace), namespace=namespace) as on:
            await on.emit(f"for {namespace}", "bad")
            assert (await on.consumer(actor(namespace))).waiting == 2
    for namespace in NAMESPACES:
        async with (
            stage(server.url, actor(namespace), namespace=namespace) as on,
            listening(on.actors),
        ):
            await on.until_done(actor(namespace))
    assert handled == [(name, text) for name in NAMESPACES for text in (f"for {name}", "bad")]
    await _each_has_its_own_letter(server.url)


async def _each_has_its_own_letter(url: str) -> None:
    letters: list[Any] = []
    for namespace in NAMESPACES:
        async with DeadLetters.connect(url, namespace=namespace) as dead:
            assert await dead.count(event="orders.placed", actor="pack") == 1
            letters.extend([letter async for letter in dead])
    assert len({letter.stream for letter in letters}) == len(NAMESPACES)
    async with DeadLetters.connect(url, namespace="north") as dead:
        # A letter of another installation is neither there, nor could it be put back here.
        with pytest.raises(LetterNotFoundError):
            await dead.requeue(letters[1])
        await dead.discard(letters[0])
    for namespace, left in zip(NAMESPACES, (0, 1, 1), strict=True):
        async with DeadLetters.connect(url, namespace=namespace) as dead:
            assert await dead.count() == left


@pytest.mark.anyio
async def test_a_letter_forged_for_another_namespace_is_not_put_back(
    server: NatsServer, event: walnats.Event[str]
) -> None:
    """Even where its subject is right: what it says is not what such an actor writes."""
    from tests.dead_letters._office import a_letter
    from walnats_anyio._letters import create_stream, write_letter
    from walnats_anyio._link import Prefixes

    async with (
        open_link(server.url, prefixes=Prefixes(namespace="north")) as link,
        DeadLetters.connect(server.url, namespace="north") as dead,
    ):
        await create_stream(link, 1)
        await write_letter(link, a_letter(event=event.name))
        [letter] = [letter async for letter in dead]
        assert letter.stream == "orders-placed"
        with pytest.raises(RequeueError, match="has stream 'north-orders-placed'"):
            await dead.requeue(letter)


@pytest.mark.anyio
async def test_a_namespace_on_one_side_only_means_that_they_do_not_meet(
    server: NatsServer, event: walnats.Event[str]
) -> None:
    events = walnats.Events(event)
    life = Life(event)
    async with stage(server.url, life.actor) as on, listening(on.actors):
        async with events.connect(server.url, namespace="north") as conn:
            with pytest.raises(walnats.EmitError, match="register the event first"):
                await conn.emit(event, "lost")
        await on.emit("found")
        await until(lambda: life.handled == ["found"])


@pytest.mark.anyio
async def test_namespaces_that_become_one_stream_name_are_told_apart(
    server: NatsServer, event: walnats.Event[str]
) -> None:
    events = walnats.Events(event)
    async with events.connect(server.url, namespace="south.eu") as conn:
        await conn.register()
    async with events.connect(server.url, namespace="south-eu") as conn:
        with pytest.raises(
            walnats.StreamConfigError, match=r"belongs to event 'south\.eu\.orders\.placed'"
        ):
            await conn.register()
        with pytest.raises(walnats.EmitError, match=r"belongs to event 'south\.eu"):
            await conn.emit(event, "to nobody")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_whole_program_runs_in_a_namespace(backend: str) -> None:
    async def streams(url: str) -> list[str]:
        async with open_link(url) as link:
            names: list[str] = (await api(link, "STREAM.NAMES"))["streams"]
            return names

    actors = walnats.Actors(Life(walnats.Event("orders.placed", str)).actor)
    with NatsServer() as server:
        actors.run(
            server.url, backend=backend, domain=None, js_prefix="$JS.API", namespace="north",
            burst=True, poll_delay=0,
        )  # fmt: skip
        assert "north-orders-placed" in anyio.run(streams, server.url)


@pytest.mark.anyio
async def test_the_names_of_a_declaration_stay_as_they_are(server: NatsServer) -> None:
    name = secrets.token_hex(4)
    event = walnats.Event(name, str)
    life = Life(event)
    async with stage(server.url, life.actor, namespace="north"):
        assert (event.subject_name, event.stream_name) == (name, name)
        assert life.actor.consumer_name == "pack"
        assert life.actor.event is event
