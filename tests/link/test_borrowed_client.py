"""A `nats.NATS` of the caller's: used, listened to, and given back as it was. On asyncio only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio
import nats
import pytest
from nats.aio.client import Client

import walnats_anyio as walnats
from tests.link._probe import connections, until
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("user-created", int)
EVENTS = walnats.Events(EVENT)


async def ignore(_message: int) -> None:
    pass


ACTORS = walnats.Actors(walnats.Actor("ignore", EVENT, ignore))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Heard:
    """Callbacks of the caller's own, and what they were told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def options(self) -> dict[str, Any]:
        async def on_error(_error: Exception) -> None:
            self.said.append("error")

        return {
            "disconnected_cb": self._noting("disconnected"),
            "reconnected_cb": self._noting("reconnected"),
            "closed_cb": self._noting("closed"),
            "error_cb": on_error,
            "reconnect_time_wait": 0.05,
            "max_reconnect_attempts": -1,
        }

    def _noting(self, what: str) -> Callable[[], Any]:
        async def note() -> None:
            self.said.append(what)

        return note

    @property
    def changes(self) -> list[str]:
        """What was said of the connection, and not of attempts to get it back."""
        return [said for said in self.said if said != "error"]


@pytest.fixture
def nats_server_options() -> dict[str, Any]:
    return {"http_port": 0}


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def client(nats_url: str, heard: Heard) -> AsyncIterator[Client]:
    client = await nats.connect(nats_url, **heard.options())
    yield client
    if not client.is_closed:
        await client.close()


async def test_it_is_closed_unless_told_otherwise(client: Client, heard: Heard) -> None:
    async with EVENTS.connect(client) as conn:
        await conn.register()
        await conn.emit(EVENT, 1)
    assert client.is_closed
    assert heard.changes == ["disconnected", "closed"]


async def test_it_is_left_open_when_told_so(client: Client, nats_server: NatsServer) -> None:
    for _ in range(3):
        async with (
            EVENTS.connect(client, close=False) as conn,
            ACTORS.connect(client, close=False) as actors,
        ):
            await conn.register()
            await actors.register()
            await conn.emit(EVENT, 1)
    assert client.is_connected
    # Nothing of ours stays in it; nats-py's flush does not wait for what is only to be sent.
    with anyio.fail_after(20):
        while (await connections(nats_server))[0].get("subscriptions_list"):
            await anyio.sleep(0.01)


async def test_its_own_subscriptions_go_on(client: Client) -> None:
    subscription = await client.subscribe("gossip")
    async with EVENTS.connect(client, close=False) as conn:
        await conn.register()
        await client.publish("gossip", b"inside")
        assert (await subscription.next_msg(timeout=20)).data == b"inside"
    await client.publish("gossip", b"after")
    assert (await subscription.next_msg(timeout=20)).data == b"after"


async def test_its_callbacks_are_called_once_each(
    client: Client, heard: Heard, nats_server: NatsServer
) -> None:
    async with (
        EVENTS.connect(client, close=False) as conn,
        ACTORS.connect(client, close=False),
    ):
        await conn.register()
        await nats_server.restart()
        await conn.emit(EVENT, 1, sync=True)
        await until(lambda: "reconnected" in heard.said)
    assert heard.changes == ["disconnected", "reconnected"]
    # And as before when we are gone.
    await nats_server.restart()
    await until(lambda: heard.said.count("reconnected") == 2)
    await client.close()
    assert heard.changes == ["disconnected", "reconnected"] * 2 + ["disconnected", "closed"]


@pytest.mark.parametrize("first_out", [0, 1])
async def test_connections_that_share_it_end_in_any_order(
    client: Client, heard: Heard, nats_server: NatsServer, first_out: int
) -> None:
    before = vars(client).copy()
    stacks = [AsyncExitStack(), AsyncExitStack()]
    connected = [
        await stack.enter_async_context(EVENTS.connect(client, close=False)) for stack in stacks
    ]
    for conn in connected:
        await conn.register()
    await stacks[first_out].aclose()
    left, other = connected[first_out], connected[1 - first_out]
    with pytest.raises(walnats.ConnectionLostError):
        await left.emit(EVENT, 1)
    # The other one still hears of the connection.
    nats_server.kill()
    await until(lambda: "disconnected" in heard.said)
    await other.emit(EVENT, 2)
    await nats_server.start()
    with anyio.fail_after(20):
        await other.flush()
    await stacks[1 - first_out].aclose()
    assert heard.changes == ["disconnected", "reconnected"]
    for name in ("_disconnected_cb", "_reconnected_cb", "_closed_cb", "_error_cb"):
        assert vars(client)[name] is before[name]


async def test_it_is_closed_by_the_caller_meanwhile(client: Client) -> None:
    async with EVENTS.connect(client, close=False) as conn:
        await conn.register()
        await client.close()
        with pytest.raises(walnats.ConnectionLostError):
            await conn.emit(EVENT, 1)
        with pytest.raises(walnats.ConnectionLostError):
            await conn.register()


async def test_used_after_leaving(client: Client) -> None:
    async with EVENTS.connect(client, close=False) as conn:
        await conn.register()
    with anyio.fail_after(20):
        with pytest.raises(walnats.ConnectionLostError):
            await conn.emit(EVENT, 1)
        with pytest.raises(walnats.ConnectionLostError):
            await conn.emit_many(EVENT, [1, 2], sync=True)
        with pytest.raises(walnats.ConnectionLostError):
            await conn.register()


async def test_one_that_gets_no_echo(nats_url: str) -> None:
    client = await nats.connect(nats_url, no_echo=True)
    async with EVENTS.connect(client) as conn:
        await conn.register()
        await conn.emit(EVENT, 1)
        await conn.flush()


async def test_one_that_is_not_connected(client: Client) -> None:
    await client.close()
    for other in (client, Client()):
        with pytest.raises(walnats.ConnectError, match=r"not connected: await nats\.connect"):
            async with EVENTS.connect(other):
                pytest.fail("connected")


async def test_options_beside_it(client: Client) -> None:
    for registry in (EVENTS, ACTORS):
        with pytest.raises(TypeError, match=r"\['name'\] have no effect on a client that is conn"):
            registry.connect(client, name="other")
    assert client.is_connected


@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.parametrize("registry", [EVENTS, ACTORS], ids=["events", "actors"])
async def test_on_trio_it_is_refused(registry: Any) -> None:
    with pytest.raises(TypeError, match="can be used on asyncio only"):
        async with registry.connect(Client()):
            pytest.fail("connected")
