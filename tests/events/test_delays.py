"""Delays and expiry from the side that emits: what waits in the server, and what it may not."""

from __future__ import annotations

import os
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.link._probe import count, js, keep, stored, stream_config
from tests.support.servers import server_binary
from tests.support.sweep import sweep
from tests.support.waiting import DEADLINE, until
from walnats_anyio._events import _schedules as schedules
from walnats_anyio._link import Link, api
from walnats_anyio.testing import NatsServer, record
from walnats_anyio.types import CancelResult, ConnectedEvents

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("order.placed", int)
OTHER = walnats.Event("order", int)
EVENTS = walnats.Events(EVENT, OTHER)

HOUR = 3600


@pytest.fixture
async def conn(nats_server: NatsServer) -> AsyncIterator[ConnectedEvents]:
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        for event in (EVENT, OTHER):
            await keep(nats_server, event)
        yield conn


async def scheduled(server: NatsServer) -> list[str]:
    """The subjects of what waits."""
    wanted = {"subjects_filter": "walnats.schedules.>"}
    answer = await js(server, "STREAM.INFO.walnats-schedules", wanted)
    return sorted(answer["state"].get("subjects") or ())


async def until_stored(conn: ConnectedEvents, event: walnats.Event[Any], messages: int) -> None:
    """Wait until the event's stream holds so many; over a connection that is there already."""

    async def there() -> bool:
        info = await api(conn._link, f"STREAM.INFO.{event.stream_name}")
        return bool(info["state"]["messages"] == messages)

    await until(there)


async def payloads(conn: ConnectedEvents, event: walnats.Event[Any]) -> set[bytes]:
    """What the event's stream holds."""
    found: set[bytes] = set()
    info = await api(conn._link, f"STREAM.INFO.{event.stream_name}")
    for seq in range(info["state"]["first_seq"], info["state"]["last_seq"] + 1):
        got = await api(conn._link, f"STREAM.MSG.GET.{event.stream_name}", {"seq": seq})
        found.add(b64decode(got["message"]["data"]))
    return found


# Waiting


async def test_it_waits_and_arrives_once(nats_server: NatsServer, conn: ConnectedEvents) -> None:
    begun = time.time()
    await conn.emit(EVENT, 1, delay=0.2, uid="u", trace_id="t", meta={"Key": "v"}, sync=True)
    assert conn.statistics().outstanding == 0
    assert await count(nats_server, EVENT) == 0
    await until_stored(conn, EVENT, 1)
    (one,) = await stored(nats_server, EVENT)
    assert (one.subject, one.payload) == ("order.placed", b"1")
    headers = one.headers.splitlines()
    (due,) = [float(line.split()[1]) for line in headers if line.startswith("Walnats-Due: ")]
    assert due >= begun + 0.2
    assert {"Walnats-Uid: u", "Walnats-Trace: t", "Key: v"} <= set(headers)
    assert not any(line.startswith("Nats-Msg-Id") for line in headers)
    assert await scheduled(nats_server) == []


async def test_at_a_moment(nats_server: NatsServer, conn: ConnectedEvents) -> None:
    due = datetime.now(UTC) + timedelta(seconds=0.6)
    await conn.emit(EVENT, 1, at=due)
    await conn.emit(EVENT, 2, at=datetime.now(UTC) - timedelta(days=1), sync=True)
    await conn.emit(EVENT, 3, delay=0, sync=True)
    assert [one.payload for one in await stored(nats_server, EVENT)] == [b"2", b"3"]
    await until_stored(conn, EVENT, 3)
    # The actor holds it for the rest.
    assert datetime.now(UTC) > due - timedelta(seconds=schedules.LEAD)


async def test_many_at_once(nats_server: NatsServer, conn: ConnectedEvents) -> None:
    for _ in range(2):
        await conn.emit_many(EVENT, range(100), uid=str, delay=0.3, sync=True)
    await until_stored(conn, EVENT, 100)
    assert await payloads(conn, EVENT) == {b"%d" % number for number in range(100)}
    assert await scheduled(nats_server) == []


