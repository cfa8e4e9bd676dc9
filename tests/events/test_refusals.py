"""What the server refuses: the error names the field, both values and what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import walnats_anyio as walnats
from tests.support.servers import DEBIAN, NEWEST_WITHOUT_SCHEDULES, server_binary
from walnats_anyio import Limits
from walnats_anyio._link import api
from walnats_anyio.testing import NatsCluster, NatsServer
from walnats_anyio.types import ConnectedEvents

pytestmark = pytest.mark.anyio

ACCOUNTS = """
accounts {
  STRICT {
    users: [{user: strict, password: p}]
    jetstream: {max_mem: 1000000, max_file: 1000000, max_streams: 1, max_consumers: 1,
      max_bytes_required: true}
  }
  SMALL {
    users: [{user: small, password: p}]
    jetstream: {max_mem: 1000000, max_file: 1000000, disk_max_stream_bytes: 5000,
      max_ack_pending: 10}
  }
}
jetstream { max_mem: 10M, max_file: 10M }
"""


@pytest.fixture(scope="module")
def accounts() -> Iterator[NatsServer]:
    with NatsServer(config=ACCOUNTS) as server:
        yield server


async def nothing(message: int) -> None:
    """Handle an event."""


@asynccontextmanager
async def connected(
    server: NatsServer, user: str | None, event: walnats.Event[Any]
) -> AsyncIterator[ConnectedEvents]:
    options: dict[str, Any] = {} if user is None else {"user": user, "password": "p"}
    async with walnats.Events(event).connect(server.url, **options) as conn:
        yield conn


async def refusal(
    server: NatsServer, event: walnats.Event[Any], user: str | None = None, **options: bool
) -> str:
    """What `register` says; the stream is deleted where there was one already."""
    async with connected(server, user, event) as conn:
        with pytest.raises(walnats.StreamConfigError) as raised:
            await conn.register(**options)
        return str(raised.value)


def event_of(**options: Any) -> walnats.Event[int]:
    return walnats.Event("refused", int, **options)


@pytest.mark.parametrize(
    ("user", "event", "told"),
    [
        (
            "strict",
            event_of(),
            (
                "account requires a stream config to have max bytes set (max_bytes is declared as "
                "-1). Declare `limits.bytes`, as the account wants it"
            ),
        ),
        (
            "strict",
            event_of(limits=Limits(bytes=2_000_000)),
            (
                "insufficient storage resources available (max_bytes is declared as 2000000). "
                "Declare a lower `limits.bytes`, as NATS sets that much aside, or let JetStream "
                "have more (`max_file` of the server or the account)"
            ),
        ),
        (
            "strict",
            event_of(limits=Limits(bytes=2_000_000), storage="memory"),
            (
                "insufficient memory resources available (max_bytes is declared as 2000000). "
                "Declare a lower `limits.bytes`, as NATS sets that much aside, or let JetStream "
                "have more (`max_mem` of the server or the account)"
            ),
        ),
        (
            "small",
            event_of(limits=Limits(bytes=6000)),
            (
                "stream max bytes exceeds account limit max stream bytes (max_bytes is declared as "
                "6000). Declare a `limits.bytes` that the account allows"
            ),
        ),
        (
            "small",
            event_of(replicas=3),
            (
                "replicas > 1 not supported in non-clustered mode (num_replicas is declared as 3). "
                "Declare `replicas=1`, or connect to a cluster"
            ),
        ),
    ],
    ids=["bytes required", "storage", "memory", "bytes of a stream", "replicas"],
)
async def test_a_new_stream(
    accounts: NatsServer, user: str, event: walnats.Event[int], told: str
) -> None:
    said = await refusal(accounts, event, user)
    assert said.startswith(f"event 'refused': stream 'refused' is refused by the server: {told}")


async def test_too_many_streams_and_consumers(accounts: NatsServer) -> None:
    event = event_of(limits=Limits(bytes=500))
    other = walnats.Event("other", int, limits=Limits(bytes=500))
    async with connected(accounts, "strict", event) as conn:
        await conn.register()
        assert "maximum number of streams reached. Delete streams that nobody needs" in (
            await refusal(accounts, other, "strict")
        )
        async with walnats.Actors(
            *(walnats.Actor(name, event, nothing) for name in ("one", "two"))
        ).connect(conn) as workers:
            with pytest.raises(walnats.ConsumerConfigError) as raised:
                await workers.register()
        assert "maximum consumers limit reached. Raise `limits.consumers` of the event" in str(
            raised.value
        )
        await api(conn._link, "STREAM.DELETE.refused")


async def test_too_many_events_held_at_once(accounts: NatsServer) -> None:
    event = event_of()
    actors = walnats.Actors(walnats.Actor("one", event, nothing))
    async with connected(accounts, "small", event) as conn, actors.connect(conn) as workers:
        await conn.register()
        with pytest.raises(walnats.ConsumerConfigError) as raised:
            await workers.register()
        await api(conn._link, "STREAM.DELETE.refused")
    assert (
        "consumer max ack pending exceeds system limit of 10 (max_ack_pending is declared as 1000)."
        " Declare a lower `max_ack_pending`"
    ) in str(raised.value)


async def test_an_update(nats_server: NatsServer) -> None:
    async with connected(nats_server, None, event_of()) as conn:
        await conn.register()
    for event, told in (
        (event_of(limits=Limits(bytes=2**60)), f"max_bytes would be changed from -1 to {2**60}"),
        (event_of(replicas=3), "num_replicas would be changed from 1 to 3"),
    ):
        said = await refusal(nats_server, event)
        assert told in said
        async with connected(nats_server, None, event_of()) as conn:
            assert [entry.action.value for entry in await conn.plan()] == ["keep"]


async def test_whose_the_subject_is(nats_server: NatsServer) -> None:
    event = walnats.Event("shop.placed", int)
    async with connected(nats_server, None, event) as conn:
        await api(conn._link, "STREAM.CREATE.all", {"name": "all", "subjects": ["shop.>"]})
    assert (
        "subjects overlap with an existing stream: 'all' (subjects is declared as ['shop.placed'])."
        " Give the event another name, or take its subject from that stream"
    ) in await refusal(nats_server, event)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # as a cluster takes a second to start
async def test_more_replicas_than_servers(nats_cluster: NatsCluster) -> None:
    server = nats_cluster.servers[0]
    assert (
        "no suitable peers for placement (num_replicas is declared as 5). Declare no more "
        "`replicas` than the cluster has servers"
    ) in await refusal(server, event_of(replicas=5))
    async with connected(server, None, event_of()) as conn:
        await conn.register()
    assert "num_replicas would be changed from 1 to 5" in await refusal(
        server, event_of(replicas=5)
    )


# Older servers, which refuse more, or less than they should


@pytest.fixture(scope="module", params=[DEBIAN, NEWEST_WITHOUT_SCHEDULES])
def older(request: pytest.FixtureRequest) -> Iterator[NatsServer]:
    with NatsServer(binary=server_binary(request.param)) as server:
        yield server


async def test_replicas_that_an_older_server_only_pretends_to_have(older: NatsServer) -> None:
    """It takes the update, where it is in no cluster, and goes on with one copy."""
    async with connected(older, None, event_of()) as conn:
        await conn.register()
        said = await refusal(older, event_of(replicas=3), force=True)
        assert "num_replicas would be changed from 1 to 3" in said
        info = await api(conn._link, "STREAM.INFO.refused")
        assert info["config"]["num_replicas"] == 1
        await api(conn._link, "STREAM.DELETE.refused")
