"""Clocks: their declaration, and replicas that together emit each tick once."""

from __future__ import annotations

import pickle
import secrets
import sys
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.link._probe import keep
from tests.support.mock_clocks import run_with_mock_clock
from tests.support.sweep import sweep
from tests.support.waiting import DEADLINE, until
from walnats_anyio._events import EmitContext, EmitMiddleware, _replica, _server_time
from walnats_anyio._events._last_message import LastMessage, LastMessages, NoStreamError
from walnats_anyio._events._tick_records import Record, Rules, Wait
from walnats_anyio._link import api
from walnats_anyio.testing import MemoryServer, NatsServer
from walnats_anyio.types import ConnectedEvents

TICKS = walnats.Event("minute-passed", datetime)
REPORT = walnats.Event("report-due", str)


# declaring


def test_the_default_is_that_of_walnats() -> None:
    clock = walnats.Clock()
    assert clock.event == TICKS
    assert clock.meta is None
    assert clock.period == 60
    assert clock == walnats.Clock(TICKS, None, 60)
    assert hash(clock) == hash(walnats.Clock(TICKS, None, 60))
    assert clock != walnats.Clock(TICKS, name="other")


@pytest.mark.parametrize(
    "clock",
    [
        walnats.Clock(),
        walnats.Clock(REPORT, {"a": "b"}, message="daily", cron="0 7 * * *", tz="Asia/Tokyo"),
    ],
)
def test_a_clock_is_a_value(clock: walnats.Clock) -> None:
    copy = pickle.loads(pickle.dumps(clock))
    assert copy == clock
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert copy.next_tick(moment) == clock.next_tick(moment)
    assert repr(copy) == repr(clock)
    with pytest.raises(AttributeError):
        clock.period = 5  # type: ignore[misc]  # it is frozen
    assert replace(clock, name="other") != clock


