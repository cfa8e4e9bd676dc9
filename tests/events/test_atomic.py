"""`emit_many(atomic=True)`: the stream has all of the messages, or none.

`WALNATS_ATOMIC_KILLS=500 pytest tests/events/test_atomic.py -k kill` kills the server that often,
rather than ten times, and takes some minutes.
"""

from __future__ import annotations

import itertools
import os
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.abc
import pytest
from anyio.lowlevel import checkpoint

import walnats_anyio as walnats
from tests.link._probe import change_stream, count, keep, stored, stream_info
from tests.support.servers import DEBIAN, NEWEST_WITHOUT_SCHEDULES, server_binary
from tests.support.sweep import sweep
from tests.support.waiting import DEADLINE, until
from walnats_anyio._events import _connection
from walnats_anyio._events._atomic import AtomicBatch
from walnats_anyio._link import Link, Message
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedEvents

pytestmark = pytest.mark.anyio

KILLS = int(os.environ.get("WALNATS_ATOMIC_KILLS", "10"))

EVENT = walnats.Event("orders.made", int)
EVENTS = walnats.Events(EVENT)


@pytest.fixture
def event() -> walnats.Event[int]:
    return walnats.Event(f"orders.{secrets.token_hex(6)}", int, storage="memory")


@pytest.fixture
async def conn(
    nats_server: NatsServer, event: walnats.Event[int]
) -> AsyncIterator[ConnectedEvents]:
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, event)
        yield conn


async def numbers_in(server: NatsServer, event: walnats.Event[int]) -> list[int]:
    return [int(one.payload) for one in await stored(server, event)]


async def test_all_are_stored_in_order(
    nats_server: NatsServer, conn: ConnectedEvents, event: walnats.Event[int]
) -> None:
    await conn.emit_many(event, range(100), atomic=True)
    assert await numbers_in(nats_server, event) == list(range(100))
    await conn.emit_many(event, range(1000), atomic=True)
    assert await count(nats_server, event) == 1100
    assert (conn.statistics().acknowledged, conn.statistics().outstanding) == (1100, 0)


async def test_an_actor_gets_each_with_its_headers(
    nats_server: NatsServer, event: walnats.Event[int]
) -> None:
    seen: list[tuple[int, str | None, str]] = []

    def note(number: int) -> None:
        context = walnats.current_context()
        seen.append((number, context.trace_id, context.headers["Colour"]))

    actors = walnats.Actors(walnats.Actor("note", event, note))
    async with (
        walnats.Events(event).connect(nats_server.url) as events,
        actors.connect(nats_server.url) as connected,
    ):
        await events.register()
        await connected.register()
        colour = {"Colour": "red"}
        await events.emit_many(event, [1, 2], atomic=True, trace_id="t", meta=colour)
        assert (await connected.listen(burst=True)).handled == 2
    assert sorted(seen) == [(1, "t", "red"), (2, "t", "red")]


async def test_an_async_iterable_and_none_at_all(
    nats_server: NatsServer, conn: ConnectedEvents, event: walnats.Event[int]
) -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            await checkpoint()
            yield number

    await conn.emit_many(event, numbers(), atomic=True)
    await conn.emit_many(event, [], atomic=True)
    assert await numbers_in(nats_server, event) == [0, 1, 2]


async def test_too_many_are_refused_before_anything_is_sent(
    nats_server: NatsServer, conn: ConnectedEvents, event: walnats.Event[int]
) -> None:
    taken: list[int] = []

    async def endless() -> AsyncIterator[int]:
        try:
            for number in itertools.count():
                taken.append(number)
                yield number
        finally:
            taken.append(-1)

    with pytest.raises(ValueError, match="at most 1000 messages"):
        await conn.emit_many(event, endless(), atomic=True)
    assert taken[-2:] == [1000, -1], "it is left open"
    with pytest.raises(ValueError, match="at most 1000 messages"):
        await conn.emit_many(event, itertools.count(), atomic=True)
    assert await count(nats_server, event) == 0


