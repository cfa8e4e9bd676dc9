"""What strangers send: malformed headers, forged answers, streams that overlap. It ends nothing."""

from __future__ import annotations

import os

import anyio
import pytest

import walnats_anyio as walnats
from tests.actors._stage import Stage, running, stage
from tests.link._bare import Bare
from tests.support.jetstream import create_stream
from tests.support.recorders import Handled
from tests.support.waiting import DEADLINE, until
from walnats_anyio.dead_letters import DeadLetters
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

EVENT: walnats.Event[int] = walnats.Event("numbers", int)


@pytest.fixture
def handled() -> Handled:
    return Handled()


# A header block that is malformed

BLOCKS = {
    "eight bytes": b"NATS/1.0",
    "a status that is no UTF-8": b"NATS/1.0 \xff\xfe\r\n\r\n",
    "a name that is no UTF-8": b"NATS/1.0\r\n\xff: x\r\n\r\n",
    "a value that is no UTF-8": b"NATS/1.0\r\nName: \xff\r\n\r\n",
    "no colon": b"NATS/1.0\r\nName\r\n\r\n",
    "no name": b"NATS/1.0\r\n: x\r\n\r\n",
    "no empty line": b"NATS/1.0\r\nName: x\r\n",
    "another version": b"HTTP/1.1 200 OK\r\n\r\n",
    "zeros": bytes(100),
}


@pytest.mark.parametrize("block", list(BLOCKS))
async def test_a_malformed_header_block_spoils_its_message_only(
    nats_server: NatsServer, handled: Handled, block: str
) -> None:
    """It becomes a dead letter; the actor stays connected and goes on at once."""
    actor = walnats.Actor("a", EVENT, handled)
    async with running(nats_server.url, actor) as on, DeadLetters.connect(nats_server.url) as dead:
        connection = on.link._connection
        with Bare(nats_server.port) as bare:
            bare.publish(EVENT.subject_name, b"1")
            bare.publish(EVENT.subject_name, b"2", BLOCKS[block])
            bare.publish(EVENT.subject_name, b"3")
            bare.round_trip()
        await until(lambda: 3 in handled.messages)
        await on.until_done(actor)
        letters = [letter.payload async for letter in dead]
        # The server itself takes a status off what it stores, so that message is a sound one.
        assert sorted([b"%d" % number for number in handled.messages] + letters) == [
            b"1", b"2", b"3"
        ]  # fmt: skip
        assert letters == ([] if "status" in block else [b"2"])
        assert on.link._connection is connection


# Messages to inboxes that somebody has overheard

DEEP = b"[" * 100_000
FORGED = [
    b"",
    b"+ACK",
    b"{}",
    b"[]",
    b"null",
    b"\xff\xfe\x00",
    b'{"stream": 5, "seq": "x"}',
    b'{"stream":"others","seq":1}',
    b'{"error":"a text"}',
    b'{"error":{"err_code":10059}',
    b'{"type":5}',
    DEEP,
    b'{"error":' + DEEP,
    b'{"type":"io.nats.jetstream.api.v1.stream_info_response","config":5}',
]
STATUSES = [
    b"NATS/1.0 409 Consumer Deleted\r\n\r\n",
    b"NATS/1.0 409 Exceeded MaxWaiting\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    b"NATS/1.0 404 No Messages\r\nNats-Pending-Messages: \xff\r\n\r\n",
    b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: -5\r\n\r\n",
    b"NATS/1.0 999 Nobody Knows\r\n\r\n",
    b"NATS/1.0 x\r\n\r\n",
    b"NATS/1.0",
    bytes(20),
]
REPLIES = ["", "somebody", "$JS.API.STREAM.DELETE.numbers"]
"""Reply subjects; the server itself lets nobody publish with one that begins with `$JS.ACK.`."""


