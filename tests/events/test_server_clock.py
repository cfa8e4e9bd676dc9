"""Clocks that nats-server keeps."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import walnats_anyio as walnats
from tests.actors._stage import letters_of, running
from tests.support.servers import DEBIAN, NEWEST_WITHOUT_SCHEDULES, server_binary
from tests.support.waiting import DEADLINE, until
from walnats_anyio._events._server_ticks import clock_header, fill_in_tick, tick_text
from walnats_anyio._link import Link, Message, api
from walnats_anyio.dead_letters import DeadLetters
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def event() -> walnats.Event[str]:
    return walnats.Event(f"report.{secrets.token_hex(4)}", str)


@pytest.fixture
def times() -> walnats.Event[datetime]:
    return walnats.Event(f"ticks-{secrets.token_hex(4)}", datetime)


class Received:
    """An actor that notes what it gets."""

    def __init__(self, event: walnats.Event[Any]) -> None:
        self.messages: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.attempts: list[int] = []
        self.actor = walnats.Actor(f"{event.stream_name}-actor", event, self.handle)

    async def handle(self, message: Any) -> None:
        context = walnats.current_context()
        self.messages.append(message)
        self.attempts.append(context.attempts)

    async def until(self, count: int) -> None:
        await until(lambda: len(self.messages) >= count)


async def schedule_of(link: Link, event: walnats.Event[Any], name: str = "clock") -> dict[str, Any]:
    """What the server has of a clock: its number, and its headers."""
    subject = f"walnats.schedules.clock.{event.stream_name}.{name}"
    answer = await link.request(f"$JS.API.DIRECT.GET.walnats-schedules.{subject}")
    return {"payload": answer.data, **answer.headers}


@asynccontextmanager
async def played(url: str, *received: Received) -> AsyncIterator[Any]:
    async with running(url, *(each.actor for each in received)) as on:
        yield on


async def test_it_ticks_without_any_program(
    nats_server: NatsServer, event: walnats.Event[str]
) -> None:
    got = Received(event)
    clock = walnats.Clock(event, {"who": "us"}, message="daily", period=1)
    async with played(nats_server.url, got) as on:
        await clock.register(on.events)
        kept = await schedule_of(on.link, event)
        assert kept["Nats-Schedule"] == "* * * * * *"
        assert kept["Nats-Schedule-Time-Zone"] == "UTC"
        assert kept["who"] == "us"
        await got.until(2)
        assert got.messages[:2] == ["daily", "daily"]
        assert got.attempts[:2] == [1, 1]


async def test_registering_again_changes_nothing(
    nats_server: NatsServer, event: walnats.Event[str]
) -> None:
    clock = walnats.Clock(event, message="daily", cron="0 7 * * mon-fri", tz="Europe/Amsterdam")
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(clock.register, conn)
        kept = await schedule_of(conn._link, event)
        assert kept["Nats-Schedule"] == "0 0 7 * * 1,2,3,4,5"
        assert kept["Nats-Schedule-Time-Zone"] == "Europe/Amsterdam"
        await clock.register(conn)
        assert await schedule_of(conn._link, event) == kept
        # Another one takes its place; clocks of other names stay.
        await replace(clock, name="other").register(conn)
        for changed in (
            replace(clock, message="x"),
            replace(clock, tz="UTC"),
            replace(clock, meta={"a": "b"}),
        ):
            before = await schedule_of(conn._link, event)
            await changed.register(conn)
            after = await schedule_of(conn._link, event)
            assert int(after["Nats-Sequence"]) > int(before["Nats-Sequence"])
        assert await clock.unregister(conn)
        assert not await clock.unregister(conn)
        assert (await schedule_of(conn._link, event, "other"))["payload"] == b'"daily"'


async def test_replicas_stand_back_while_the_server_keeps_it(
    nats_server: NatsServer, event: walnats.Event[str], caplog: pytest.LogCaptureFixture
) -> None:
    got = Received(event)
    clock = walnats.Clock(event, message="tick", period=1)
    async with played(nats_server.url, got) as on, anyio.create_task_group() as tasks:
        await clock.register(on.events)
        await tasks.start(clock.run, on.events)
        await got.until(2)
        with anyio.fail_after(DEADLINE):
            await clock.run(on.events, burst=True)
        assert on.events.statistics().emitted == 0
        assert "nats-server keeps it" in caplog.text
        await clock.unregister(on.events)
        await until(lambda: on.events.statistics().emitted > 0)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_server_that_was_restarted_goes_on(
    nats_server: NatsServer, event: walnats.Event[str], how: str
) -> None:
    """The event's stream takes what is due from there, some seconds later."""
    clock = walnats.Clock(event, message="tick", period=1)
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        await clock.register(conn)
        kept = await schedule_of(conn._link, event)
        if how == "stop":
            await nats_server.stop()
        else:
            nats_server.kill()
        await nats_server.start()

        async def state() -> int:
            answer = await api(conn._link, "STREAM.INFO.walnats-schedules")
            return int(answer["state"]["last_seq"])

        after = await state()

        async def more() -> bool:
            return await state() >= after + 2

        await until(more)
        assert await schedule_of(conn._link, event) == kept