async def test_one_that_cannot_be_encoded_spoils_all(
    nats_server: NatsServer, conn: ConnectedEvents, event: walnats.Event[int]
) -> None:
    wrong: list[Any] = [1, 2, "three"]
    with pytest.raises(TypeError, match="takes int"):
        await conn.emit_many(event, wrong, atomic=True)
    too_large = [1, 10**400]
    limited = walnats.Event(
        f"{event.name}.limited", int, limits=walnats.Limits(message_size=500), storage="memory"
    )
    async with walnats.Events(limited).connect(nats_server.url) as other:
        await other.register()
        await keep(nats_server, limited)
        await other.emit_many(limited, [1], atomic=True)
        with pytest.raises(walnats.MessageTooLargeError, match="at most 500"):
            await other.emit_many(limited, too_large, atomic=True)
    assert (await count(nats_server, event), await count(nats_server, limited)) == (0, 1)


@pytest.mark.parametrize(
    "meta", [{"Nats-Batch-Commit": "1"}, {"nats-batch-id": "x"}, {"Nats-Expected-Last-Msg-Id": "x"}]
)
async def test_headers_of_a_batch_cannot_be_given(
    conn: ConnectedEvents, event: walnats.Event[int], meta: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=next(iter(meta))):
        await conn.emit_many(event, [1], atomic=True, meta=meta)


async def test_no_delay_and_no_end(conn: ConnectedEvents, event: walnats.Event[int]) -> None:
    with pytest.raises(ValueError, match="an atomic batch has no delay, at or ttl"):
        await conn.emit_many(event, [1], atomic=True, delay=1)


async def test_uids(
    nats_server: NatsServer, conn: ConnectedEvents, event: walnats.Event[int]
) -> None:
    await conn.emit_many(event, range(5), uid=str, atomic=True)
    await conn.emit_many(event, range(5), uid=str, atomic=True)  # as another process would
    with pytest.raises(walnats.EmitError, match="has the uid '3' already"):
        await conn.emit_many(event, range(3, 8), uid=str, atomic=True)
    with pytest.raises(ValueError, match="uid '7' is that of the messages 0 and 2"):
        await conn.emit_many(event, [7, 8, 7], uid=str, atomic=True)
    with pytest.raises(ValueError, match="uid 'x' is that"):
        await conn.emit_many(event, [7, 8], meta={"Nats-Msg-Id": "x"}, atomic=True)
    assert await numbers_in(nats_server, event) == list(range(5))


async def test_a_refusal_in_the_middle_says_why(
    nats_server: NatsServer, conn: ConnectedEvents, event: walnats.Event[int]
) -> None:
    # Not known to the library: somebody has changed the stream.
    await change_stream(nats_server, event, max_msg_size=250, allow_atomic=True)
    with pytest.raises(walnats.EmitError, match="message size exceeds maximum"):
        await conn.emit_many(event, [1, 2, 10**200, 4], atomic=True)
    await conn.emit_many(event, [5, 6], atomic=True)
    assert await numbers_in(nats_server, event) == [5, 6]
    assert conn.statistics().failed == 4


async def test_a_stream_that_takes_no_batches(
    nats_server: NatsServer, conn: ConnectedEvents, event: walnats.Event[int]
) -> None:
    await conn.emit_many(event, [1], atomic=True)
    for _ in range(2):  # found out by the refusal, and then by the look at the stream
        await change_stream(nats_server, event, allow_atomic=False)
        with pytest.raises(walnats.EmitError, match="takes no atomic batches"):
            await conn.emit_many(event, [2, 3], atomic=True)
    await conn.register()
    await conn.emit_many(event, [4], atomic=True)
    assert await numbers_in(nats_server, event) == [1, 4]


async def test_a_stream_without_it_is_taken_as_it_is(
    nats_server: NatsServer, conn: ConnectedEvents, event: walnats.Event[int]
) -> None:
    await change_stream(nats_server, event, allow_atomic=False)
    await conn.register(update=False)
    assert not (await stream_info(nats_server, event))["config"].get("allow_atomic")
    await conn.register()
    assert (await stream_info(nats_server, event))["config"]["allow_atomic"]


async def test_an_event_without_a_stream(nats_server: NatsServer) -> None:
    async with walnats.Events(walnats.Event("nobody", int)).connect(nats_server.url) as conn:
        with pytest.raises(walnats.EmitError, match="no stream takes it"):
            await conn.emit_many(walnats.Event("nobody", int), [1], atomic=True)
        with pytest.raises(ValueError, match="not in the registry"):
            await conn.emit_many(EVENT, [1], atomic=True)


