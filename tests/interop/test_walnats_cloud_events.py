"""CloudEvents in a mixed system: real walnats 1.2.6 on the other side."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.interop.test_walnats import ORDERED, conn, listen, order, run_peer
from tests.support.waiting import until
from walnats_anyio import CloudEvent
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedEvents

__all__ = ["conn"]

pytestmark = pytest.mark.anyio

PLAIN: dict[str, Any] = {
    "id": "order-1",
    "source": "/shop/orders",
    "type": "com.shop.ordered",
    "datacontenttype": "application/json",
    "dataschema": "https://shop.example/order.json",
    "subject": "kim",
    "dataref": "/1",
    "partitionkey": "kim",
    "sampledrate": 3,
    "sequence": "0001",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "a=b",
}
"""Attributes that need no encoding: with these, both send the same headers."""

NAIVE = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - walnats takes UTC without a time zone


def ours(**changes: Any) -> CloudEvent:
    attributes: dict[str, Any] = {**PLAIN, **changes}
    return CloudEvent(**attributes)


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_its_cloud_events_and_our_actor(
    nats_server: NatsServer, conn: ConnectedEvents
) -> None:
    seen: list[tuple[int, CloudEvent | str | None]] = []

    async def handle(message: Any) -> None:
        try:
            seen.append((message.number, walnats.current_context().cloud_event))
        except ValueError as error:
            seen.append((message.number, str(error)))

    theirs = [
        PLAIN,
        {**PLAIN, "id": "2", "time": NAIVE.isoformat()},
        {**PLAIN, "id": "3", "subject": "Käthe & 100 %"},
        # Like this it writes two time zones.
        {**PLAIN, "id": "4", "time": NAIVE.replace(tzinfo=UTC).isoformat()},
    ]
    actor = walnats.Actor("ship", ORDERED, handle, max_jobs=1)
    async with walnats.Actors(actor).connect(nats_server.url) as listening:
        await conn.register()
        await listening.register()
        # The last one again, which its stream drops, as the `id` is the uid.
        messages = [
            [asdict(order(n)), {"cloud_event": one}] for n, one in enumerate([*theirs, theirs[0]])
        ]
        await run_peer(nats_server, "emit", json.dumps(messages))
        async with anyio.create_task_group() as tasks:
            await tasks.start(listen, listening)
            await until(lambda: len(seen) >= 4, 120.0)
            listening.shutdown()
    assert [number for number, _ in seen] == [0, 1, 2, 3]
    assert [each for _, each in seen[:3]] == [
        ours(),
        ours(id="2", time=NAIVE.replace(tzinfo=UTC)),
        ours(id="3", subject="Käthe & 100 %"),
    ]
    assert "time must be a time of RFC 3339" in str(seen[3][1])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_our_cloud_events_and_its_actor(
    nats_server: NatsServer, conn: ConnectedEvents
) -> None:
    await run_peer(nats_server, "register")
    timed = ours(id="2", time=NAIVE.replace(tzinfo=UTC))
    sent = [ours(), timed, ours(id="3", subject="a b")]
    for number, each in enumerate([*sent, sent[0]]):
        await conn.emit(ORDERED, order(number), meta=each, sync=True)
    theirs = [each["headers"] for each in await run_peer(nats_server, "listen", "3", "0")]
    names = {f"ce-{name}": str(value) for name, value in PLAIN.items()}
    first = {**names, "ce-specversion": "1.0", "Nats-Msg-Id": "order-1"}
    # What it is told is what it sends itself, but for what the binding has encoded.
    assert theirs == [
        first,
        {**first, "ce-id": "2", "Nats-Msg-Id": "2", "ce-time": "2026-01-02T03:04:05Z"},
        {**first, "ce-id": "3", "Nats-Msg-Id": "3", "ce-subject": "a%20b"},
    ]
