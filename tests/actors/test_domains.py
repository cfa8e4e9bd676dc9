"""JetStream that is elsewhere: in the domain of a leafnode, or in another account."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.actors._life import Life
from tests.support.answering import answering, refusal
from tests.support.waiting import DEADLINE, until
from walnats_anyio._link import Link, Prefixes, ServerError, api, open_link
from walnats_anyio.dead_letters import DeadLetters
from walnats_anyio.testing import NatsServer, held_port

pytestmark = pytest.mark.anyio

ACCOUNTS = """
accounts {
  HUB {
    jetstream: enabled
    users: [{user: hub, password: hub}]
    exports: [
      {service: "$JS.API.>", response_type: stream}
      {service: "$JS.ACK.>"}
      {service: "shop.>"}
    ]
  }
  TEAM {
    users: [{user: team, password: team}]
    imports: [
      {service: {account: HUB, subject: "$JS.API.>"}, to: "hub.API.>"}
      {service: {account: HUB, subject: "$JS.ACK.>"}}
      {service: {account: HUB, subject: "shop.>"}}
    ]
  }
}
"""


@dataclass(frozen=True)
class Edge:
    """A hub and a leafnode, each with a JetStream domain of its own."""

    hub: str
    edge: str


@pytest.fixture(scope="module", params=["acks as ever", "acks with the domain"])
def leafnode(request: pytest.FixtureRequest) -> Iterator[Edge]:
    flags = {"feature_flags": {"js_ack_fc_v2": request.param == "acks with the domain"}}
    with held_port() as port:
        leafnodes = {"host": "127.0.0.1", "port": port}
        remotes = {"remotes": [{"urls": [f"nats://127.0.0.1:{port}"]}]}
        hub = {"jetstream": {"domain": "hub"}, "leafnodes": leafnodes, **flags}
        edge = {"jetstream": {"domain": "edge"}, "leafnodes": remotes, **flags}
        with NatsServer(config=hub) as one, NatsServer(config=edge) as other:
            yield Edge(one.url, other.url)


@pytest.fixture(scope="module")
def accounts() -> Iterator[str]:
    with NatsServer(config=ACCOUNTS) as server:
        yield server.url


@pytest.fixture
def event() -> walnats.Event[str]:
    return walnats.Event(f"shop.placed.{secrets.token_hex(6)}", str, storage="memory")


@asynccontextmanager
async def reached(url: str, domain: str | None = None) -> AsyncIterator[Link]:
    """A link to where JetStream answers by now: a leafnode takes a moment to connect."""
    async with open_link(url, prefixes=Prefixes.of(domain, None, None)) as link:

        async def answers() -> bool:
            try:
                await api(link, "INFO")
            except ServerError:
                return False
            return True

        await until(answers)
        yield link


async def streams_of(link: Link) -> set[str]:
    answer: dict[str, Any] = await api(link, "STREAM.NAMES")
    return set(answer["streams"] or ())


# A leafnode


async def test_events_live_in_the_domain_of_a_leafnode(
    leafnode: Edge, event: walnats.Event[str]
) -> None:
    life = Life(event)
    async with reached(leafnode.hub, "edge"):
        letter = await life.live(leafnode.hub, domain="edge")
    assert letter.stream == event.stream_name
    async with reached(leafnode.hub) as hub, reached(leafnode.edge) as edge:
        assert event.stream_name in await streams_of(edge)
        assert await streams_of(hub) == set()
        # Connected to the leafnode itself, the domain says nothing new.
        other = walnats.Event(f"{event.name}.other", str, storage="memory")
        await Life(other).live(leafnode.edge, domain="edge")


async def test_an_acknowledgement_of_another_domain_does_not_count(
    leafnode: Edge, event: walnats.Event[str], caplog: pytest.LogCaptureFixture
) -> None:
    events = walnats.Events(event)
    async with reached(leafnode.hub, "edge") as edge, reached(leafnode.hub) as hub:
        config = {"name": event.stream_name, "subjects": [event.subject_name]}
        await api(hub, f"STREAM.CREATE.{event.stream_name}", config | {"storage": "memory"})
        try:
            async with events.connect(leafnode.hub, domain="edge") as conn:
                with pytest.raises(walnats.EmitError, match="register the event first"):
                    await conn.emit(event, "kept in the hub only")
                await conn.register()
                for _ in range(5):
                    await conn.emit(event, "kept in both", sync=True)
                # Said once, however often it answers.
                assert caplog.text.count("domain 'hub' takes it as well") == 1
            info = await api(edge, f"STREAM.INFO.{event.stream_name}")
            assert info["state"]["last_seq"] == 5
        finally:
            await api(hub, f"STREAM.DELETE.{event.stream_name}")


async def test_a_refusal_that_names_no_domain_counts(
    leafnode: Edge, event: walnats.Event[str]
) -> None:
    """What says that it is of another domain does not; what says nothing may be the stream's."""
    said = refusal(10077)
    async with (
        reached(leafnode.hub, "edge"),
        answering(leafnode.hub, event.subject_name, lambda _: said),
        walnats.Events(event).connect(leafnode.hub, domain="edge") as conn,
    ):
        with anyio.fail_after(DEADLINE), pytest.raises(walnats.EmitError, match="not now"):
            await conn.emit(event, "refused", sync=True)


async def test_a_domain_that_is_not_there_is_named(
    leafnode: Edge, event: walnats.Event[str]
) -> None:
    async with walnats.Events(event).connect(leafnode.hub, domain="egde") as conn:
        with pytest.raises(ServerError, match=r"'\$JS\.egde\.API'.*check the domain"):
            await conn.register()


async def test_an_emit_to_a_domain_that_is_not_there_says_so(
    leafnode: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    event = walnats.Event("shop.missing", str, dedup_window=0.5)
    async with walnats.Events(event).connect(leafnode.hub, domain="egde") as conn:
        # It may be cut off for a moment, so it is tried for as long as that makes sense.
        with pytest.raises(walnats.EmitError, match=r"'\$JS\.egde\.API'.*check the domain"):
            await conn.emit(event, "to nobody")
    assert "'$JS.egde.API'" in caplog.text


# Another account


async def test_an_account_imports_jetstream_under_a_prefix(
    accounts: str, event: walnats.Event[str]
) -> None:
    # The notes of attempts and the letters are subjects as well, and need their import.
    team: dict[str, Any] = {
        "js_prefix": "hub.API",
        "user": "team",
        "password": "team",
        "namespace": "shop",
    }
    named = walnats.Event(event.name.removeprefix("shop."), str, storage="memory")
    letter = await Life(named).live(accounts, **team)
    assert letter.stream == event.stream_name
    hub: dict[str, Any] = {"user": "hub", "password": "hub"}
    async with DeadLetters.connect(accounts, namespace="shop", **hub) as dead:
        assert await dead.count() == 0
    async with open_link(accounts, options=hub) as link:
        assert event.stream_name in await streams_of(link)


async def test_a_prefix_that_nobody_answers_is_named(
    accounts: str, event: walnats.Event[str]
) -> None:
    events = walnats.Events(event)
    async with events.connect(accounts, js_prefix="hbu.API", user="team", password="team") as conn:
        with pytest.raises(ServerError, match=r"'hbu\.API'.*js_prefix"):
            await conn.register()