async def test_what_a_user_must_be_allowed() -> None:
    event = walnats.Event("numbers", int, storage="memory")
    look, inbox = "$JS.API.STREAM.INFO.numbers", {"allow": ["_INBOX.>"]}
    allowed = {"kim": ["numbers", look], "lee": ["numbers"], "max": [look]}
    users: list[dict[str, Any]] = [
        {"user": user, "password": "p", "permissions": {"publish": some, "subscribe": inbox}}
        for user, some in allowed.items()
    ]
    boss: dict[str, Any] = {"user": "boss", "password": "p"}
    async with NatsServer(config={"authorization": {"users": [boss, *users]}}) as server:
        async with walnats.Events(event).connect(server.url, **boss) as conn:
            await conn.register()

        async def emit_as(user: str) -> None:
            options: dict[str, Any] = {"user": user, "password": "p"}
            async with walnats.Events(event).connect(server.url, **options) as conn:
                with anyio.fail_after(DEADLINE):
                    await conn.emit_many(event, range(3), atomic=True)

        await emit_as("kim")
        with pytest.raises(walnats.EmitError, match="has to look at the stream"):
            await emit_as("lee")
        with pytest.raises(walnats.EmitError, match="may not publish to 'numbers'"):
            await emit_as("max")


async def test_it_ends_with_its_connection(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception] = []

    async def emit(conn: ConnectedEvents) -> None:
        try:
            await conn.emit_many(EVENT, [1], atomic=True)
        except walnats.WalnatsError as error:
            errors.append(error)

    monkeypatch.setattr(_connection, "LEAVE_WITHIN", 0.1)

    async def leave(tasks: anyio.abc.TaskGroup) -> None:
        async with EVENTS.connect(nats_server.url) as conn:
            await conn.register()
            await conn.emit_many(EVENT, [1], atomic=True)
            nats_server.kill()
            tasks.start_soon(emit, conn)
            await until(lambda: conn.statistics().outstanding == 1)
            raise KeyError

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            try:
                await leave(tasks)
            except KeyError as error:
                errors.append(error)
    said, left = errors
    assert "the connection has been left" in str(said)
    assert "1 events were not acknowledged" in str(left.__notes__)


async def test_what_is_emitted_is_in_order(
    nats_server: NatsServer, conn: ConnectedEvents, event: walnats.Event[int]
) -> None:
    await conn.emit(event, 1)
    await conn.emit_many(event, [2, 3], atomic=True)
    await conn.emit(event, 4)
    await conn.flush()
    assert await numbers_in(nats_server, event) == [1, 2, 3, 4]


@pytest.mark.parametrize("version", [NEWEST_WITHOUT_SCHEDULES, "2.11.11", DEBIAN])
async def test_versions(version: str) -> None:
    event = walnats.Event("numbers", int, storage="memory")
    async with (
        NatsServer(binary=server_binary(version)) as server,
        walnats.Events(event).connect(server.url) as conn,
    ):
        await conn.register()
        await conn.register()
        await keep(server, event)
        if version.startswith("2.12"):
            await conn.emit_many(event, range(300), atomic=True)
            await conn.emit_many(event, range(3), uid=str, atomic=True)
            with pytest.raises(walnats.EmitError, match="has the uid '2'"):
                await conn.emit_many(event, range(2, 4), uid=str, atomic=True)
            assert await count(server, event) == 303
        else:
            with pytest.raises(
                walnats.EmitError, match=r"needs nats-server 2\.12\.1 or later, .* 2\."
            ):
                await conn.emit_many(event, [1], atomic=True)
            assert await count(server, event) == 0