async def test_a_uid_is_compared_within_its_event(
    nats_server: NatsServer, conn: ConnectedEvents
) -> None:
    for _ in range(2):
        await conn.emit(EVENT, 1, uid="a", delay=HOUR)
        await conn.emit(OTHER, 1, uid="a", delay=HOUR)
    # One whose event and uid together read like those of another one.
    await conn.emit(OTHER, 1, uid="-placed a", delay=HOUR)
    await conn.emit(EVENT, 1, delay=HOUR)
    await conn.emit(EVENT, 1, delay=HOUR)
    await conn.flush()
    found = sorted(subject.split(".")[3] for subject in await scheduled(nats_server))
    assert found == ["order"] * 2 + ["order-placed"] * 3


async def test_what_nobody_delays_has_no_source(
    nats_server: NatsServer, conn: ConnectedEvents
) -> None:
    await conn.emit(EVENT, 1, delay=HOUR)
    config = await stream_config(nats_server, EVENT)
    other = await stream_config(nats_server, OTHER)
    assert config is not None
    assert other is not None
    assert [one["name"] for one in config["sources"]] == ["walnats-schedules"]
    assert "sources" not in other
    assert not config.get("allow_msg_ttl")


async def test_its_first_delay_and_its_first_expiry_at_once(
    nats_server: NatsServer, conn: ConnectedEvents
) -> None:
    """Each changes the stream as it has read it, and neither undoes what the other does."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(conn.emit, EVENT, 1, delay=HOUR, sync=True))
        tasks.start_soon(partial(conn.emit, EVENT, 2, ttl=HOUR, sync=True))
    config = await stream_config(nats_server, EVENT)
    assert config is not None
    assert len(config["sources"]) == 1
    assert config["allow_msg_ttl"] is True
    assert len(await scheduled(nats_server)) == 1


async def test_cancelled_at_every_checkpoint(
    nats_server: NatsServer, conn: ConnectedEvents
) -> None:
    """Also while it changes the stream: the server carries that out later, beside the next one."""

    async def emit() -> None:
        await conn.emit(EVENT, 1, delay=HOUR, ttl=HOUR, sync=True)

    async def nothing_is_left_behind() -> None:
        await conn.emit(EVENT, 1, uid="u", delay=HOUR, sync=True)
        assert await conn.cancel("u") is CancelResult.DELAYED
        assert conn.statistics().outstanding == 0
        for name in ("walnats-schedules", "order-placed"):
            await js(nats_server, f"STREAM.DELETE.{name}")
        await conn.register()
        schedules.forget(conn._link)

    assert await sweep(emit, nothing_is_left_behind, bounded_by=DEADLINE) > 5


async def test_in_a_namespace(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url, namespace="south.eu") as conn:
        await conn.register()
        await conn.emit(EVENT, 1, uid="u", delay=HOUR, sync=True)
        answer = await js(nats_server, "STREAM.INFO.south-eu-walnats-schedules")
        assert answer["state"]["messages"] == 1
        assert await conn.cancel("u") is CancelResult.DELAYED


async def test_the_server_tells_the_time(nats_server: NatsServer, conn: ConnectedEvents) -> None:
    """A machine whose clock is an hour behind: the event would be due long ago."""
    link: Link = conn._link
    right = link.wall
    link.wall = lambda: right() - HOUR
    await conn.emit(EVENT, 1, delay=0.2, sync=True)
    assert await count(nats_server, EVENT) == 0
    await until_stored(conn, EVENT, 1)
    link.wall = lambda: right() + HOUR
    await conn.emit(OTHER, 1, delay=0.2, sync=True)
    await until_stored(conn, OTHER, 1)


async def test_a_recording_has_it_when_it_is_emitted(
    nats_server: NatsServer, conn: ConnectedEvents
) -> None:
    async with record(EVENTS, nats_server.url) as recording:
        for _ in range(2):
            await conn.emit(EVENT, 1, uid="u", delay=HOUR, sync=True)
        await conn.emit(EVENT, 2, delay=HOUR, sync=True)
        await recording.assert_emitted(EVENT, 1, uid="u", count=1)
        (other,) = await recording.assert_emitted(EVENT, 2, count=1)
        assert other.uid is None


# Cancelling


async def test_what_waits_is_cancelled(nats_server: NatsServer, conn: ConnectedEvents) -> None:
    await conn.emit(EVENT, 1, uid="a", delay=HOUR)
    await conn.emit(OTHER, 1, uid="a", delay=HOUR)
    await conn.emit(EVENT, 2, uid="b", delay=HOUR)
    assert await conn.cancel("a", event=EVENT) is CancelResult.DELAYED
    assert len(await scheduled(nats_server)) == 2
    assert await conn.cancel("a") is CancelResult.DELAYED
    assert await conn.cancel("a") is CancelResult.NOT_FOUND
    assert len(await scheduled(nats_server)) == 1


async def test_what_is_due_is_deleted_from_its_stream(
    nats_server: NatsServer, conn: ConnectedEvents
) -> None:
    await conn.emit(EVENT, 1, uid="now")
    await conn.emit(EVENT, 2, uid="soon", delay=0.01)
    await until_stored(conn, EVENT, 2)
    assert await conn.cancel("now") is CancelResult.WAITING
    assert await conn.cancel("soon") is CancelResult.WAITING
    assert await conn.cancel("soon") is CancelResult.NOT_FOUND
    assert await count(nats_server, EVENT) == 0


async def test_cancelling_what_makes_no_sense(conn: ConnectedEvents) -> None:
    with pytest.raises(ValueError, match="uid is empty"):
        await conn.cancel("")
    with pytest.raises(TypeError, match="uid must be a str, not int: 5"):
        await conn.cancel(5)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ValueError, match="not in the registry"):
        await conn.cancel("a", event=walnats.Event("stranger", int))
    # Nothing was ever delayed here.
    assert await conn.cancel("a") is CancelResult.NOT_FOUND


# What is refused


async def test_bad_times_are_refused_before_anything_is_sent(
    nats_server: NatsServer, conn: ConnectedEvents
) -> None:
    naive = datetime(2030, 1, 1)  # noqa: DTZ001 - that is the point
    with pytest.raises(ValueError, match="no time zone"):
        await conn.emit(EVENT, 1, at=naive)
    with pytest.raises(ValueError, match="no time zone"):
        await conn.emit_many(EVENT, [1, 2], at=naive)
    with pytest.raises(ValueError, match=r"Nats-TTL=.*pass ttl"):
        await conn.emit(EVENT, 1, delay=HOUR, meta={"Nats-TTL": "5s"})
    with pytest.raises(ValueError, match=r"Nats-Rollup=.*to the wait and not to the event"):
        await conn.emit(EVENT, 1, delay=HOUR, meta={"Nats-Rollup": "all"})
    with pytest.raises(ValueError, match="ttl sets it too"):
        await conn.emit(EVENT, 1, ttl=5, meta={"Nats-TTL": "5s"})
    with pytest.raises(ValueError, match="not in the registry"):
        await conn.emit(walnats.Event("stranger", int), 1, delay=5)
    assert await count(nats_server, EVENT) == 0


async def test_one_too_large_for_its_stream_would_hold_up_the_others(
    nats_server: NatsServer,
) -> None:
    """The server adds headers, so one that just fits when it is emitted may not when it is due."""
    event = walnats.Event("small", bytes, limits=walnats.Limits(message_size=1000))
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, event)
        with pytest.raises(walnats.MessageTooLargeError, match="at most 1000"):
            await conn.emit(event, bytes(900), delay=0.1)
        largest = 0
        for size in range(100, 900, 10):
            try:
                await conn.emit(event, bytes(size), delay=0.1)
            except walnats.MessageTooLargeError:
                break
            largest += 1
        assert largest > 10
        await until_stored(conn, event, largest)


async def test_a_stream_of_schedules_that_was_deleted(
    nats_server: NatsServer, conn: ConnectedEvents
) -> None:
    await conn.emit(EVENT, 1, delay=HOUR, sync=True)
    before = await js(nats_server, "STREAM.INFO.walnats-schedules")
    await js(nats_server, "STREAM.DELETE.walnats-schedules")
    with pytest.raises(walnats.EmitError, match="no stream takes it"):
        await conn.emit(EVENT, 2, delay=HOUR, sync=True)
    await conn.emit(EVENT, 3, delay=HOUR, sync=True)
    assert len(await scheduled(nats_server)) == 1
    # What has sourced from the one before ignores what it has seen by its number.
    after = await js(nats_server, "STREAM.INFO.walnats-schedules")
    assert after["state"]["first_seq"] > before["state"]["last_seq"]


# Registering


async def test_an_event_that_declares_it(nats_server: NatsServer) -> None:
    event = walnats.Event("declared", int, delays=True, ttl=True)
    async with walnats.Events(event).connect(nats_server.url) as conn:
        for _ in range(2):
            await conn.register()
            config = await stream_config(nats_server, event)
            assert config is not None
            assert [one["name"] for one in config["sources"]] == ["walnats-schedules"]
            assert config["allow_msg_ttl"] is True
        # Also one that exists already.
        plain = walnats.Event("plain", int)
        async with walnats.Events(plain).connect(nats_server.url) as other:
            await other.register()
        declared = walnats.Event("plain", int, delays=True, ttl=True)
        async with walnats.Events(declared).connect(nats_server.url) as other:
            await other.register()
        config = await stream_config(nats_server, plain)
        assert config is not None
        assert len(config["sources"]) == 1
        assert config["allow_msg_ttl"] is True


@pytest.mark.parametrize("lost", ["source", "stream"])
async def test_register_repairs_the_stream_of_what_waits(
    nats_server: NatsServer, conn: ConnectedEvents, lost: str
) -> None:
    await conn.emit(EVENT, 1, delay=0.5, sync=True)
    if lost == "source":  # as a register of walnats 1.2 does
        await js(nats_server, "STREAM.UPDATE.order-placed", EVENT.stream_config())
    else:
        await js(nats_server, "STREAM.DELETE.order-placed")
    async with EVENTS.connect(nats_server.url) as other:
        await other.register()
        if lost == "stream":
            await keep(nats_server, EVENT)
        await until_stored(conn, EVENT, 1)
    config = await stream_config(nats_server, OTHER)
    assert config is not None
    assert "sources" not in config


@pytest.mark.parametrize("wrong", [1, None, "yes"])
def test_a_declaration_says_yes_or_no(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"delays must be True or False, not {wrong!r}"):
        walnats.Event("x", int, delays=wrong)
    with pytest.raises(TypeError, match=f"ttl must be True or False, not {wrong!r}"):
        walnats.Event("x", int, ttl=wrong)


# Expiry


async def test_what_has_expired_is_gone(nats_server: NatsServer, conn: ConnectedEvents) -> None:
    await conn.emit(EVENT, 1, ttl=1)
    await conn.emit(EVENT, 2, ttl=0.5 + 0.6)  # two seconds
    await conn.emit(EVENT, 3, ttl=HOUR)
    await conn.emit(EVENT, 4, ttl=1, delay=1.2, sync=True)
    seen: set[int] = set()

    async def only_the_last() -> bool:
        info = await api(conn._link, "STREAM.INFO.order-placed")
        seen.add(info["state"]["last_seq"])
        return info["state"]["messages"] == 1 and 4 in seen

    await until(only_the_last)
    got = await api(conn._link, "STREAM.MSG.GET.order-placed", {"seq": 3})
    assert b64decode(got["message"]["data"]) == b"3"


# Permissions


def config(*denied: str) -> dict[str, object]:
    boss = {"user": "boss", "password": "p"}
    kim = {"user": "kim", "password": "p", "permissions": {"publish": {"deny": list(denied)}}}
    return {"authorization": {"users": [boss, kim]}}


API = "$JS.API.STREAM"

KEEPER = {
    "stream_name": "order-placed",
    "config": {"durable_name": "keeper", "ack_policy": "explicit"},
}


@pytest.mark.parametrize(
    "denied", ["UPDATE.order-placed", "CREATE.walnats-schedules", "INFO.>", ">"]
)
async def test_who_may_not_prepare_it_has_actors_hold_it(denied: str) -> None:
    who = {"user": "boss", "pass": "p"}
    async with NatsServer(config=config(f"{API}.{denied}")) as server:
        async with EVENTS.connect(server.url, user="boss", password="p") as conn:
            await conn.register()
            await js(server, "CONSUMER.CREATE.order-placed.keeper", KEEPER, **who)
        async with EVENTS.connect(server.url, user="kim", password="p") as conn:
            await conn.emit(EVENT, 1, delay=HOUR, sync=True)
            if not denied.startswith("CREATE"):
                with pytest.raises(walnats.EmitError, match="cannot be emitted with a ttl"):
                    await conn.emit(EVENT, 1, ttl=5)
            await conn.emit(EVENT, 1, sync=True)
        assert await count(server, EVENT, **who) == 2


async def test_who_may_only_publish_what_is_prepared() -> None:
    rights = ["walnats.schedules.delay.>", "order.placed", f"{API}.INFO.order-placed"]
    kim = {"user": "kim", "password": "p", "permissions": {"publish": {"allow": rights}}}
    event = walnats.Event("order.placed", int, delays=True, ttl=True)
    users = {"authorization": {"users": [{"user": "boss", "password": "p"}, kim]}}
    async with NatsServer(config=users) as server:
        async with walnats.Events(event).connect(server.url, user="boss", password="p") as conn:
            await conn.register()
        async with walnats.Events(event).connect(server.url, user="kim", password="p") as conn:
            await conn.emit(event, 1, uid="u", delay=HOUR, ttl=5, sync=True)
            with pytest.raises(walnats.ServerError, match="may not publish"):
                await conn.cancel("u")
        who = {"user": "boss", "pass": "p"}
        answer = await js(server, "STREAM.INFO.walnats-schedules", **who)
        assert answer["state"]["messages"] == 1


# Older servers


@pytest.mark.parametrize("version", ["2.12.8"])
async def test_an_older_server_has_it_held_by_actors(version: str) -> None:
    event = walnats.Event("order.placed", int, delays=True, ttl=True)
    async with (
        NatsServer(binary=server_binary(version)) as server,
        walnats.Events(event).connect(server.url) as conn,
    ):
        await conn.register()
        await keep(server, event)
        await conn.emit(event, 1, uid="u", delay=HOUR, ttl=5, sync=True)
        (one,) = await stored(server, event)
        assert "Walnats-Delay: 1" in one.headers
        assert "Nats-Msg-Id: u" in one.headers
        assert "Nats-TTL: 3605s" in one.headers
        assert await conn.cancel("u") is CancelResult.WAITING


# A server that stops

KILLS = int(os.environ.get("WALNATS_DELAYED_KILLS", "1"))
"""Kills of the server while events wait; each time 200 more are emitted, or 1,200 of them."""

EMITTED = 200 if KILLS == 1 else 1200


async def test_nothing_is_lost_or_doubled_while_it_waits(
    nats_server: NatsServer, conn: ConnectedEvents
) -> None:
    """`kill -9`, and a restart; `WALNATS_DELAYED_KILLS=5` has five kills and 6,000 events."""
    due = datetime.now(UTC) + timedelta(seconds=1.5 + 4 * (KILLS - 1))
    for number in range(KILLS):
        batch = range(number * EMITTED, (number + 1) * EMITTED)
        await conn.emit_many(EVENT, batch, uid=str, at=due, sync=True)
        if number % 2 == 0:
            nats_server.kill()
            await nats_server.start()
        else:
            await nats_server.restart()
    total = KILLS * EMITTED
    await until_stored(conn, EVENT, total)
    assert await payloads(conn, EVENT) == {b"%d" % number for number in range(total)}


# Threads


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_without_an_event_loop(nats_server: NatsServer, conn: ConnectedEvents) -> None:
    def emit() -> list[CancelResult]:
        with EVENTS.connect_sync(nats_server.url) as threads:
            with pytest.raises(ValueError, match="no time zone"):
                threads.emit_many(EVENT, [1], at=datetime(2030, 1, 1))  # noqa: DTZ001 - as above
            threads.emit(EVENT, 1, uid="a", delay=HOUR)
            threads.emit(EVENT, 2, delay=0.2, sync=True)
            threads.emit_many(EVENT, [3, 4], delay=0.2)
            threads.emit(EVENT, 5, ttl=HOUR, sync=True)
            return [threads.cancel("a"), threads.cancel("a", event=EVENT)]

    with anyio.fail_after(DEADLINE):
        cancelled = await anyio.to_thread.run_sync(emit)
    assert cancelled == [CancelResult.DELAYED, CancelResult.NOT_FOUND]
    await until_stored(conn, EVENT, 4)
    assert await scheduled(nats_server) == []