def test_next_tick() -> None:
    clock = walnats.Clock(REPORT, message="", cron="0 7 * * *", tz="Asia/Tokyo")
    tick = clock.next_tick(datetime(2026, 1, 1, 12, tzinfo=UTC))
    assert tick is not None
    assert tick.isoformat() == "2026-01-02T07:00:00+09:00"
    assert clock.next_tick(datetime(9999, 6, 1, tzinfo=UTC)) is None
    coming = walnats.Clock().next_tick()
    assert coming is not None
    assert timedelta(0) < coming - datetime.now(UTC) <= timedelta(minutes=1)
    with pytest.raises(ValueError, match="has no time zone"):
        clock.next_tick(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the mistake


def test_the_message_of_a_tick() -> None:
    tick = datetime(2026, 1, 1, 20, tzinfo=UTC)
    assert walnats.Clock().message_at(tick).isoformat() == "2026-01-01T20:00:00+00:00"
    days = walnats.Event("day-passed", date)
    assert walnats.Clock(days, tz="Asia/Tokyo").message_at(tick) == date(2026, 1, 2)
    assert walnats.Clock(REPORT, message="daily").message_at(tick) == "daily"
    fixed = datetime(2000, 1, 1, tzinfo=UTC)
    assert walnats.Clock(TICKS, message=fixed).message_at(tick) == fixed


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        ({"event": "minute-passed"}, TypeError, "event must be of BaseEvent"),
        ({"event": REPORT}, TypeError, "are no times of ticks, so give what is emitted"),
        ({"event": REPORT, "message": 5}, TypeError, "event 'report-due' takes str"),
        ({"period": 60, "cron": "* * * * *"}, ValueError, "both say when: drop one"),
        ({"period": 0}, ValueError, r"period must be 0\.1 to"),
        ({"period": float("nan")}, ValueError, "period must be"),
        ({"period": 1e9}, ValueError, "at most 366 days"),
        ({"period": "60"}, TypeError, "period must be a number of seconds"),
        ({"period": None}, ValueError, "give a period in seconds, or a cron expression"),
        ({"cron": 5}, TypeError, "cron must be of str"),
        ({"cron": "* * * * * * *"}, ValueError, "has 7 fields"),
        ({"tz": "Europe/Atlantis"}, ValueError, "no time zone 'Europe/Atlantis'"),
        ({"tz": "../../etc/passwd"}, ValueError, "no time zone"),
        ({"tz": ""}, ValueError, "no time zone"),
        ({"tz": "Europe"}, ValueError, "no time zone"),
        ({"tz": UTC}, TypeError, "tz must be the name of a time zone"),
        ({"name": "a.b"}, ValueError, "name must be 1 to 64"),
        ({"name": ""}, ValueError, "name must be 1 to 64"),
        ({"name": None}, ValueError, "name must be 1 to 64"),
        ({"missed": "all"}, ValueError, "missed must be 'skip' or 'once'"),
        ({"meta": 5}, TypeError, "meta must be a mapping"),
        ({"meta": {"a": "b\r\nc"}}, ValueError, "line break"),
        ({"meta": {"Nats-Msg-Id": "b"}}, ValueError, "drop one"),
    ],
)
def test_what_is_no_clock(arguments: dict[str, Any], error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        walnats.Clock(**arguments)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cronsim", None)
    walnats.Clock(period=5)
    with pytest.raises(ImportError, match=r"pip install 'walnats-anyio\[cron\]'"):
        walnats.Clock(cron="* * * * *")


@pytest.mark.parametrize("name", ["walnats.clocks.a.b", "walnats-clocks"])
def test_events_keep_off_the_stream_of_clocks(name: str) -> None:
    with pytest.raises(ValueError, match="keeps for itself"):
        walnats.Event(name, int)


# on a server in memory, where time costs nothing


@asynccontextmanager
async def connected(
    url: str, event: walnats.Event[Any], count: int = 1
) -> AsyncIterator[list[ConnectedEvents]]:
    """Connections, each for a replica, to a stream that keeps what is emitted."""
    events = walnats.Events(event)
    async with events.connect(url) as first:
        await first.register()
        await keep_on(first, event)
        async with AsyncExitStack() as stack:
            others = [
                await stack.enter_async_context(events.connect(url)) for _ in range(count - 1)
            ]
            yield [first, *others]


async def keep_on(conn: ConnectedEvents, event: walnats.Event[Any]) -> None:
    stream = event.stream_name
    body = {"stream_name": stream, "config": {"durable_name": "keep", "ack_policy": "explicit"}}
    await api(conn._link, f"CONSUMER.CREATE.{stream}.keep", body)


async def emitted(conn: ConnectedEvents, event: walnats.Event[Any]) -> list[str]:
    """What the stream of an event has, which somebody keeps."""
    stream = event.stream_name
    state = (await api(conn._link, f"STREAM.INFO.{stream}"))["state"]
    messages = [
        await api(conn._link, f"STREAM.MSG.GET.{stream}", {"seq": number})
        for number in range(max(state["first_seq"], 1), state["last_seq"] + 1)
    ]
    return [b64decode(message["message"]["data"]).decode() for message in messages]


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


BEGIN = datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC)
"""Half a minute before daylight saving time begins in Amsterdam."""


def in_memory(backend: str, scene: Callable[[list[ConnectedEvents]], Any], count: int = 2) -> Any:
    async def play() -> Any:
        event = TICKS
        async with (
            MemoryServer(begin=BEGIN) as server,
            connected(server.url, event, count) as conns,
        ):
            return await scene(conns)

    return run_with_mock_clock(backend, play)


def test_replicas_emit_each_tick_once(backend: str) -> None:
    clock = walnats.Clock(TICKS, cron="*/20 * * * *", tz="Europe/Amsterdam")

    async def scene(conns: list[ConnectedEvents]) -> list[str]:
        async with anyio.create_task_group() as tasks:
            for conn in (*conns, *conns):
                await tasks.start(clock.run, conn)
            await anyio.sleep(3600)
            tasks.cancel_scope.cancel()
        return await emitted(conns[0], TICKS)

    assert in_memory(backend, scene) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-29T03:20:00+02:00",
        "2026-03-29T03:40:00+02:00",
    ]


def test_burst_is_over_with_the_next_tick(backend: str) -> None:
    """Whichever replica emits it."""

    async def scene(conns: list[ConnectedEvents]) -> tuple[list[str], float]:
        async with anyio.create_task_group() as tasks:
            for conn in conns:
                tasks.start_soon(walnats.Clock().run, conn, True)
        return await emitted(conns[0], TICKS), anyio.current_time()

    ticks, took = in_memory(backend, scene)
    assert ticks == ["2026-03-29T01:00:00+00:00"]
    assert 30 <= took < 60