async def test_the_time_of_the_tick(
    nats_server: NatsServer, times: walnats.Event[datetime]
) -> None:
    """The server sends none: it is put in where the message is received."""
    got, batches = Received(times), list[list[datetime]]()
    batch = walnats.Batch(1, wait=0)
    together = walnats.Actor(f"{times.name}-batch", times, batches.append, batch=batch)
    clock = walnats.Clock(times, cron="* * * * * *", tz="Asia/Tokyo")
    async with running(nats_server.url, got.actor, together) as on:
        await clock.register(on.events)
        await got.until(2)
        await until(lambda: len(batches) >= 2)
    assert batches[:2] == [[tick] for tick in got.messages[:2]]
    for tick in got.messages:
        assert tick.microsecond == 0
        assert tick.utcoffset() == timedelta(hours=9)
        assert timedelta(0) <= datetime.now(UTC) - tick < timedelta(seconds=DEADLINE)
    assert len(set(got.messages)) == len(got.messages)


async def test_a_tick_that_is_a_dead_letter_has_its_time(
    nats_server: NatsServer, times: walnats.Event[datetime]
) -> None:
    ticks: list[datetime] = []

    async def handle(tick: datetime) -> None:
        ticks.append(tick)
        if len(ticks) == 1:
            raise walnats.Reject("not now")

    actor = walnats.Actor(f"{times.name}-actor", times, handle)
    clock = walnats.Clock(times, period=1)
    async with (
        running(nats_server.url, actor) as on,
        DeadLetters.connect(nats_server.url) as dead,
    ):
        await clock.register(on.events)
        await until(lambda: len(ticks) > 0)
        await clock.unregister(on.events)
        (letter,) = await letters_of(nats_server.url, times)
        assert datetime.fromisoformat(letter.payload.decode()) == ticks[0]
        assert "Walnats-Clock" not in letter.headers
        await dead.requeue(letter)
        await until(lambda: ticks.count(ticks[0]) == 2)


@pytest.mark.parametrize("version", [NEWEST_WITHOUT_SCHEDULES, DEBIAN])
async def test_an_older_server_keeps_no_clocks(event: walnats.Event[str], version: str) -> None:
    async with (
        NatsServer(binary=server_binary(version)) as server,
        walnats.Events(event).connect(server.url) as conn,
    ):
        await conn.register()
        clock = walnats.Clock(event, message="", period=1)
        with pytest.raises(
            walnats.ServerError, match=f"needs nats-server 2.14, and this is {version}"
        ):
            await clock.register(conn)
        assert not await clock.unregister(conn)
        with anyio.fail_after(DEADLINE):
            await clock.run(conn, burst=True)
        assert conn.statistics().acknowledged == 1


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"period": 7}, "cannot keep period=7"),
        ({"cron": "0 0 L * *"}, "the last day of a month"),
        ({"period": 60, "missed": "once"}, "does not do missed='once'"),
    ],
)
async def test_what_the_server_cannot_keep(
    nats_server: NatsServer, event: walnats.Event[str], fields: dict[str, Any], why: str
) -> None:
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        with pytest.raises(ValueError, match=why):
            await walnats.Clock(event, message="", **fields).register(conn)


async def test_what_the_server_refuses(nats_server: NatsServer, event: walnats.Event[str]) -> None:
    async with walnats.Events(event).connect(nats_server.url) as conn:
        with pytest.raises(walnats.ServerError, match="there is no stream"):
            await walnats.Clock(event, message="").register(conn)
        await conn.register()
        # A leap day that is a Monday comes in 2044; the server looks five years ahead.
        far = walnats.Clock(event, message="", cron="0 0 29 2 *", name="far")
        await far.register(conn)
        assert await far.unregister(conn)


def test_the_time_through_a_serializer_of_your_own() -> None:
    event = walnats.Event("t", datetime, walnats.serializers.MsgspecSerializer(datetime))
    with pytest.raises(ValueError, match="whose serializer is its own"):
        clock_header(event, walnats.Clock(event).schedule, "UTC")