async def test_a_connection_lost_in_the_middle(
    nats_server: NatsServer, conn: ConnectedEvents, event: walnats.Event[int]
) -> None:
    # The server has a part of the batch, and keeps it aside for ten seconds.
    sent: list[bytes] = []
    send = Link.send

    def send_half(link: Link, request: object) -> None:
        command: bytes = request.command  # type: ignore[attr-defined]  # of a pending request
        if b"Nats-Batch-Commit" in command and not sent:
            sent.append(command)
            link._outbox.post_now(command[: command.index(b"HPUB", len(command) // 2)])
        send(link, request)  # type: ignore[arg-type]  # see above

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Link, "send", send_half)
        await conn.emit_many(event, range(10), atomic=True)
    assert sent
    assert await numbers_in(nats_server, event) == list(range(10))


@pytest.mark.parametrize("with_uid", [False, True])
async def test_an_acknowledgement_that_is_lost(
    nats_server: NatsServer, conn: ConnectedEvents, event: walnats.Event[int], with_uid: bool
) -> None:
    lost: list[Message] = []
    answered = AtomicBatch.answered

    def lose(batch: AtomicBatch, message: Message) -> None:
        if b'"batch"' in message.data and not lost:
            lost.append(message)
            batch.link.keep_waiting(batch)
            batch.link._pending.send_all_again(2**20)  # as after a reconnect
        else:
            answered(batch, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AtomicBatch, "answered", lose)
        await conn.emit_many(event, range(10), uid=str if with_uid else None, atomic=True)
    assert lost
    assert await numbers_in(nats_server, event) == list(range(10))


async def test_cancelled_anywhere(
    nats_server: NatsServer, conn: ConnectedEvents, event: walnats.Event[int]
) -> None:
    async def emit() -> None:
        await conn.emit_many(event, range(20), atomic=True)

    async def check() -> None:
        await conn.emit(event, -1, sync=True)
        found = Counter(await numbers_in(nats_server, event))
        assert len({found[number] for number in range(20)}) == 1
        assert conn.statistics().outstanding == 0
        await conn.flush()

    await conn.emit(event, -1, sync=True)
    assert await sweep(emit, check, bounded_by=1.0) >= 3


TORN = "Restoring partial batch write"
"""What nats-server logs when it was killed while it committed a batch.

Of a stream with retention `interest` it then loses the rest of the batch (2.15.1, one replica): it
restores it before the consumers, and so for nobody.
"""


async def test_the_server_is_killed_at_any_moment(nats_server: NatsServer) -> None:
    chance = random.Random(7)
    sizes: dict[int, int] = {}

    async def emit(conn: ConnectedEvents, batches: range) -> None:
        for batch in batches:
            size = sizes[batch] = chance.randint(1, 40)
            await conn.emit_many(EVENT, (batch * 100 + each for each in range(size)), atomic=True)

    for kill in range(KILLS):
        # A new connection each time: one that is lost again and again waits longer and longer.
        with anyio.fail_after(DEADLINE):
            async with EVENTS.connect(nats_server.url) as conn:
                if not kill:
                    await conn.register()
                    await keep(nats_server, EVENT)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(emit, conn, range(kill * 4, kill * 4 + 4))
                    await anyio.sleep(chance.random() * 0.01)
                    nats_server.kill()
                    await nats_server.start()
    found = await numbers_in(nats_server, EVENT)
    assert len(found) == len(set(found)), "a batch is there twice"
    there = Counter(number // 100 for number in found)
    assert there.keys() == sizes.keys()
    torn = [batch for batch, size in sizes.items() if there[batch] != size]
    print(f"{len(sizes)} batches, {KILLS} kills, {len(torn)} torn by the server")
    said = getattr(nats_server, "logs", "")  # a MemoryServer has none
    assert len(torn) <= said.count(TORN)


def test_without_an_event_loop(nats_server: NatsServer, event: walnats.Event[int]) -> None:
    async def look() -> list[int]:
        return await numbers_in(nats_server, event)

    with walnats.Events(event).connect_sync(nats_server.url) as conn:
        conn.register()
        anyio.run(keep, nats_server, event)
        conn.emit(event, -1)
        conn.emit_many(event, range(30), atomic=True)
        conn.emit(event, -2)
        with pytest.raises(ValueError, match="at most 1000"):
            conn.emit_many(event, itertools.count(), atomic=True)
        conn.emit_many(event, [1000], uid=str, atomic=True)
        with pytest.raises(walnats.EmitError, match="'1000' already"):
            conn.emit_many(event, [999, 1000], uid=str, atomic=True)
    assert anyio.run(look) == [-1, *range(30), -2, 1000]