@pytest.mark.parametrize(
    ("missed", "caught_up"), [("skip", []), ("once", ["2026-03-29T01:30:00+00:00"])]
)
def test_ticks_while_no_replica_ran(backend: str, missed: Any, caught_up: list[str]) -> None:
    clock = walnats.Clock(TICKS, missed=missed, period=600)

    async def scene(conns: list[ConnectedEvents]) -> list[str]:
        await clock.run(conns[0], burst=True)
        await anyio.sleep(2000)
        for _ in (1, 2):
            with anyio.move_on_after(50):
                await clock.run(conns[1])
        return await emitted(conns[0], TICKS)

    assert in_memory(backend, scene) == ["2026-03-29T01:00:00+00:00", *caught_up]


def test_a_tick_that_was_claimed_is_emitted_by_another_replica(backend: str) -> None:
    """The first one died with the claim."""

    async def scene(conns: list[ConnectedEvents]) -> tuple[list[str], float]:
        conn = conns[0]
        link = conn._link
        await _replica.create_stream(link, 1)
        tick = datetime(2026, 3, 29, 0, 59, tzinfo=UTC)
        claim = Record(tick, "somebody", BEGIN)
        await link.request("walnats.clocks.minute-passed.clock", claim.to_wire())
        with anyio.move_on_after(20):
            await walnats.Clock().run(conn)
        return await emitted(conn, TICKS), len(await record_of(conn))

    ticks, _ = in_memory(backend, scene)
    assert ticks == ["2026-03-29T00:59:00+00:00"]


async def record_of(conn: ConnectedEvents) -> bytes:
    answer = await conn._link.request(
        "$JS.API.DIRECT.GET.walnats-clocks.walnats.clocks.minute-passed.clock"
    )
    return answer.data


