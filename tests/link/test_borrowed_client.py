"""A `nats.NATS` of the caller's: used, listened to, and given back as it was. On asyncio only."""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import nats
import pytest
from anyio.abc import TaskStatus
from nats.aio.client import Client

import walnats_anyio as walnats
from tests.actors._stage import listening
from tests.link._probe import connections
from tests.support.recorders import Handled
from tests.support.waiting import DEADLINE, until
from walnats_anyio._link import _borrowed
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


async def test_connections_that_share_it_end_in_any_order(
    client: Client, heard: Heard, nats_server: NatsServer
) -> None:
    left = anyio.Event()
    used: list[walnats.types.ConnectedEvents] = []

    async def one() -> None:
        async with EVENTS.connect(client, close=False) as conn:
            used.append(conn)
            await conn.register()
            await conn.emit(EVENT, 1)
        left.set()

    async with EVENTS.connect(client, close=False) as other:
        await other.register()
        await other.emit(EVENT, 0, sync=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            await left.wait()
            with pytest.raises(walnats.ConnectionLostError):
                await used[0].emit(EVENT, 1)
        # The other one still hears of the connection.
        nats_server.kill()
        await until(lambda: "disconnected" in heard.said)
        await other.emit(EVENT, 2)
        await nats_server.start()
        with anyio.fail_after(DEADLINE):
            await other.flush()
    assert heard.changes == ["disconnected", "reconnected"]


async def test_it_is_closed_by_the_caller_meanwhile(client: Client) -> None:
    async with EVENTS.connect(client, close=False) as conn:
        await conn.register()
        await client.close()
        with anyio.fail_after(DEADLINE), pytest.raises(walnats.WalnatsError) as failed:
            await conn.register()
        assert "nats.NATS" in str(failed.value)
        with pytest.raises(walnats.ConnectionLostError):
            await conn.emit(EVENT, 1)


async def test_a_listener_on_it_ends_when_the_caller_closes_it(client: Client) -> None:
    async with EVENTS.connect(client, close=False) as conn:
        await conn.register()
    async with ACTORS.connect(client, close=False) as actors:
        await actors.register()

        async def listen(*, task_status: TaskStatus[None]) -> None:
            with pytest.raises(walnats.ConnectionLostError, match=r"nats\.NATS .* is closed"):
                await actors.listen(task_status=task_status)

        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                await tasks.start(listen)
                await client.close()


async def test_it_emits_and_listens_across_a_restart(
    client: Client, nats_server: NatsServer
) -> None:
    handled = Handled()
    actors = walnats.Actors(walnats.Actor("handle", EVENT, handled))
    async with (
        EVENTS.connect(client, close=False) as conn,
        actors.connect(client, close=False) as acting,
    ):
        await conn.register()
        await acting.register()
        async with listening(acting):
            for number in range(30):
                await conn.emit(EVENT, number, uid=str(number))
                if number == 10:
                    await nats_server.restart()
            await conn.flush()
            await handled.come(30)
    assert set(handled.messages) == set(range(30))


async def test_a_large_message_and_headers_through_it(client: Client) -> None:
    event = walnats.Event("large", bytes)
    got: list[bytes] = []
    actors = walnats.Actors(walnats.Actor("handle", event, _append_to(got)))
    sent = [b"", b"\r\n" * 1000, bytes(range(256)) * 2000]
    async with (
        walnats.Events(event).connect(client, close=False) as conn,
        actors.connect(client, close=False) as acting,
    ):
        await conn.register()
        await acting.register()
        for number, message in enumerate(sent):
            await conn.emit(event, message, uid=str(number), trace_id="Ä-1", sync=True)
        await acting.listen(burst=True)
    assert sorted(got) == sorted(sent)


def _append_to(got: list[bytes]) -> Callable[[bytes], Any]:
    async def append(message: bytes) -> None:
        got.append(message)

    return append


def test_only_its_public_names_are_used() -> None:
    """Whatever begins with an underscore may be another one in the next nats-py."""
    private = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(Path(_borrowed.__file__).read_text()))
        if isinstance(node, ast.Attribute)
        and re.match("_[a-z]", node.attr)
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]
    assert private == []


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
