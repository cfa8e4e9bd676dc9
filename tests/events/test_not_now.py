"""Refusals that pass: a stream without a leader, a server that starts, a subject nobody takes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import anyio
import anyio.abc
import pytest

import walnats_anyio as walnats
from tests.faults._proxy import Proxy
from tests.link._probe import change_stream, count, keep
from tests.support.answering import answering, refusal
from tests.support.waiting import DEADLINE, until
from walnats_anyio._events import _emitter
from walnats_anyio._link import _jetstream, _pending, api, open_link
from walnats_anyio._link._pending import RETRY_AFTER
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedEvents

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("user-created", int)
EVENTS = walnats.Events(EVENT)

ACKNOWLEDGED = b'{"stream":"user-created","seq":1}'


@asynccontextmanager
async def emitting(conn: ConnectedEvents) -> AsyncIterator[None]:
    """Emit meanwhile, and wait until it is stored."""
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:

            async def emit() -> None:
                await conn.emit(EVENT, 1, sync=True)

            tasks.start_soon(emit)
            yield


@pytest.mark.parametrize("code", [10008, 10009, 10158, 10167])
async def test_an_emit_that_is_refused_for_now_is_stored_later(
    nats_server: NatsServer, code: int
) -> None:
    def answer(number: int) -> bytes | None:
        return refusal(code) if number == 1 else None

    async with (
        EVENTS.connect(nats_server.url) as conn,
        answering(nats_server.url, "user-created", answer) as came,
        emitting(conn),
    ):
        await until(lambda: len(came) == 1)
        await conn.register()
        await keep(nats_server, EVENT)
        # Long before what was never answered is sent again.
        await until(lambda: len(came) == 2, within=RETRY_AFTER * 0.75)
    assert await count(nats_server, EVENT) == 1


async def test_what_was_refused_for_now_goes_out_once_after_a_reconnect(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reconnect repeats it, and so the second attempt that was due needs not."""
    monkeypatch.setattr(_pending, "RETRY_LATER_AFTER", 1.0)

    def answer(number: int) -> bytes | None:
        return refusal(10008) if number == 1 else None

    with Proxy(nats_server.port) as proxy:
        async with (
            EVENTS.connect(proxy.url) as conn,
            answering(nats_server.url, "user-created", answer) as came,
            emitting(conn),
        ):
            await until(lambda: len(came) == 1)
            proxy.cut()
            await until(lambda: len(came) == 2)
            await anyio.sleep(1.2)
            assert len(came) == 2
            came.say(came[1], ACKNOWLEDGED)


async def test_a_first_emit_while_jetstream_starts(tmp_path: Path) -> None:
    """After a reconnect, that JetStream does not answer need not mean that there is none."""
    async with (
        NatsServer(store_dir=tmp_path) as server,
        EVENTS.connect(server.url) as registering,
        EVENTS.connect(server.url) as conn,
    ):
        await registering.register()
        await keep(server, EVENT)
        port = server.port
        await server.stop()
        async with anyio.create_task_group() as tasks:
            async with NatsServer(port=port, jetstream=False):
                await until(lambda: conn._link.connected)
                await tasks.start(begin_to_emit, conn)
                # So many round trips later it knows that nobody takes the event, and that nobody
                # can say whether there is a stream.
                for _ in range(3):
                    await conn._link.flush()
                assert conn.statistics().outstanding == 1
            await server.start()
        assert await count(server, EVENT) == 1


async def begin_to_emit(conn: ConnectedEvents, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    task_status.started()
    with anyio.fail_after(DEADLINE):
        await conn.emit(EVENT, 1, sync=True)


async def test_a_subject_that_its_stream_does_not_take(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again for a while, as a leader may be missing, and not for `dedup_window`."""
    monkeypatch.setattr(_emitter, "GONE_AFTER", 1.0)
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        await conn.emit(EVENT, 1, sync=True)
        await change_stream(nats_server, EVENT, subjects=["elsewhere"])
        began = monotonic()
        with (
            anyio.fail_after(DEADLINE),
            pytest.raises(walnats.EmitError, match="does not take it: register the event"),
        ):
            await conn.emit(EVENT, 2, sync=True)
        assert 1.0 <= monotonic() - began < 4.0


# Requests to JetStream, while a cluster has no leader or too few servers

REFUSED_NOW = [
    (10008, "JetStream system temporarily unavailable"),
    (10009, "JetStream cluster can not handle request"),
    (10005, "no suitable peers for placement, peer offline"),
]


def told(**what: object) -> bytes:
    return json.dumps({"type": "io.nats.jetstream.api.v1.any", **what}).encode()


@pytest.mark.parametrize(("code", "description"), REFUSED_NOW)
async def test_a_request_that_is_refused_for_now_is_tried_again(
    code: int, description: str
) -> None:
    refused = told(error={"code": 503, "err_code": code, "description": description})

    def answer(number: int) -> bytes:
        return refused if number == 1 else told(streams=["numbers"])

    with NatsServer(jetstream=False) as server:
        async with (
            answering(server.url, "$JS.API.STREAM.NAMES", answer) as came,
            open_link(server.url) as link,
        ):
            assert (await api(link, "STREAM.NAMES"))["streams"] == ["numbers"]
            assert len(came) == 2


@pytest.mark.parametrize(
    ("code", "description", "tried_again"),
    [
        *((*refusal, True) for refusal in REFUSED_NOW),
        (10005, "no suitable peers for placement, insufficient storage", False),
        (10059, "stream not found, peer offline", False),
    ],
)
async def test_a_request_that_is_refused_for_good(
    monkeypatch: pytest.MonkeyPatch, code: int, description: str, tried_again: bool
) -> None:
    monkeypatch.setattr(_jetstream, "ANSWER_WITHIN", 0.4)
    refused = told(error={"code": 503, "err_code": code, "description": description})
    with NatsServer(jetstream=False) as server:
        async with (
            answering(server.url, "$JS.API.STREAM.NAMES", lambda _: refused) as came,
            open_link(server.url) as link,
        ):
            with pytest.raises(walnats.ServerError, match=description) as failed:
                await api(link, "STREAM.NAMES")
            assert failed.value.code == code
            assert (len(came) > 1) == tried_again
