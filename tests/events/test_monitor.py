"""The live feed: what it shows, what it drops, and how it ends."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.link._probe import stream_info
from tests.support.sweep import sweep
from tests.support.waiting import DEADLINE, until
from walnats_anyio import CloudEvent, ConnectionLostError, ServerError
from walnats_anyio._events import _monitor
from walnats_anyio._link import HeaderError, api, pub
from walnats_anyio.serializers import DecodeError
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedEvents, Feed, FeedMessage

pytestmark = pytest.mark.anyio

NUMBERS: walnats.Event[int] = walnats.Event("numbers", int)
WORDS: walnats.Event[str] = walnats.Event("words.said", str)
EVENTS = walnats.Events(NUMBERS, WORDS)

STORED = [pytest.param(False, id="sent"), pytest.param(True, id="stored")]


async def take(feed: Feed, count: int) -> list[FeedMessage[Any]]:
    """The next messages of a feed."""
    taken: list[FeedMessage[Any]] = []
    with anyio.fail_after(DEADLINE):
        while len(taken) < count:
            taken.append(await anext(feed))
    return taken


def messages(taken: list[FeedMessage[Any]]) -> list[Any]:
    return [each.message for each in taken]


def post(conn: ConnectedEvents, payload: bytes, header: bytes = b"") -> None:
    """Publish to `numbers` what no emit would send."""
    conn._link.post(pub("numbers", payload, b"", header))


@pytest.mark.parametrize("stored", STORED)
async def test_messages_of_all_events(nats_server: NatsServer, stored: bool) -> None:
    sent = CloudEvent("1", "/shop", "t", mode="structured")
    async with EVENTS.connect(nats_server.url) as conn, EVENTS.connect(nats_server.url) as other:
        await conn.register()
        await conn.emit(NUMBERS, 0, sync=True)
        async with conn.monitor(stored=stored) as feed:
            await other.emit(NUMBERS, 1, uid="u", trace_id="t", meta={"Key": "value"}, sync=True)
            await other.emit(WORDS, "hello", meta=sent, sync=True)
            first, second = await take(feed, 2)
    assert (first.event, first.message, first.error) == (NUMBERS, 1, None)
    assert (first.uid, first.trace_id, first.meta) == ("u", "t", {"Key": "value"})
    assert (first.subject, first.payload, first.cloud_event) == ("numbers", b"1", None)
    assert (second.event, second.message, second.subject) == (WORDS, "hello", "words.said")
    assert second.cloud_event == sent
    assert (second.dropped, second.reconnected, second.lost, second.actor) == (0, False, 0, None)
    assert first.received_at.tzinfo is not None
    assert first.received_at <= second.received_at


@pytest.mark.parametrize("stored", STORED)
async def test_some_events_in_a_namespace(nats_server: NatsServer, stored: bool) -> None:
    async with (
        EVENTS.connect(nats_server.url, namespace="green") as green,
        EVENTS.connect(nats_server.url) as bare,
    ):
        await green.register()
        await bare.register()
        async with green.monitor(events=[WORDS], stored=stored) as feed:
            await green.emit(NUMBERS, 1, sync=True)
            await bare.emit(WORDS, "no", sync=True)
            await green.emit(WORDS, "yes", sync=True)
            [only] = await take(feed, 1)
            assert feed.statistics().received == 1
    assert (only.event, only.message, only.subject) == (WORDS, "yes", "green.words.said")


@pytest.mark.parametrize("stored", STORED)
async def test_what_cannot_be_decoded_is_shown_and_ends_nothing(
    nats_server: NatsServer, stored: bool
) -> None:
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        async with conn.monitor(stored=stored) as feed:
            structured = b"NATS/1.0\r\nContent-Type: application/cloudevents+json\r\n\r\n"
            post(conn, b"one")
            post(conn, b"2", b"NATS/1.0\r\nno header\r\n\r\n")
            post(conn, b"3", structured)
            await conn.emit(NUMBERS, 4)
            taken = await take(feed, 4)
    assert messages(taken) == [None, None, None, 4]
    assert [type(each.error) for each in taken] == [
        DecodeError, HeaderError, DecodeError, type(None),
    ]  # fmt: skip
    assert [each.payload for each in taken] == [b"one", b"2", b"3", b"4"]
    assert "takes int, and what arrived (3 bytes) does not fit" in str(taken[0].error)
    assert taken[1].headers == {}
    assert "no well-formed CloudEvent" in str(taken[2].error)
    with pytest.raises(ValueError, match="Expected `object`"):
        _ = taken[2].cloud_event


@pytest.mark.parametrize("stored", STORED)
async def test_a_slow_reader_misses_the_oldest_and_is_told(
    nats_server: NatsServer, stored: bool
) -> None:
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        async with conn.monitor(max_buffer_size=3, stored=stored) as feed:
            await conn.emit_many(NUMBERS, range(10), sync=True)
            await until(lambda: feed.statistics().received == 10)
            assert feed.statistics() == _monitor.FeedStatistics(10, 3, 7, 0, 0)
            taken = await take(feed, 3)
            await conn.emit(NUMBERS, 10)
            taken += await take(feed, 1)
    assert messages(taken) == [7, 8, 9, 10]
    assert [each.dropped for each in taken] == [7, 0, 0, 0]
    assert "10 received, 7 dropped" in repr(feed) or "11 received, 7 dropped" in repr(feed)


async def test_large_messages_do_not_fill_the_memory(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_monitor, "MAX_BUFFER_BYTES", 1000)
    async with EVENTS.connect(nats_server.url) as conn, conn.monitor() as feed:
        for size in (400, 400, 400, 2000, 500):
            conn._link.post(pub("words.said", b'"%b"' % (b"a" * size)))
        await until(lambda: feed.statistics().received == 5)
        taken = await take(feed, 1)
        conn._link.post(pub("words.said", b'"%b"' % (b"a" * 2000)))
        taken += await take(feed, 1)
    # The latest is there, however large it is.
    assert [len(each.message or "") for each in taken] == [500, 2000]
    assert [each.dropped for each in taken] == [4, 0]


async def test_requests_are_shown_when_asked_for(nats_server: NatsServer) -> None:
    async with (
        EVENTS.connect(nats_server.url) as conn,
        conn.monitor() as without,
        conn.monitor(requests=True) as feed,
    ):
        post(conn, b"1", b"NATS/1.0\r\nWalnats-Reply: _INBOX.1\r\n\r\n")
        post(conn, b"2", b"NATS/1.0\r\nOf: Walnats-Reply\r\n\r\n")
        assert messages(await take(feed, 2)) == [1, 2]
        assert messages(await take(without, 1)) == [2]
        assert without.statistics().received == 1


async def test_what_was_put_back_for_one_actor(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as conn, conn.monitor() as feed:
        post(conn, b"1", b"NATS/1.0\r\nWalnats-Actor: pack\r\n\r\n")
        [message] = await take(feed, 1)
    assert (message.message, message.actor, message.meta) == (1, "pack", {})


async def test_events_need_no_stream(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as conn, conn.monitor() as feed:
        post(conn, b"1")
        assert messages(await take(feed, 1)) == [1]


# Its end


@pytest.mark.parametrize("stored", STORED)
async def test_leaving_ends_it_and_leaves_nothing(nats_server: NatsServer, stored: bool) -> None:
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        async with conn.monitor(stored=stored) as feed:
            assert len(conn._link._watchers) == 1
            post(conn, b"1")
            await until(lambda: feed.statistics().received == 1)
        assert [message async for message in feed] == []
        assert conn._link._watchers == {}
        await conn.emit(NUMBERS, 1, sync=True)
        assert [message async for message in feed] == []
        assert len(conn._link._subscriptions) == 1

        async def no_consumers() -> bool:
            state = (await stream_info(nats_server, NUMBERS))["state"]
            return bool(state["consumer_count"] == 0)

        await until(no_consumers)


@pytest.mark.parametrize("stored", STORED)
async def test_what_the_body_raises_comes_out_as_itself(
    nats_server: NatsServer, stored: bool
) -> None:
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        with pytest.raises(KeyError, match="mine"):
            async with conn.monitor(stored=stored):
                raise KeyError("mine")


@pytest.mark.parametrize("stored", STORED)
async def test_a_connection_that_is_closed_for_good(nats_server: NatsServer, stored: bool) -> None:
    async with EVENTS.connect(nats_server.url, allow_reconnect=False) as conn:
        await conn.register()
        async with conn.monitor(stored=stored) as feed:
            await conn.emit(NUMBERS, 1, sync=True)
            await until(lambda: feed.statistics().received == 1)
            nats_server.kill()
            await until(lambda: conn._link.closed is not None)
            assert messages(await take(feed, 1)) == [1]
            for _ in range(2):
                with pytest.raises(ConnectionLostError):
                    await anext(feed)


async def test_two_tasks_cannot_read_one_feed(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as conn, conn.monitor() as feed:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take, feed, 1)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(RuntimeError, match="open one for each task"):
                await anext(feed)
            post(conn, b"1")
        # A wait that was cut short takes nothing with it.
        with anyio.move_on_after(0.01):
            await anext(feed)
        post(conn, b"2")
        assert messages(await take(feed, 1)) == [2]


# Lost connections


async def test_it_goes_on_after_a_restart_and_says_so(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as conn, conn.monitor() as feed:
        post(conn, b"1")
        assert messages(await take(feed, 1)) == [1]
        await nats_server.restart()
        await until(lambda: feed.statistics().reconnects == 1)
        post(conn, b"2")
        post(conn, b"3")
        taken = await take(feed, 2)
    assert messages(taken) == [2, 3]
    assert [each.reconnected for each in taken] == [True, False]


# Wrong arguments, and rights


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"max_buffer_size": 0}, ValueError, "max_buffer_size must be at least 1"),
        ({"max_buffer_size": "1"}, TypeError, "max_buffer_size must be an int"),
        ({"events": NUMBERS}, TypeError, "events must be events in a list"),
        ({"events": "numbers"}, TypeError, "events must be events in a list"),
        ({"events": ["numbers"]}, TypeError, "events must hold events, not 'numbers'"),
        ({"events": []}, ValueError, "events is empty"),
        ({"events": [walnats.Event("other", int)]}, ValueError, "'other' is not in the registry"),
        ({"events": [walnats.Event("numbers", str)]}, ValueError, "is not in the registry"),
    ],
)
async def test_wrong_arguments(
    nats_server: NatsServer, arguments: dict[str, Any], error: type[Exception], told: str
) -> None:
    async with EVENTS.connect(nats_server.url) as conn:
        with pytest.raises(error, match=told):
            conn.monitor(**arguments)


def rights(publish: list[str], subscribe: list[str]) -> dict[str, Any]:
    permissions = {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}}
    kim = {"user": "kim", "password": "p", "permissions": permissions}
    return {"authorization": {"users": [{"user": "boss", "password": "p"}, kim]}}


async def test_who_may_not_subscribe_is_told() -> None:
    config = rights(["_INBOX.>"], ["_INBOX.>", "numbers"])
    async with (
        NatsServer(config=config) as server,
        EVENTS.connect(server.url, user="kim", password="p") as conn,
        EVENTS.connect(server.url, user="boss", password="p") as boss,
    ):
        with pytest.raises(ServerError, match=r"'words.said' cannot be monitored: .*allow"):
            async with conn.monitor():
                pass
        assert conn._link._watchers == {}
        async with conn.monitor(events=[NUMBERS]) as feed:
            post(boss, b"1")
            assert messages(await take(feed, 1)) == [1]


# Cancellation


@pytest.mark.parametrize("stored", STORED)
async def test_cancelled_at_any_moment_it_leaves_nothing(
    nats_server: NatsServer, stored: bool
) -> None:
    async with walnats.Events(NUMBERS).connect(nats_server.url) as conn:
        await conn.register()
        subscriptions = len(conn._link._subscriptions)

        async def scenario() -> None:
            async with conn.monitor(stored=stored) as feed:
                post(conn, b"1")
                await anext(feed)

        async def check() -> None:
            assert conn._link._watchers == {}
            assert len(conn._link._subscriptions) == subscriptions
            assert len(conn._link._delivers) == subscriptions

        assert await sweep(scenario, check, bounded_by=5.0) >= 3

        async def no_consumers() -> bool:
            info = await api(conn._link, "STREAM.INFO.numbers")
            return bool(info["state"]["consumer_count"] == 0)

        await until(no_consumers)