@pytest.mark.parametrize("forged", ["payloads", "statuses"])
async def test_forged_messages_to_the_inbox_of_a_listener(
    nats_server: NatsServer, handled: Handled, forged: str
) -> None:
    """None of them ends it, is handled, or is answered where its reply subject says."""
    actor = walnats.Actor("a", EVENT, handled)
    async with running(nats_server.url, actor) as on:
        mailbox = _mailbox_of(on)
        deleted, answered = [await on.overhear(one) for one in (REPLIES[-1], REPLIES[1])]
        with Bare(nats_server.port) as bare:
            if forged == "statuses":
                for status in STATUSES:
                    bare.publish(mailbox, b"", status)
            else:
                for reply in REPLIES:
                    for payload in [*FORGED, b"7", os.urandom(1000)]:
                        bare.publish(mailbox, payload, reply=reply)
                        bare.publish(mailbox, payload, b"NATS/1.0\r\nKey: x\r\n\r\n", reply)
            bare.round_trip()
        await on.link.flush()
        await on.emit(1)
        await handled.come(1)
        await on.until_done(actor)
        assert handled.messages == [1]
        assert deleted == answered == []


def _mailbox_of(on: Stage) -> str:
    """Where the server delivers the events of the only actor."""
    subjects = [one.subject.decode() for one in on.link._subscriptions.values()]
    (mailbox,) = (one for one in subjects if not one.endswith((".*", ".>")))
    return mailbox


async def test_forged_answers_to_an_emitter(nats_server: NatsServer) -> None:
    """A subscriber of the subject sees the reply subject, and answers first, with anything."""
    async with (
        walnats.Events(EVENT).connect(nats_server.url) as conn,
        anyio.create_task_group() as tasks,
    ):
        await conn.register()
        forging = anyio.CancelScope()

        async def forge() -> None:
            with forging:
                async with await anyio.connect_tcp("127.0.0.1", nats_server.port) as stream:
                    await stream.send(
                        b'CONNECT {"verbose":false,"headers":true}\r\nSUB numbers 1\r\nPING\r\n'
                    )
                    while True:
                        data = await stream.receive()
                        for line in data.split(b"\r\n"):
                            if line.startswith((b"MSG numbers", b"HMSG numbers")):
                                inbox = line.split()[3]
                                for one in FORGED:
                                    await stream.send(
                                        b"PUB %b %d\r\n%b\r\n" % (inbox, len(one), one)
                                    )
                        if b"PONG" in data:
                            started.set()

        started = anyio.Event()
        tasks.start_soon(forge)
        await started.wait()
        with anyio.fail_after(DEADLINE):
            for number in range(20):
                await conn.emit(EVENT, number, sync=number % 2 == 0)
            await conn.flush()
            await conn.register()
        forging.cancel()


async def test_forged_answers_to_every_inbox_of_a_connection(nats_server: NatsServer) -> None:
    """Whoever may subscribe to `_INBOX.>` can send to all that he hears of."""
    async with stage(nats_server.url, walnats.Actor("a", EVENT, print)) as on:
        prefix = on.events._link._pending.prefix.decode()
        with Bare(nats_server.port) as bare:
            for number in range(200):
                for forged in (b"", b"{}", b"\xff", DEEP[:1000]):
                    bare.publish(f"{prefix}{number}", forged)
                bare.publish(f"{prefix}{number}", b"", STATUSES[0])
                bare.publish(f"{prefix}{number}", b"", STATUSES[7])
            bare.round_trip()
        await on.emit(*range(100))


def test_inboxes_cannot_be_guessed(nats_url: str) -> None:
    from walnats_anyio._link._link import Link
    from walnats_anyio._link._options import ConnectOptions
    from walnats_anyio._link._parking import current_backend

    async def main() -> None:
        link = Link(current_backend(), ConnectOptions())
        inboxes = {link.new_inbox() for _ in range(1000)}
        assert len(inboxes) == 1000
        assert all(len(bytes.fromhex(one.decode().rpartition(".")[2])) == 16 for one in inboxes)

    anyio.run(main)


# Another stream that takes the subject as well


@pytest.mark.parametrize("sync", [False, True], ids=["tracked", "sync"])
async def test_an_audit_stream_acknowledges_no_event_without_a_stream_of_its_own(
    nats_server: NatsServer, sync: bool
) -> None:
    """Else the event would count as stored, and no actor would ever see it."""
    event = walnats.Event("shop.placed", int)
    await create_stream(nats_server, {"name": "audit", "subjects": ["shop.>"]})
    async with walnats.Events(event).connect(nats_server.url) as conn:
        with anyio.fail_after(DEADLINE), pytest.raises(walnats.EmitError, match="register the ev"):
            await conn.emit(event, 1, sync=sync)