@pytest.mark.parametrize(
    ("clock", "following", "text"),
    [
        ("datetime UTC 60", "2026-01-01T00:01:00Z", b"2026-01-01T00:00:00+00:00"),
        ("datetime Asia/Tokyo 60", "2026-01-01T00:01:00Z", b"2026-01-01T09:00:00+09:00"),
        ("date Asia/Tokyo 3600", "2026-01-01T16:00:00Z", b"2026-01-02"),
        # The last one that was due, where the server was down meanwhile.
        ("datetime UTC 0 0 7 * * 1,2,3,4,5", "2026-01-05T07:00:00Z", b"2026-01-02T07:00:00+00:00"),
        (
            "datetime Europe/Amsterdam 0 30 2 * * *",
            "2026-10-25T02:30:00+01:00",
            b"2026-10-25T02:30:00+02:00",
        ),
        ("datetime UTC 60", "purge", None),
        ("datetime UTC 60", "", None),
        ("datetime UTC nan", "2026-01-01T00:01:00Z", None),
        ("datetime UTC 0", "2026-01-01T00:01:00Z", None),
        ("datetime UTC 1e300", "2026-01-01T00:01:00Z", None),
        ("datetime UTC -60", "2026-01-01T00:01:00Z", None),
        ("datetime Nowhere 60", "2026-01-01T00:01:00Z", None),
        ("datetime ../../etc/passwd 60", "2026-01-01T00:01:00Z", None),
        ("datetime", "2026-01-01T00:01:00Z", None),
        ("datetime UTC x y z", "2026-01-01T00:01:00Z", None),
        ("datetime UTC 60", "0001-01-01T00:00:00+14:00", None),
    ],
)
def test_the_time_of_a_tick_from_its_headers(
    clock: str, following: str, text: bytes | None
) -> None:
    assert tick_text({"Walnats-Clock": clock, "Nats-Schedule-Next": following}) == text


@given(st.text(max_size=30), st.text(max_size=30))
@settings(max_examples=25, deadline=None)
def test_anybody_may_write_such_headers(clock: str, following: str) -> None:
    assert tick_text({"Walnats-Clock": clock, "Nats-Schedule-Next": following}) is None


def test_other_messages_are_left_as_they_are() -> None:
    for message in (
        Message(b"1", b"s", b"", b""),
        Message(b"1", b"s", b"", b"", b"NATS/1.0\r\nA: b\r\n\r\n"),
        Message(b"1", b"s", b"", b"", b"nonsense"),
        Message(b"1", b"s", b"", b"x", b"NATS/1.0\r\nWalnats-Clock: datetime UTC 60\r\n\r\n"),
    ):
        header, data = message.header, message.data
        assert not fill_in_tick(message)
        assert (message.header, message.data) == (header, data)


def server_of_kim(*denied: str) -> NatsServer:
    kim = {"user": "kim", "password": "p", "permissions": {"publish": {"deny": list(denied)}}}
    config = {"authorization": {"users": [kim, {"user": "admin", "password": "p"}]}}
    return NatsServer(config=json.dumps(config))


async def test_a_user_who_may_not_look_for_schedules(event: walnats.Event[str]) -> None:
    """His replicas rely on nobody having registered the clock."""
    clock = walnats.Clock(event, message="", period=1)
    async with (
        server_of_kim(
            "$JS.API.DIRECT.GET.walnats-schedules.>", "$JS.API.STREAM.*.walnats-schedules"
        ) as server,
        walnats.Events(event).connect(server.url, user="kim", password="p") as conn,
    ):
        await conn.register()
        with anyio.fail_after(DEADLINE):
            await clock.run(conn, burst=True)
        assert conn.statistics().acknowledged == 1
        with pytest.raises(walnats.ServerError, match="may not publish"):
            await clock.register(conn)


@pytest.mark.parametrize(
    "denied",
    [
        "$JS.API.STREAM.CREATE.walnats-clocks",
        "$JS.API.STREAM.INFO.walnats-clocks",
        "$JS.API.DIRECT.GET.walnats-clocks.>",
        "walnats.clocks.>",
    ],
)
async def test_a_user_who_may_not_run_clocks(event: walnats.Event[str], denied: str) -> None:
    async with (
        server_of_kim(denied) as server,
        walnats.Events(event).connect(server.url, user="kim", password="p") as conn,
    ):
        await conn.register()
        with pytest.raises(walnats.ServerError, match=r"may not publish"):
            await walnats.Clock(event, message="", period=1).run(conn)
