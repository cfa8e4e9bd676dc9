"""nats-py on the other side, in both directions: it is independent of us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

import walnats_anyio as walnats
from tests.link._probe import keep, stored
from tests.support.waiting import DEADLINE, until
from walnats_anyio._link import Link, Message, open_link, parse_headers, pub
from walnats_anyio._link.protocol._headers import header_block
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

HEADERS = {"Name": "Käthe", "X-Empty": "", "Tab": "a\tb", "Colon": "a:b: c", "Long": "x" * 500}
PAYLOADS = {
    "empty": b"",
    "line breaks": b"x\r\n\r\nMSG a 1 5\r\n",
    "every byte": bytes(range(256)) * 4,
    "a mebibyte": b"\r\n" * (512 * 1024 - 8192),
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def other(nats_url: str) -> AsyncIterator[Client]:
    client = await nats.connect(nats_url)
    yield client
    await client.close()


@pytest.fixture
async def link(nats_url: str) -> AsyncIterator[Link]:
    async with open_link(nats_url) as link:
        yield link


def noting(got: list[Any]) -> Callable[[Msg], Any]:
    async def note(message: Msg) -> None:
        got.append(message)

    return note


@pytest.mark.parametrize("headers", [{}, HEADERS], ids=["plain", "headers"])
@pytest.mark.parametrize("payload", list(PAYLOADS))
async def test_it_reads_what_we_send(
    link: Link, other: Client, payload: str, headers: dict[str, str]
) -> None:
    got: list[Msg] = []
    await other.subscribe("there", cb=noting(got))
    await other.flush()
    # nats-py 2.16 at times loses a message of several chunks without a word (2 of 60), while a
    # second connection of ours reads it each time. So it is sent until it comes.
    while not got:
        link.post(pub("there", PAYLOADS[payload], "back", header_block(headers)))
        with suppress(TimeoutError):
            await until(lambda: bool(got), within=1)
    assert got[0].data == PAYLOADS[payload]
    assert (got[0].headers or {}) == headers
    assert got[0].reply == "back"


@pytest.mark.parametrize("headers", [{}, HEADERS], ids=["plain", "headers"])
@pytest.mark.parametrize("payload", list(PAYLOADS))
async def test_we_read_what_it_sends(
    link: Link, other: Client, payload: str, headers: dict[str, str]
) -> None:
    got: list[Message] = []
    link.subscribe_to("here.>", got.append)
    await link.flush()
    await other.publish("here.it.is", PAYLOADS[payload], reply="back", headers=headers or None)
    await until(lambda: len(got) == 1)
    assert got[0].data == PAYLOADS[payload]
    assert parse_headers(got[0].header) == headers
    assert (got[0].subject, got[0].reply) == (b"here.it.is", b"back")


async def test_it_answers_our_requests(link: Link, other: Client) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(message.data[::-1])

    await other.subscribe("service", cb=answer)

    async def is_there() -> bool:
        # nats-py's flush may return before the server has read its subscription.
        return (await link.request("service", b"ab")).data == b"ba"

    await until(is_there)
    answers = [await link.request("service", b"%d1" % number) for number in range(50)]
    assert [one.data for one in answers] == [f"{number}1".encode()[::-1] for number in range(50)]


async def test_we_answer_its_requests(link: Link, other: Client) -> None:
    link.subscribe_to("service", lambda message: link.post(pub(message.reply, message.data * 2)))
    await link.flush()
    answers = await asyncio.gather(
        *(other.request("service", b"%d" % number, timeout=DEADLINE) for number in range(50))
    )
    assert [one.data for one in answers] == [b"%d" % number * 2 for number in range(50)]


async def test_nobody_answers(link: Link, other: Client) -> None:
    """Both say so at once."""
    answer = await link.request("nobody.there")
    assert answer.header.startswith(b"NATS/1.0 503")
    with pytest.raises(nats.errors.NoRespondersError):
        await other.request("nobody.there")


async def test_its_publications_are_our_events(nats_server: NatsServer, other: Client) -> None:
    event: walnats.Event[dict[str, int]] = walnats.Event("numbers", dict)
    got: list[Any] = []

    async def handle(message: dict[str, int]) -> None:
        got.append(message)

    async with (
        walnats.Events(event).connect(nats_server.url) as conn,
        walnats.Actors(walnats.Actor("a", event, handle)).connect(nats_server.url) as actors,
    ):
        await conn.register()
        await actors.register()
        js = other.jetstream()
        for number in range(20):
            ack = await js.publish("numbers", b'{"a": %d}' % number, headers={"Any": "thing"})
            assert ack.stream == event.stream_name
        await actors.listen(burst=True)
    assert sorted(one["a"] for one in got) == list(range(20))


async def test_our_events_reach_its_consumers(nats_server: NatsServer, other: Client) -> None:
    event: walnats.Event[bytes] = walnats.Event("data", bytes)
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        js = other.jetstream()
        pull = await js.pull_subscribe("data", durable="theirs")
        for number, payload in enumerate(PAYLOADS.values()):
            await conn.emit(event, payload, uid=str(number), trace_id="Ä-1")
        await conn.flush()
        messages = await pull.fetch(len(PAYLOADS), timeout=DEADLINE)
        assert [one.data for one in messages] == list(PAYLOADS.values())
        assert [(one.headers or {})["Nats-Msg-Id"] for one in messages] == ["0", "1", "2", "3"]
        for one in messages:
            await one.ack()


async def test_its_deduplication_is_ours(nats_server: NatsServer, other: Client) -> None:
    event: walnats.Event[bytes] = walnats.Event("data", bytes)
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, event)
        await conn.emit(event, b"ours", uid="1", sync=True)
        ack = await other.jetstream().publish("data", b"theirs", headers={"Nats-Msg-Id": "1"})
        assert ack.duplicate
    assert [one.payload for one in await stored(nats_server, event)] == [b"ours"]
