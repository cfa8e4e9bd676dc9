"""The live feed of what the streams store: its consumers, and what it counts as lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.events.test_monitor import EVENTS, NUMBERS, WORDS, messages, rights, take
from tests.link._probe import js, keep, stream_info
from tests.support.waiting import until
from walnats_anyio import Events, ServerError, StreamConfigError
from walnats_anyio._events import _monitor_taps as taps
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import Feed, FeedMessage

pytestmark = pytest.mark.anyio


def sources_of(feed: Feed) -> list[taps._Source]:
    assert isinstance(feed, taps.StoredTap)
    return feed._sources


async def test_what_was_stored_meanwhile_is_shown_or_counted(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, WORDS)
        async with conn.monitor(stored=True) as feed:
            await conn.emit(NUMBERS, 1, sync=True)
            await conn.emit(WORDS, "a", sync=True)
            await take(feed, 2)
            before = {source.consumer for source in feed._sources}  # type: ignore[attr-defined]
            await nats_server.restart()
            async with EVENTS.connect(nats_server.url) as other:
                await other.emit_many(NUMBERS, [2, 3, 4], sync=True)
                await other.emit_many(WORDS, ["b", "c"], sync=True)

                def replaced() -> bool:
                    return not any(
                        source.stale or source.consumer in before for source in sources_of(feed)
                    )

                await until(replaced)
                await other.emit(NUMBERS, 5, sync=True)
                await other.emit(WORDS, "d", sync=True)
            taken: list[FeedMessage[Any]] = []
            while not {5, "d"} <= {each.message for each in taken}:
                taken += await take(feed, 1)
            counts = feed.statistics()
    numbers = [each for each in taken if each.event is NUMBERS]
    # `words` has another consumer, so its stream has kept them.
    assert [each.message for each in taken if each.event is WORDS] == ["b", "c", "d"]
    assert sum(each.lost for each in taken if each.event is WORDS) == 0
    assert numbers[-1].message == 5
    assert len(numbers) + sum(each.lost for each in numbers) == 4
    assert counts.lost == sum(each.lost for each in numbers)
    assert taken[0].reconnected


async def test_a_consumer_that_is_deleted_is_made_again(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taps, "HEARTBEAT", 0.1)
    async with Events(NUMBERS).connect(nats_server.url) as conn:
        await conn.register()
        async with conn.monitor(stored=True) as feed:
            [source] = sources_of(feed)
            first, began = source.consumer, source.heard_at
            # While it says that it is there it stays.
            await until(lambda: source.heard_at > began + 0.25)
            assert source.consumer == first
            monkeypatch.setattr(taps, "SILENCE", 0.3)
            await js(nats_server, f"CONSUMER.DELETE.numbers.{first}")
            await conn.emit_many(NUMBERS, [1, 2], sync=True)
            await until(lambda: source.consumer != first and not source.stale)
            await conn.emit(NUMBERS, 3)
            taken = await take(feed, 1)
            assert (taken[0].message, taken[0].lost) == (3, 2)
            await js(nats_server, "STREAM.DELETE.numbers")
            with pytest.raises(StreamConfigError, match="'numbers' has no stream any more"):
                await take(feed, 1)


async def test_a_stream_that_is_made_anew(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taps, "HEARTBEAT", 0.1)
    monkeypatch.setattr(taps, "SILENCE", 0.3)
    async with Events(NUMBERS).connect(nats_server.url) as conn:
        await conn.register()
        async with conn.monitor(stored=True) as feed:
            [source] = sources_of(feed)
            await conn.emit_many(NUMBERS, range(5), sync=True)
            await take(feed, 5)
            first = source.consumer
            await js(nats_server, "STREAM.DELETE.numbers")
            await conn.register()
            await until(lambda: source.consumer != first and not source.stale)
            await conn.emit(NUMBERS, 7)
            taken = await take(feed, 1)
    assert (taken[0].message, taken[0].lost) == (7, 0)


async def test_the_stream_keeps_nothing_for_it(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        async with conn.monitor(stored=True, max_buffer_size=1):
            await conn.emit_many(NUMBERS, range(500), sync=True)

            async def empty() -> bool:
                state = (await stream_info(nats_server, NUMBERS))["state"]
                return bool(state["messages"] == 0 and state["last_seq"] == 500)

            await until(empty)


async def test_an_event_that_is_not_registered_has_no_stream(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as conn:
        with pytest.raises(StreamConfigError, match=r"'numbers' has no stream: call register\(\)"):
            async with conn.monitor(stored=True):
                pass
        assert conn._link._watchers == {}


async def test_who_may_not_make_consumers_is_told() -> None:
    config = rights(["_INBOX.>", "$JS.API.CONSUMER.CREATE.numbers.*"], ["_INBOX.>"])
    async with (
        NatsServer(config=config) as server,
        EVENTS.connect(server.url, user="kim", password="p") as conn,
        EVENTS.connect(server.url, user="boss", password="p") as boss,
    ):
        await boss.register()
        with pytest.raises(ServerError, match=r"CONSUMER.CREATE.words-said"):
            async with conn.monitor(stored=True):
                pass
        # That is enough; the server deletes the consumer by itself.
        async with conn.monitor(events=[NUMBERS], stored=True) as feed:
            await boss.emit(NUMBERS, 1, sync=True)
            assert messages(await take(feed, 1)) == [1]
