"""`drain`, `record` and `dead_letters`, on a server in memory and on a real one."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import anyio
import pytest

from tests.support.recorders import Gate
from walnats_anyio import (
    Actor,
    Actors,
    Clock,
    ConsumerConfigError,
    Event,
    Events,
    ExecuteIn,
    Reject,
    Retry,
    Snooze,
    current_context,
)
from walnats_anyio._link import Link, api
from walnats_anyio._link._sharing import link_of
from walnats_anyio.testing import (
    MemoryServer,
    NatsServer,
    NotDrainedError,
    dead_letters,
    drain,
    mock_clock,
    record,
)
from walnats_anyio.types import ConnectedActors, ConnectedEvents

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """With a mock clock where the server is in memory."""
    spec = getattr(request.node, "callspec", None)
    real = spec is not None and spec.params.get("url") == "nats"
    backend = str(request.param)
    return backend, {} if real else mock_clock(backend)


@pytest.fixture(scope="module", autouse=True)
def real_server() -> Iterator[NatsServer]:
    # Before the fixture that looks for files which a test leaves behind.
    with NatsServer() as server:
        yield server


@pytest.fixture(params=["memory", "nats"])
def url(
    request: pytest.FixtureRequest, real_server: NatsServer, memory_server: MemoryServer
) -> str:
    """Of a server in memory, and of a real one."""
    return memory_server.url if request.param == "memory" else real_server.url


@dataclass(frozen=True)
class Order:
    number: int
    total: int


@dataclass
class Shop:
    """Events with names of their own, as the real server is shared."""

    paid: Event[Order]
    mailed: Event[str]

    @property
    def events(self) -> Events:
        return Events(self.paid, self.mailed)


@pytest.fixture
def shop() -> Shop:
    name = secrets.token_hex(4)
    return Shop(
        Event(f"paid.{name}", Order, storage="memory"),
        Event(f"mailed.{name}", str, storage="memory"),
    )


@asynccontextmanager
async def registered(
    url: str, shop: Shop, *actors: Actor[Any, Any]
) -> AsyncIterator[ConnectedEvents]:
    async with shop.events.connect(url) as events, Actors(*actors).connect(url) as connected:
        await events.register()
        await connected.register()
        yield events


async def ignore(_: object) -> None: ...


async def test_what_follows_is_done_as_well(url: str, shop: Shop) -> None:
    """A chain: each mail is answered by the next one, through a handler that takes its time."""

    async def pay(order: Order) -> None:
        await current_context().emit(shop.mailed, "9")

    async def answer(mail: str) -> None:
        await anyio.sleep(0.001)
        if int(mail):
            await current_context().emit(shop.mailed, str(int(mail) - 1))

    actors = Actor("answer", shop.mailed, answer), Actor("pay", shop.paid, pay)
    async with registered(url, shop, *actors) as events, record(shop.events, url) as recording:
        for number in range(3):
            await events.emit(shop.paid, Order(number, 1), sync=True)
        summary = await drain(Actors(*actors), url)
        assert len(await recording.emitted(shop.mailed)) == 30
    assert [(each.actor, each.handled) for each in summary.actors] == [("answer", 30), ("pay", 3)]


async def test_delayed_retries_are_waited_for(url: str, shop: Shop) -> None:
    in_memory = url.startswith("memory")
    delay = 1800.0 if in_memory else 0.1

    async def pay(order: Order) -> None:
        if current_context().attempts < 3:
            raise Retry(delay)

    actor = Actor("pay", shop.paid, pay)
    async with registered(url, shop, actor) as events:
        await events.emit(shop.paid, Order(1, 1), sync=True)
        began, real = anyio.current_time(), time.monotonic()
        summary = await drain(Actors(actor), url)
    assert (summary.handled, summary.failed) == (1, 2)
    assert anyio.current_time() - began >= 2 * delay
    if in_memory:
        assert anyio.current_time() - began < 2 * delay + 1
        assert summary.seconds == pytest.approx(2 * delay, abs=1)
        assert time.monotonic() - real < 30


async def test_nothing_to_do(url: str, shop: Shop) -> None:
    summary = await drain(Actors(Actor("pay", shop.paid, ignore)), url)
    assert summary.handled == 0


async def test_it_says_what_is_stuck(
    url: str, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    async def pay(order: Order) -> None:
        raise Retry(3600) if order.number else ValueError("no number")

    caplog.set_level(logging.CRITICAL, "walnats_anyio.actors.tests")
    actor = Actor("pay", shop.paid, pay, retry_delay=[3600])
    async with registered(url, shop, actor) as events:
        await events.emit(shop.paid, Order(0, 1), sync=True)
        with pytest.raises(NotDrainedError) as stuck:
            await drain(Actors(actor), url, timeout=0.5)
    said = str(stuck.value)
    assert "not drained within 0.5 s of the event loop's clock:" in said
    assert f"actor 'pay' of event {shop.paid.name!r}: 1 waiting for the next attempt" in said
    assert "(handled 0, failed 1)" in said
    assert "attempt 1 raised ValueError: no number; again in 3600 s" in said
    assert issubclass(NotDrainedError, AssertionError)


@pytest.mark.parametrize("error", [ValueError("no number"), Retry(0), Snooze(1)])
async def test_a_handler_that_always_fails_is_no_endless_test(
    memory_server: MemoryServer,
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """Also where nothing is logged of it."""
    monkeypatch.setattr("walnats_anyio.testing._drain.MOCK_ATTEMPTS", 20)
    caplog.set_level(logging.CRITICAL, "walnats_anyio")

    async def pay(order: Order) -> None:
        raise error

    actor = Actor("pay", shop.paid, pay)  # without `max_attempts`
    async with registered(memory_server.url, shop, actor) as events:
        await events.emit(shop.paid, Order(0, 1), sync=True)
        with pytest.raises(NotDrainedError, match=r"not drained with 2\d attempts of one event:\n"):
            await drain(Actors(actor), memory_server.url)
        if isinstance(error, ValueError):
            with pytest.raises(NotDrainedError, match="not drained within 120 s"):
                await drain(Actors(actor), memory_server.url, timeout=120)


@pytest.mark.parametrize("timeout", [None, 5])
@pytest.mark.parametrize("pause", [0.0, 0.0001])
async def test_a_handler_that_emits_its_own_event_is_no_endless_test(
    memory_server: MemoryServer,
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    timeout: float | None,
    pause: float,
) -> None:
    """A mock clock stands still meanwhile, so that no timeout would end it."""
    monkeypatch.setattr("walnats_anyio.testing._drain.MOCK_DELIVERIES", 50)
    if pause and timeout:
        return  # the clock goes on, and ends it

    async def pay(order: Order) -> None:
        await anyio.sleep(pause)
        await current_context().emit(shop.paid, Order(order.number + 1, 1))

    actors = Actor("pay", shop.paid, pay), Actor("count", shop.paid, ignore)
    async with registered(memory_server.url, shop, *actors) as events:
        await events.emit(shop.paid, Order(0, 1), sync=True)
        with pytest.raises(NotDrainedError) as stuck:
            await drain(Actors(*actors), memory_server.url, timeout=timeout)
    first, *lines = str(stuck.value).splitlines()
    assert re.fullmatch(
        r"not drained with \d+ deliveries, the last \d+ of which left no less to do:", first
    )
    for actor, line in zip(actors, lines, strict=True):
        assert line.startswith(f"  actor {actor.name!r} of event {shop.paid.name!r}: ")
        assert re.search(r"\(handled \d+, failed 0\)$", line)


async def test_much_to_do_is_not_taken_for_endless(
    memory_server: MemoryServer, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walnats_anyio.testing._drain.MOCK_DELIVERIES", 20)
    actor = Actor("pay", shop.paid, ignore)
    async with registered(memory_server.url, shop, actor) as events:
        for number in range(100):
            await events.emit(shop.paid, Order(number, 1))
        await events.flush()
        assert (await drain(Actors(actor), memory_server.url)).handled == 100


async def test_what_is_delayed_is_waited_for(url: str, shop: Shop) -> None:
    """What a test and a handler emit with a delay, and what waits since before for its retry."""
    in_memory = url.startswith("memory")
    delay = 60.0 if in_memory else 0.5

    async def pay(order: Order) -> None:
        if order.number == 2 and current_context().attempts == 1:
            raise Retry(2 * delay)
        await current_context().emit(shop.mailed, "x", delay=delay)

    # With `max_jobs_total`, also a short delay is that of a copy which the server keeps.
    pays = Actor("pay", shop.paid, pay, max_jobs_total=1)
    actors = Actors(pays, Actor("mail", shop.mailed, ignore))
    async with registered(url, shop, *actors) as events:
        await events.emit(shop.paid, Order(2, 1), sync=True)
        with pytest.raises(NotDrainedError, match="1 waiting for the next attempt"):
            await drain(actors, url, timeout=delay / 2)
        await events.emit(shop.paid, Order(1, 1), delay=delay, sync=True)
        summary = await drain(actors, url)
    assert [each.handled for each in summary.actors] == [2, 2]


async def test_it_says_what_is_delayed(url: str, shop: Shop) -> None:
    actor = Actor("pay", shop.paid, ignore)
    async with registered(url, shop, actor) as events:
        await events.emit(shop.paid, Order(1, 1), delay=1e6, sync=True)
        with pytest.raises(NotDrainedError, match=r": 1 .*due \(handled 0, failed 0\)"):
            await drain(Actors(actor), url, timeout=0.3)


async def test_a_server_that_counts_late(
    memory_server: MemoryServer, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load, nats-server says for a moment that nothing is pending of what it has stored."""
    late_until = anyio.current_time() + 0.1

    async def late(link: Link, subject: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        answer = await api(link, subject, *arguments, **options)
        if subject.startswith("CONSUMER.INFO") and anyio.current_time() < late_until:
            answer["num_pending"] = 0
        return answer

    monkeypatch.setattr("walnats_anyio.testing._backlog.api", late)
    actor = Actor("pay", shop.paid, ignore)
    async with registered(memory_server.url, shop, actor) as events:
        await events.emit(shop.paid, Order(1, 1), sync=True)
        memory_server.delay(0.15, "$JS.API.CONSUMER.MSG.NEXT.>")
        assert (await drain(Actors(actor), memory_server.url)).handled == 1


async def test_what_was_deleted_is_not_waited_for(url: str, shop: Shop) -> None:
    """The stream has more than the actor was given, and keeps some of it for another one."""
    actor = Actor("pay", shop.paid, ignore)
    other = Actor("other", shop.paid, ignore)
    async with registered(url, shop, actor, other) as events:
        await events.emit(shop.paid, Order(1, 1), sync=True)
        await events.emit(shop.paid, Order(2, 1), sync=True)
        await api(link_of(events), f"STREAM.MSG.DELETE.{shop.paid.stream_name}", {"seq": 2})
        assert (await drain(Actors(actor), url)).handled == 1


async def test_what_is_not_registered_is_an_error(memory_server: MemoryServer, shop: Shop) -> None:
    url = memory_server.url
    actor = Actor("pay", shop.paid, ignore)
    with pytest.raises(ConsumerConfigError, match="'pay': there is no consumer"):
        await drain(Actors(actor), url, register=False)

    async def pay(_: Order) -> None:
        await memory_server.restart()  # what is in memory is lost

    actor = Actor("pay", shop.paid, pay)
    async with registered(url, shop, actor) as events:
        await events.emit(shop.paid, Order(1, 1), sync=True)
        with pytest.raises(ConsumerConfigError, match="'pay'"):
            await drain(Actors(actor), url)


async def test_it_says_what_runs(url: str, shop: Shop) -> None:
    gate = Gate()
    actor = Actor("pay", shop.paid, gate, max_jobs=1, job_timeout=1e6)
    async with registered(url, shop, actor) as events:
        for number in range(3):
            await events.emit(shop.paid, Order(number, 1), sync=True)
        with pytest.raises(NotDrainedError, match="1 running; 2 not delivered"):
            await drain(Actors(actor), url, timeout=0.5)


async def test_it_says_what_another_process_holds(memory_server: MemoryServer, shop: Shop) -> None:
    gate = Gate()
    elsewhere = Actor("pay", shop.paid, gate, job_timeout=1e6)
    url = memory_server.url
    async with (
        registered(url, shop, elsewhere) as events,
        Actors(elsewhere).connect(url) as connected,
        anyio.create_task_group() as tasks,
    ):
        await tasks.start(connected.listen)
        await events.emit(shop.paid, Order(1, 1), sync=True)
        await gate.come(1)
        actor = Actor("pay", shop.paid, ignore)
        with pytest.raises(NotDrainedError, match="1 delivered and not settled, to another"):
            await drain(Actors(actor), url, register=False, timeout=10)
        gate.open()
        connected.shutdown()


async def test_a_consumer_that_is_paused(memory_server: MemoryServer, shop: Shop) -> None:
    actor = Actor("pay", shop.paid, ignore)
    async with registered(memory_server.url, shop, actor) as events:
        await events.emit(shop.paid, Order(1, 1), sync=True)
        await api(
            link_of(events),
            f"CONSUMER.PAUSE.{shop.paid.stream_name}.pay",
            {"pause_until": "2040-01-01T00:00:00Z"},
        )
        with pytest.raises(NotDrainedError, match="1 not delivered; its consumer is paused"):
            await drain(Actors(actor), memory_server.url, timeout=10)


async def test_errors_come_out_as_themselves(memory_server: MemoryServer, shop: Shop) -> None:
    @asynccontextmanager
    async def broken(_: ConnectedActors) -> AsyncIterator[None]:
        raise ZeroDivisionError
        yield

    actors = Actors(Actor("pay", shop.paid, ignore), lifespan=broken)
    async with registered(memory_server.url, shop, *actors) as events:
        await events.emit(shop.paid, Order(1, 1), sync=True)
        with pytest.raises(ZeroDivisionError):
            await drain(actors, memory_server.url)
    with pytest.raises(TypeError, match="leave out burst"):
        await drain(actors, memory_server.url, burst=True)
    with pytest.raises(ValueError, match="timeout"):
        await drain(actors, memory_server.url, timeout=-1)
    assert logging.getLogger("walnats_anyio.actors").handlers == []


async def test_threads_hold_the_clock(memory_server: MemoryServer, shop: Shop) -> None:
    """Neither `job_timeout` nor `ack_wait` may run out while a thread works."""

    def work(_: Order) -> None:
        time.sleep(0.05)

    actor = Actor(
        "pay", shop.paid, work, execute_in=ExecuteIn.THREAD, ack_wait=0.1, job_timeout=0.2
    )
    async with registered(memory_server.url, shop, actor) as events:
        await events.emit(shop.paid, Order(1, 1), sync=True)
        summary = await drain(Actors(actor), memory_server.url)
    assert (summary.handled, summary.failed) == (1, 0)


async def test_a_message_that_was_expected_is_found(url: str, shop: Shop) -> None:
    async with shop.events.connect(url) as events:
        await events.register()
        await events.emit(shop.mailed, "before", sync=True)
        async with record(shop.events, url) as recording:
            await events.emit(shop.paid, Order(1, 10), uid="a", meta={"Kind": "x"}, sync=True)
            await events.emit(shop.paid, Order(1, 10), uid="a", sync=True)  # a duplicate
            await events.emit(shop.paid, Order(2, 20), trace_id="t", sync=True)
            first, second = await recording.emitted(shop.paid)
            assert (first.uid, first.trace_id, first.headers["Kind"]) == ("a", None, "x")
            assert (second.uid, second.trace_id, second.message) == (None, "t", Order(2, 20))
            assert await recording.assert_emitted(shop.paid, Order(2, 20), count=1) == [second]
            assert await recording.assert_emitted(shop.paid, headers={"Kind": "x"}) == [first]
            assert await recording.assert_emitted(shop.paid, lambda order: order.total > 15)
            await recording.assert_emitted(shop.paid, Order(3, 30), count=0)
            await recording.assert_nothing_emitted(shop.mailed)
            recording.clear()
            await recording.assert_nothing_emitted()
            with pytest.raises(ValueError, match="is not recorded"):
                await recording.emitted(Event("strange", int))


async def test_the_difference_is_shown(memory_server: MemoryServer, shop: Shop) -> None:
    url = memory_server.url
    async with shop.events.connect(url) as events, record(shop.events, url) as recording:
        await events.register()
        await events.emit(shop.paid, Order(1, 10), uid="a", sync=True)
        await events.emit(shop.paid, Order(2, 20), sync=True)

        async def report(*arguments: Any, **options: Any) -> list[str]:
            with pytest.raises(AssertionError) as failed:
                await recording.assert_emitted(shop.paid, *arguments, **options)
            return str(failed.value).splitlines()

        name = shop.paid.name
        listed = [
            "emitted:",
            "  Order(number=1, total=10)  headers {'Nats-Msg-Id': 'a'}",
            "  Order(number=2, total=20)",
        ]
        assert await report(Order(1, 11)) == [
            f"event {name!r}: 0 emitted, expected at least one of:",
            "  Order(number=1, total=11)",
            *listed,
            "the nearest one differs:",
            "  total: 10, expected 11",
        ]
        assert (await report(Order(1, 10), uid="b"))[-1] == "  uid is 'a', expected 'b'"
        assert (await report(Order(2, 20), headers={"A": "b"}))[-1] == (
            "  header A is None, expected 'b'"
        )
        assert await report(count=1) == [
            f"event {name!r}: 2 emitted of any message, expected exactly 1", *listed
        ]  # fmt: skip
        here = "test_the_difference_is_shown"
        _, wanted, *_ = await report(lambda order: order.total > 100)
        assert wanted == f"  a message for which {here}.<locals>.<lambda> is true"
        with pytest.raises(AssertionError, match="nothing of this event was emitted"):
            await recording.assert_emitted(shop.mailed, "x")


@dataclass
class Letter:
    text: str
    pages: list[int]


async def test_a_long_message_is_cut_and_what_differs_is_shown(memory_server: MemoryServer) -> None:
    written, url = Event("written", Letter), memory_server.url
    said: Event[str] = Event("said", str)
    both = Events(written, said)
    text = "all work and no play " * 5000
    async with both.connect(url) as events, record(both, url) as recording:
        await events.register()
        meta = {"Shop": "x" * 5000}
        await events.emit(written, Letter(text + "!", list(range(900))), meta=meta, sync=True)
        await events.emit(said, text + "!" + text, sync=True)
        expected = Letter(text + "?", [*range(899), 0])
        with pytest.raises(AssertionError) as failed:
            await recording.assert_emitted(written, expected, headers={"Shop": "x" * 4999 + "y"})
        with pytest.raises(AssertionError) as other:
            await recording.assert_emitted(said, text + "?" + text)
    lines = str(failed.value).splitlines()
    assert [line[:36] for line in lines] == [
        "event 'written': 0 emitted, expected",
        "  Letter(text='all work and no play ",
        "emitted:",
        "  Letter(text='all work and no play ",
        "    headers {'Shop': 'xxxxxxxxxxxxxx",
        "the nearest one differs:",
        "  text: ... no play !', expected ...",
        "  pages: ...97, 898, 899], expected ",
        "  header Shop is ...xxxxxxxxxx', exp",
    ]
    assert lines[6] == "  text: ... no play !', expected ... no play ?'"
    assert lines[8] == "  header Shop is ...xxxxxxxxxx', expected ...xxxxxxxxxy'"
    assert "!all work" in str(other.value)
    assert "?all work" in str(other.value)
    assert all(len(line) < 80 for line in [*lines, *str(other.value).splitlines()])


async def test_a_uid_counts_for_as_long_as_the_stream_remembers_it(url: str) -> None:
    in_memory = url.startswith("memory")
    window = 120.0 if in_memory else 0.2
    name = f"daily.{secrets.token_hex(4)}"
    daily = Event(name, int, storage="memory", dedup_window=window)
    async with Events(daily).connect(url) as events, record(Events(daily), url) as recording:
        await events.register()
        for number in range(2):
            await events.emit(daily, number, uid="report", sync=True)
            await events.emit(daily, number + 10, uid="report", sync=True)
            await anyio.sleep(1.5 * window)
        assert [each.message for each in await recording.emitted(daily)] == [0, 1]


async def test_a_class_is_no_message(memory_server: MemoryServer, shop: Shop) -> None:
    async with record(shop.events, memory_server.url) as recording:
        with pytest.raises(TypeError, match=r"isinstance\(message, Order\)"):
            await recording.assert_emitted(shop.paid, Order)  # type: ignore[arg-type]  # wrong


async def test_a_message_of_another_type_is_another_message(memory_server: MemoryServer) -> None:
    flags: Event[Any] = Event("flags", int | bool)
    url = memory_server.url
    async with Events(flags).connect(url) as events, record(Events(flags), url) as recording:
        await events.register()
        await events.emit(flags, True, sync=True)
        with pytest.raises(AssertionError, match="it is of type bool, expected int"):
            await recording.assert_emitted(flags, 1)


async def test_dead_letters_are_read(url: str, shop: Shop) -> None:
    def refuse(order: object) -> None:
        raise Reject("no")

    actors = Actor("pay", shop.paid, refuse), Actor("other", shop.paid, refuse)
    async with registered(url, shop, *actors) as events:
        await events.emit(shop.paid, Order(1, 1), sync=True)
        await drain(Actors(*actors), url)
    (letter,) = await dead_letters(url, actors[0])
    assert (letter.actor, letter.reason, letter.error) == ("pay", "rejected", "no")
    assert {"pay", "other"} <= {
        each.actor for each in await dead_letters(url) if each.event == shop.paid.name
    }


async def test_a_namespace(memory_server: MemoryServer, shop: Shop) -> None:
    url = memory_server.url
    actor = Actor("pay", shop.paid, ignore)
    connecting = shop.events.connect(url, namespace="shop")
    async with connecting as events, record(shop.events, url, namespace="shop") as recording:
        await events.register()
        await drain(Actors(actor), url, namespace="shop")
        await events.emit(shop.paid, Order(1, 1), sync=True)
        assert (await drain(Actors(actor), events)).handled == 1
        await recording.assert_emitted(shop.paid, count=1)


async def test_messages_to_the_recording_cannot_be_lost(
    memory_server: MemoryServer, shop: Shop
) -> None:
    async with (
        record(shop.events, memory_server.url) as recording,
        shop.events.connect(memory_server.url) as events,
    ):
        await events.register()
        memory_server.drop(shop.mailed.name, None, direction="to_client")
        await events.emit(shop.mailed, "1", sync=True)
        memory_server.disconnect_all()
        await events.emit(shop.mailed, "2", uid="2", sync=True)
        assert [each.message for each in await recording.emitted(shop.mailed)] == ["1", "2"]


async def test_a_recording_that_may_have_missed_something_says_so(shop: Shop) -> None:
    async with MemoryServer() as server, shop.events.connect(server.url) as events:
        await events.register()
        # Over a connection, as with a real server.
        async with record(shop.events, events) as recording:
            await events.emit(shop.mailed, "1", sync=True)
            await recording.assert_emitted(shop.mailed, count=1)
            server.disconnect_all()
            with pytest.raises(RuntimeError, match="lost its connection"):
                await recording.emitted(shop.mailed)


async def test_lost_answers_are_asked_for_again(memory_server: MemoryServer, shop: Shop) -> None:
    async def pay(_: Order) -> None:
        memory_server.drop("$JS.API.CONSUMER.INFO.>", 5)

    actor = Actor("pay", shop.paid, pay)
    async with registered(memory_server.url, shop, actor) as events:
        await events.emit(shop.paid, Order(1, 1), sync=True)
        began = anyio.current_time()
        summary = await drain(Actors(actor), memory_server.url)
    assert summary.handled == 1
    assert anyio.current_time() - began > 4


async def test_the_ticks_of_a_clock(memory_server: MemoryServer) -> None:
    """What has ticked is done; that it ticks again later is nothing to wait for."""
    ticked: Event[datetime] = Event("ticked", datetime, storage="memory")
    ticks: list[datetime] = []
    actors = Actors(Actor("a", ticked, ticks.append))
    url = memory_server.url
    async with Events(ticked).connect(url) as events, actors.connect(url) as connected:
        await events.register()
        await connected.register()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Clock(ticked, period=60).run, events)
            for _ in range(2):
                before = len(ticks)
                await anyio.sleep(200)
                assert (await drain(actors, url)).handled == len(ticks) - before >= 3
            tasks.cancel_scope.cancel()
    assert {later - tick for tick, later in pairwise(ticks)} == {timedelta(minutes=1)}
