"""Servers that are about to stop: a cluster is moved in before it is cut, and nothing is lost."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.link._probe import Emitting, count, keep
from tests.support.answering import answering
from tests.support.waiting import DEADLINE, until
from walnats_anyio._link import open_link
from walnats_anyio.testing import NatsCluster, NatsServer

pytestmark = pytest.mark.anyio

LONG = 60.0
"""Seconds for elections, and for a server that stops."""


async def test_a_connection_moves_before_it_is_cut(
    nats_cluster: NatsCluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    event: walnats.Event[int] = walnats.Event("numbers", int, replicas=3)
    told: list[str] = []
    async with walnats.Events(event).connect(
        nats_cluster.urls, lame_duck_mode_cb=lambda: told.append("lame duck")
    ) as conn:
        await conn.register()
        await keep(nats_cluster.servers[0], event)
        emitting = Emitting(conn, event)
        connection = conn._link._connection
        assert connection is not None
        (leaving,) = (one for one in nats_cluster.servers if one.port == connection.server.port)
        with anyio.fail_after(LONG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(emitting.run)
                await emitting.past(50)
                leaving.lame_duck()
                await until(lambda: conn._link._connection is not connection, LONG)
                # It has moved by itself, long before the server would have closed it.
                assert connection.reason == "the server is about to stop"
                await emitting.past(50)
                emitting.stop()
            await conn.flush()
        witness = next(one for one in nats_cluster.servers if one is not leaving)
        assert await count(witness, event) == emitting.emitted
    leaving.kill()  # it would take half a minute
    assert told == ["lame duck"]
    assert "is about to stop" in caplog.text


async def test_a_connection_moves_to_the_only_other_server(nats_server: NatsServer) -> None:
    with NatsServer() as other:
        servers = [nats_server.url, other.url]
        told: list[str] = []
        options: dict[str, Any] = {
            "dont_randomize": True,
            "lame_duck_mode_cb": lambda: told.append("lame duck"),
        }
        async with open_link(servers, options=options) as link:
            assert link.statistics().server == nats_server.url
            nats_server.lame_duck()
            await until(lambda: link.statistics().server == other.url)
            await until(lambda: told == ["lame duck"])
            assert not link.info.ldm
    nats_server.kill()  # it would take half a minute


async def test_what_is_under_way_is_answered_before_a_connection_moves(
    nats_server: NatsServer,
) -> None:
    """On the other server nobody would answer it."""
    answers: list[bytes] = []
    with NatsServer() as other:
        servers = [nats_server.url, other.url]
        async with (
            answering(nats_server.url, "question", lambda _: None) as came,
            open_link(servers, options={"dont_randomize": True}) as link,
            anyio.create_task_group() as tasks,
        ):

            async def ask() -> None:
                answers.append((await link.request("question", timeout=DEADLINE)).data)

            tasks.start_soon(ask)
            await until(lambda: len(came) == 1)
            nats_server.lame_duck()
            await until(lambda: link.info.ldm)
            came.say(came[0], b"yes")
            await until(lambda: link.statistics().server == other.url)
    nats_server.kill()  # it would take half a minute
    assert answers == [b"yes"]


async def test_emits_to_a_single_server_that_stops_are_tried_again(nats_server: NatsServer) -> None:
    """JetStream is gone at once, while connections stay: no answer is not "no stream"."""
    event: walnats.Event[int] = walnats.Event("numbers", int)
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, event)
        await conn.emit(event, 0, uid="0", sync=True)
        connection = conn._link._connection
        nats_server.lame_duck()
        await until(lambda: conn._link.info.ldm)
        # There is no other one to move to, and nothing under way to wait for.
        await conn._link.flush()
        assert conn._link._connection is connection
        for number in range(1, 50):
            await conn.emit(event, number, uid=str(number))
        with anyio.move_on_after(2):
            await conn.flush()
        nats_server.kill()
        await nats_server.start()
        with anyio.fail_after(LONG):
            await conn.flush()
        assert await count(nats_server, event) == 50


async def test_an_emit_that_is_waited_for_while_a_single_server_stops(
    nats_server: NatsServer,
) -> None:
    event: walnats.Event[int] = walnats.Event("numbers", int)
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, event)
        await conn.emit(event, 0, uid="0", sync=True)
        nats_server.lame_duck()
        await until(lambda: conn._link.info.ldm)
        async with anyio.create_task_group() as tasks:
            with anyio.fail_after(DEADLINE * 2):

                async def emit() -> None:
                    await conn.emit(event, 1, uid="1", sync=True)

                tasks.start_soon(emit)
                await anyio.sleep(1)
                nats_server.kill()
                await nats_server.start()
        assert await count(nats_server, event) == 2
