"""`drain`, `record` and `dead_letters`, on a server in memory and on a real one."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from tests.support.recorders import Gate
from walnats_anyio import Actor, Actors, Event, Events, ExecuteIn, Reject, Retry, current_context
from walnats_anyio._link import api
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


async def test_a_handler_that_always_fails_is_no_endless_test(
    memory_server: MemoryServer, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walnats_anyio.testing._drain.MOCK_ATTEMPTS", 20)

    async def pay(order: Order) -> None:
        raise ValueError("no number")

    actor = Actor("pay", shop.paid, pay)  # without `max_attempts`
    async with registered(memory_server.url, shop, actor) as events:
        await events.emit(shop.paid, Order(0, 1), sync=True)
        with pytest.raises(NotDrainedError, match=r"not drained with 2\d attempts of one event:\n"):
            await drain(Actors(actor), memory_server.url)
        with pytest.raises(NotDrainedError, match="not drained within 120 s"):
            await drain(Actors(actor), memory_server.url, timeout=120)


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
            f"event {name!r}: 0 emitted of Order(number=1, total=11), expected at least one",
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
        first, *_ = await report(lambda order: order.total > 100)
        assert "a message for which test_the_difference_is_shown.<locals>.<lambda> is true" in first
        with pytest.raises(AssertionError, match="nothing of this event was emitted"):
            await recording.assert_emitted(shop.mailed, "x")


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