@pytest.mark.parametrize("data", [b"", b"nonsense", b'{"tick":"9999-12-31T23:59:59Z"}'])
def test_a_record_that_is_none_is_replaced(
    backend: str, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(conns: list[ConnectedEvents]) -> list[str]:
        conn = conns[0]
        await _replica.create_stream(conn._link, 1)
        await conn._link.request("walnats.clocks.minute-passed.clock", data)
        await walnats.Clock().run(conn, burst=True)
        return await emitted(conn, TICKS)

    assert in_memory(backend, scene) == ["2026-03-29T01:00:00+00:00"]
    assert "its last tick cannot be read" in caplog.text


def test_after_a_step_back_it_waits_and_says_so(
    backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(conns: list[ConnectedEvents]) -> list[str]:
        conn, clock = conns[0], walnats.Clock()
        await _replica.create_stream(conn._link, 1)
        ahead = Record(BEGIN + timedelta(hours=1, seconds=30), "somebody", BEGIN, emitted=True)
        await conn._link.request("walnats.clocks.minute-passed.clock", ahead.to_wire())
        with anyio.move_on_after(1800):
            await clock.run(conn)
        assert await emitted(conn, TICKS) == []
        assert not await clock.unregister(conn)
        await clock.run(conn, burst=True)
        return await emitted(conn, TICKS)

    assert in_memory(backend, scene) == ["2026-03-29T01:30:00+00:00"]
    assert "which is 3630 seconds ahead" in caplog.text


def test_what_is_emitted(backend: str) -> None:
    """Through the middlewares of the connection, with what was declared."""
    seen: list[Any] = []

    class Watch(EmitMiddleware):
        def around_emit(self, context: EmitContext) -> AbstractContextManager[None]:
            seen.append((context.event, context.uid, dict(context.headers)))
            return nullcontext()

    async def play() -> None:
        events = walnats.Events(REPORT, middlewares=[Watch()])
        async with MemoryServer(begin=BEGIN) as server, events.connect(server.url) as conn:
            await conn.register()
            clock = walnats.Clock(REPORT, {"k": "v"}, message="x", cron="@hourly", name="hourly")
            await clock.run(conn, burst=True)
            assert conn.statistics().emitted == 1

    run_with_mock_clock(backend, play)
    assert seen == [(REPORT, "hourly@2026-03-29T01:00:00+00:00", {"k": "v"})]


def test_a_stream_of_clocks_that_somebody_deletes_is_made_anew(backend: str) -> None:
    """And the ticks that were emitted do not come again, also when the event's stream forgot."""
    clock = walnats.Clock(TICKS, period=600)

    async def scene(conns: list[ConnectedEvents]) -> list[str]:
        async with anyio.create_task_group() as tasks:
            for conn in conns:
                await tasks.start(clock.run, conn)
            await anyio.sleep(300)
            await api(conns[0]._link, "STREAM.DELETE.walnats-clocks")
            await anyio.sleep(600)
            tasks.cancel_scope.cancel()
        return await emitted(conns[0], TICKS)

    assert in_memory(backend, scene) == ["2026-03-29T01:00:00+00:00", "2026-03-29T01:10:00+00:00"]


def test_a_stream_of_the_event_that_is_not_there(
    backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The tick waits for it."""

    async def scene(conns: list[ConnectedEvents]) -> list[str]:
        conn = conns[0]
        await api(conn._link, "STREAM.DELETE.minute-passed")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(walnats.Clock().run, conn, True)
            await anyio.sleep(40)
            await conn.register()
            await keep_on(conn, TICKS)
        return await emitted(conn, TICKS)

    assert in_memory(backend, scene) == ["2026-03-29T01:00:00+00:00"]
    assert "it is tried again: event 'minute-passed' was not accepted" in caplog.text


def test_in_a_namespace(backend: str) -> None:
    async def play() -> bytes:
        events = walnats.Events(TICKS)
        async with (
            MemoryServer(begin=BEGIN) as server,
            events.connect(server.url, namespace="south.eu") as conn,
        ):
            await conn.register()
            await walnats.Clock().run(conn, burst=True)
            subject = "south.eu.walnats.clocks.south-eu-minute-passed.clock"
            get = f"$JS.API.DIRECT.GET.south-eu-walnats-clocks.{subject}"
            return (await conn._link.request(get)).data

    record = Record.of(run_with_mock_clock(backend, play))
    assert record is not None
    assert record.emitted
    assert record.tick == BEGIN + timedelta(seconds=30)


def test_a_replica_that_is_cancelled_anywhere_leaves_the_tick_to_another(backend: str) -> None:
    """At each checkpoint from the start to the end of a tick."""

    async def play() -> int:
        async with (
            MemoryServer(begin=BEGIN) as server,
            connected(server.url, TICKS, 2) as (one, other),
        ):
            clock = walnats.Clock(TICKS, period=10, missed="once")
            ticks = 0

            async def scenario() -> None:
                await clock.run(one, burst=True)

            async def check() -> None:
                nonlocal ticks
                await clock.run(other, burst=True)
                found = await emitted(one, TICKS)
                assert len(found) == len(set(found))
                # One is emitted in any case, and none is left out.
                times = [datetime.fromisoformat(each) for each in found]
                assert times[-1] - times[0] == timedelta(seconds=10 * (len(times) - 1))
                assert len(found) > ticks
                ticks = len(found)

            return await sweep(scenario, check, bounded_by=10, most=60)

    assert run_with_mock_clock(backend, play) >= 8


# on a real server


@pytest.mark.anyio
async def test_replicas_of_several_connections_on_a_real_server(nats_server: NatsServer) -> None:
    event = walnats.Event(f"ticks-{secrets.token_hex(4)}", datetime)
    events, clock = walnats.Events(event), walnats.Clock(event, period=0.5)
    async with events.connect(nats_server.url) as one, events.connect(nats_server.url) as two:
        await one.register()
        await keep(nats_server, event)
        async with anyio.create_task_group() as tasks:
            with anyio.fail_after(DEADLINE):
                for conn in (one, two, two):
                    await tasks.start(clock.run, conn)

            async def four() -> bool:
                return len(await emitted(one, event)) >= 4

            await until(four)
            tasks.cancel_scope.cancel()
        times = [datetime.fromisoformat(tick) for tick in await emitted(one, event)]
    assert all(time.microsecond in (0, 500_000) for time in times)
    assert times == sorted(set(times))
    assert all(abs(datetime.now(UTC) - time) < timedelta(seconds=DEADLINE) for time in times)


@pytest.mark.anyio
async def test_a_restart_of_the_server(nats_server: NatsServer) -> None:
    event = walnats.Event(f"ticks-{secrets.token_hex(4)}", datetime)
    events, clock = walnats.Events(event), walnats.Clock(event, period=0.5)
    async with events.connect(nats_server.url) as one, events.connect(nats_server.url) as two:
        await one.register()
        await keep(nats_server, event)
        async with anyio.create_task_group() as tasks:
            for conn in (one, two):
                await tasks.start(clock.run, conn)

            async def more_than(count: int) -> None:
                async def more() -> bool:
                    return len(await emitted(one, event)) > count

                await until(more)

            await more_than(1)
            nats_server.kill()
            await nats_server.start()
            await more_than(len(await emitted(one, event)) + 1)
            tasks.cancel_scope.cancel()
        found = await emitted(one, event)
    assert len(found) == len(set(found))
    assert found == sorted(found)


@pytest.mark.anyio
async def test_the_stream_has_no_leader_as_it_begins(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a cluster that elects one. It passes, so it ends no replica."""
    read, refusals = LastMessages.read, [NoStreamError("nobody answers")]

    async def read_later(self: LastMessages, subject: str) -> LastMessage:
        if refusals:
            raise refusals.pop()
        return await read(self, subject)

    monkeypatch.setattr(LastMessages, "read", read_later)
    monkeypatch.setattr(_replica, "AGAIN_AFTER", 0.05)
    event = walnats.Event(f"ticks-{secrets.token_hex(4)}", datetime)
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        with anyio.fail_after(DEADLINE):
            await walnats.Clock(event, period=0.2).run(conn, burst=True)
    assert not refusals


@pytest.mark.anyio
async def test_what_it_cannot_run_on(nats_server: NatsServer) -> None:
    clock = walnats.Clock()
    async with walnats.Events(REPORT).connect(nats_server.url) as conn:
        with pytest.raises(ValueError, match="'minute-passed' is not in the registry"):
            await clock.run(conn)
        with pytest.raises(ValueError, match="'minute-passed' is not in the registry"):
            await clock.register(conn)
    nothing: Any = None
    for call in (clock.run, clock.register, clock.unregister):
        with pytest.raises(TypeError, match="conn must be of ConnectedEvents"):
            await call(nothing)


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)], ids=["on", "back"])
def test_the_clock_of_the_server_is_set(
    backend: str, step: timedelta, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Forward: it goes on there, and leaves out what is between. Back: it waits, and says so."""
    monkeypatch.setattr(_server_time, "MEASURED_FOR", 0.2)
    clock = walnats.Clock(TICKS, period=0.1)

    async def main() -> list[datetime]:
        async with MemoryServer(begin=BEGIN) as server, connected(server.url, TICKS, 2) as conns:
            async with anyio.create_task_group() as tasks:
                for conn in conns:
                    await tasks.start(clock.run, conn)
                await until_emitted(conns[0], 3)
                by = step // timedelta(microseconds=1) * 1000
                server._begin += by
                server._engine.timers.now += by
                if step > timedelta(0):
                    await until_emitted(conns[0], 3, after=BEGIN + step)
                else:
                    await until(lambda: "the server's clock was set back" in caplog.text)
                    await anyio.sleep(0.5)
                tasks.cancel_scope.cancel()
            return [datetime.fromisoformat(tick) for tick in await emitted(conns[0], TICKS)]

    ticks = anyio.run(main, backend=backend)
    assert ticks == sorted(set(ticks))
    hops = [later - earlier for earlier, later in pairwise(ticks)]
    if step > timedelta(0):
        assert max(hops) > timedelta(minutes=59)
    else:
        assert ticks[-1] - BEGIN < timedelta(minutes=1)


@pytest.mark.anyio
async def test_a_process_that_stood_still(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just before a replica waits, the time of the server has become too old to be trusted."""
    monkeypatch.setattr(_server_time, "MEASURED_FOR", 0.2)
    next_step = Rules.next_step
    stops = [True]

    def next_step_later(self: Rules, record: Record | None, now: datetime) -> Any:
        step = next_step(self, record, now)
        if isinstance(step, Wait) and stops:
            stops.pop()
            time.sleep(0.3)
        return step

    monkeypatch.setattr(Rules, "next_step", next_step_later)
    event = walnats.Event(f"ticks-{secrets.token_hex(4)}", datetime)
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        with anyio.fail_after(DEADLINE):
            await walnats.Clock(event, period=0.5).run(conn, burst=True)
    assert not stops


async def until_emitted(conn: ConnectedEvents, count: int, after: datetime = BEGIN) -> None:
    with anyio.fail_after(DEADLINE):
        while True:
            ticks = [datetime.fromisoformat(tick) for tick in await emitted(conn, TICKS)]
            if sum(tick > after for tick in ticks) >= count:
                return
            await anyio.sleep(0.05)
