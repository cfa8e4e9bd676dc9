"""One connection for several registries."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.support.recorders import Handled
from walnats_anyio import Actor, Actors, ConnectionLostError, Event, Events
from walnats_anyio.dead_letters import DeadLetters
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def shared_server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
def url(shared_server: NatsServer) -> str:
    return shared_server.url


@pytest.fixture
def event() -> Event[int]:
    return Event(f"shared-{secrets.token_hex(6)}", int, storage="memory")


async def test_one_connection_serves_all(event: Event[int]) -> None:
    handled = Handled()
    options: dict[str, Any] = {"namespace": "tenant", "name": "the one"}
    async with (
        NatsServer(http_port=0) as server,
        Events(event).connect(server.url, **options) as events,
    ):
        async with (
            Actors(Actor("a", event, handled)).connect(events) as actors,
            Events(event).connect(actors, namespace="tenant") as more,
            DeadLetters.connect(more) as dead,
        ):
            await events.register()
            await actors.register()
            await more.emit(event, 1)
            await more.flush()
            await actors.listen(burst=True)
            assert await dead.count() == 0
            connections = (await server.monitor("/connz"))["connections"]
            assert [each["name"] for each in connections] == ["the one"]
        # It is its owner's to close.
        await events.emit(event, 2, sync=True)
    assert handled.messages == [1]


async def test_what_differs_is_refused(url: str, event: Event[int]) -> None:
    async with Events(event).connect(url, namespace="tenant") as events:
        for wrong in ({"namespace": "other"}, {"domain": "hub"}, {"js_prefix": "$JS.hub.API"}):
            for connect in (Events(event).connect, DeadLetters.connect):
                with pytest.raises(ValueError, match="differs from what the shared connection has"):
                    connect(events, **wrong)  # type: ignore[arg-type]  # one of the three
        options: dict[str, Any] = {"name": "mine"}
        with pytest.raises(TypeError, match=r"\['name'\] have no effect .* where it was made"):
            Events(event).connect(events, **options)


async def test_one_without_an_echo_is_refused_for_actors(url: str, event: Event[int]) -> None:
    async with Events(event).connect(url, no_echo=True) as events:
        with pytest.raises(ValueError, match=r"no_echo=True keeps .* leave it out"):
            Actors(Actor("a", event, print)).connect(events)


async def test_a_connection_that_was_left_is_refused(url: str, event: Event[int]) -> None:
    async with Events(event).connect(url) as events:
        pass
    with pytest.raises(ConnectionLostError, match="the connection to be shared is closed"):
        async with Events(event).connect(events):
            pass


async def test_emits_are_awaited_by_who_shares(url: str, event: Event[int]) -> None:
    async with Events(event).connect(url) as events:
        await events.register()
        async with Events(event).connect(events) as more:
            await more.emit(event, 1, sync=True)
            await more.emit(event, 2)
        assert more.statistics().acknowledged == 2
        with pytest.raises(ConnectionLostError, match="left"):
            await more.emit(event, 3)
        await anyio.lowlevel.checkpoint()
