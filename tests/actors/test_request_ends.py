"""Deadlines and cancellation cross the wire: a handler never outlives its caller's interest."""

from __future__ import annotations

import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
from anyio.abc import TaskGroup

import walnats_anyio as walnats
from tests.actors._asked import Asked, Slow, answering, asked, handled
from tests.actors._stage import Stage, letters_of, listening, stage
from tests.support.sweep import sweep
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actor, ExecuteIn
from walnats_anyio._events import CancelResult, Control, Held, encode_control, subject_of
from walnats_anyio._events._control import read_held
from walnats_anyio._link import pub
from walnats_anyio.testing import MemoryServer, NatsServer, mock_clock
from walnats_anyio.types import ConnectedEvents

pytestmark = pytest.mark.anyio

LONG = 120.0

CUTS = int(os.environ.get("WALNATS_TEST_CUTS", "20"))
"""How often the chain of services is cut. With 1,000 it also says how long what ran went on."""


@pytest.fixture
def event() -> Asked:
    return asked()


async def ask(on: Stage, event: Asked, message: int) -> None:
    await on.events.request(event, message, timeout=None)


async def leave(tasks: TaskGroup, on: Stage, event: Asked, slow: Slow) -> None:
    """Ask, and leave as soon as the handler runs."""
    async with anyio.create_task_group() as asking:
        asking.start_soon(ask, on, event, 7)
        await until(lambda: slow.running == 1)
        asking.cancel_scope.cancel()


# Deadlines


async def test_the_handler_has_the_deadline_of_its_caller(url: str, event: Asked) -> None:
    left: list[float] = []

    async def note(message: int) -> str:
        left.append(anyio.current_effective_deadline() - anyio.current_time())
        return ""

    async with answering(url, event, note, job_timeout=600) as on:
        await on.events.request(event, 1, timeout=100)
        with anyio.fail_after(200):
            await on.events.request(event, 2, timeout=300)
        with anyio.fail_after(LONG):
            await on.events.request(event, 3, timeout=None)
        await on.events.request(event, 4, timeout=None)
        await on.events.request(event, 5, timeout=10_000)
    for most, found in zip((100, 200, LONG, 600, 600), left, strict=True):
        assert most - 30 < found <= most + 0.1


async def test_a_request_of_a_handler_passes_on_what_is_left(url: str, event: Asked) -> None:
    inner = asked()
    left: list[float] = []

    async def note(message: int) -> str:
        left.append(anyio.current_effective_deadline() - anyio.current_time())
        return "done"

    async with answering(url, inner, note, job_timeout=600) as second:

        async def pass_on(message: int) -> str:
            return await second.events.request(inner, message, timeout=None)

        async with answering(url, event, pass_on, job_timeout=600) as on:
            assert await on.events.request(event, 1, timeout=100) == "done"
    assert 70 < left[0] <= 100.1


@pytest.mark.parametrize("place", [ExecuteIn.MAIN, ExecuteIn.THREAD])
async def test_a_handler_ends_when_the_time_of_its_caller_is_over(
    url: str, event: Asked, place: ExecuteIn
) -> None:
    slow = Slow()
    released = anyio.Event()

    def in_thread(message: int) -> str:
        anyio.from_thread.run(released.wait)
        return ""

    handler: Any = slow if place is ExecuteIn.MAIN else in_thread
    async with answering(url, event, handler, execute_in=place) as on:
        with pytest.raises(TimeoutError):
            await on.events.request(event, 7, timeout=0.2)
        await until(lambda: handled(on).cancelled == 1)
        # It was no attempt, and no failure; and it does not come again.
        assert (handled(on).failed, handled(on).handed_back) == (0, 0)
        await on.until_done(Actor("price", event, handler, execute_in=place))
        released.set()
    assert await letters_of(url, event) == []


async def test_a_request_that_is_past_its_time_is_not_run(url: str, event: Asked) -> None:
    slow = Slow()
    actor = Actor("price", event, slow)
    async with stage(url, actor) as on:
        with pytest.raises(TimeoutError):
            await on.events.request(event, 7, timeout=0.05)
        async with listening(on.actors):
            await on.until_done(actor)
            await until(lambda: handled(on).cancelled == 1)
    assert slow.started == []
    assert await letters_of(url, event) == []


async def test_the_time_of_the_server_counts_and_no_other_clock(
    url: str, event: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wall clock of the worker is an hour ahead."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)

    async def answer(message: int) -> str:
        return str(anyio.current_effective_deadline() - anyio.current_time())

    async with answering(url, event, answer, job_timeout=600) as on:
        left = await on.events.request(event, 7, timeout=LONG)
    assert LONG - 30 < float(left) <= LONG + 0.1


# Leaving


async def test_a_caller_that_leaves_cancels_the_handler(url: str, event: Asked) -> None:
    slow = Slow()
    async with answering(url, event, slow) as on:
        async with anyio.create_task_group() as tasks:
            await leave(tasks, on, event, slow)
        await until(lambda: handled(on).cancelled == 1)
        assert (handled(on).failed, handled(on).handed_back, handled(on).retried) == (0, 0, 0)
        await on.until_done(Actor("price", event, slow))
    assert slow.started == slow.cancelled == [7]
    assert await letters_of(url, event) == []


async def test_the_clean_up_of_a_cancelled_handler_is_awaited(url: str, event: Asked) -> None:
    cleaning, cleaned = anyio.Event(), anyio.Event()
    slow = Slow()

    async def clean_up(message: int) -> str:
        try:
            return await slow(message)
        finally:
            with anyio.CancelScope(shield=True):
                cleaning.set()
                await cleaned.wait()

    actor = Actor("price", event, clean_up)
    async with answering(url, event, clean_up) as on:
        async with anyio.create_task_group() as tasks:
            await leave(tasks, on, event, slow)
        await cleaning.wait()
        assert (await on.consumer(actor)).taken == 1
        cleaned.set()
        await on.until_done(actor)


async def test_a_handler_that_swallows_the_first_cancellation(url: str, event: Asked) -> None:
    slow = Slow()
    swallowed = 0

    async def swallow(message: int) -> str:
        nonlocal swallowed
        for _ in range(3):
            try:
                await slow(message)
            except anyio.get_cancelled_exc_class():
                swallowed += 1
        await anyio.sleep_forever()
        return ""

    async with answering(url, event, swallow) as on:
        async with anyio.create_task_group() as tasks:
            await leave(tasks, on, event, slow)
        await until(lambda: handled(on).cancelled == 1)
    assert swallowed == 3


async def test_a_clean_up_that_fails_is_no_attempt(url: str, event: Asked) -> None:
    slow = Slow()

    async def fail(message: int) -> str:
        try:
            return await slow(message)
        finally:
            raise ValueError("cannot clean up")

    async with answering(url, event, fail) as on:
        async with anyio.create_task_group() as tasks:
            await leave(tasks, on, event, slow)
        await until(lambda: handled(on).cancelled == 1)
        assert handled(on).failed == 0
        await on.until_done(Actor("price", event, fail))


async def test_a_clean_up_that_fails_at_the_deadline_is_no_attempt(url: str, event: Asked) -> None:
    """Nobody is there any more who would cancel it: its own deadline does."""
    slow = Slow()

    async def fail(message: int) -> str:
        try:
            return await slow(message)
        finally:
            raise ValueError("cannot clean up")

    async with answering(url, event, fail, max_attempts=1) as on:
        headers = b"NATS/1.0\r\nWalnats-Reply: _INBOX.of-the-test\r\nWalnats-Timeout: 0.3\r\n\r\n"
        on.link.post(pub(event.subject_name, b"7", b"", headers))
        await until(lambda: slow.started == [7])
        await on.until_done(Actor("price", event, fail))
        await until(lambda: handled(on).cancelled == 1)
        assert (handled(on).failed, handled(on).dead_lettered) == (0, 0)


async def test_what_waits_for_a_worker_is_not_run(url: str, event: Asked) -> None:
    slow = Slow()
    async with answering(url, event, slow, max_jobs=1, ack_wait=2) as on:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, on, event, 1)
            await until(lambda: slow.running == 1)
            async with anyio.create_task_group() as asking:
                for message in (2, 3):
                    asking.start_soon(ask, on, event, message)
                await on.until_left(Actor("price", event, slow), 3)
                asking.cancel_scope.cancel()
            tasks.cancel_scope.cancel()
        await on.until_done(Actor("price", event, slow))
        await until(lambda: handled(on).cancelled == 3)
    assert slow.started == [1]


async def test_a_caller_that_leaves_before_its_event_came(url: str, event: Asked) -> None:
    """The cancellation overtakes the event, or nobody has asked for that yet."""
    slow = Slow()
    async with answering(url, event, slow) as on:
        for number in range(10):
            async with anyio.create_task_group() as asking:
                asking.start_soon(ask, on, event, number)
                await until(lambda: len(on.events._requests) == 1)
                asking.cancel_scope.cancel()
        await on.events.flush()
        await until(lambda: slow.running == 0)
        await on.until_done(Actor("price", event, slow))
    assert handled(on).cancelled == 10


async def test_a_cancellation_that_overtakes_its_request(url: str, event: Asked) -> None:
    slow = Slow()
    async with answering(url, event, slow) as on:
        inbox = "_INBOX.of-the-test"
        subject = subject_of(event.stream_name, on.link.prefixes)
        headers = f"NATS/1.0\r\nWalnats-Reply: {inbox}\r\nWalnats-Timeout: none\r\n\r\n"
        on.link.post(pub(subject, encode_control(Control(reply=inbox))))
        await on.link.flush()
        on.link.post(pub(event.subject_name, b"7", b"", headers.encode()))
        await until(lambda: handled(on).cancelled == 1)
    assert slow.started == []


async def test_whatever_it_leaves_behind_a_request_forgets(url: str, event: Asked) -> None:
    slow = Slow()
    async with answering(url, event, slow) as on:
        with anyio.move_on_after(0.1):
            await on.events.request(event, 7, timeout=None)
        assert len(on.events._requests) == 0
        await on.events.flush()
        assert on.events.statistics().outstanding == 0


# Messages of others


async def test_who_may_publish_there_may_cancel(url: str, event: Asked) -> None:
    slow = Slow()
    async with answering(url, event, slow) as on:
        prefixes = on.link.prefixes
        subject = subject_of(event.stream_name, prefixes)
        await on.events.emit(event, 1, uid="one", sync=True)
        await on.events.emit(event, 2, uid="two", sync=True)
        await until(lambda: slow.running == 2)
        for unknown in (
            Control(sequence=1, actor="another"),
            Control(sequence=99),
            Control(uid="three"),
            Control(reply="_INBOX.x"),
        ):
            on.link.post(pub(subject, encode_control(unknown)))
        on.link.post(pub(subject_of("another", prefixes), b'{"sequence": 1}'))
        said = await on.overhear("told")
        on.link.post(pub(subject, b'{"sequence": 1, "actor": "price"}', b"told"))
        await until(lambda: len(said) == 2)
        assert slow.cancelled == [1]
        first, second = map(read_held, said)
        assert first is not None
        assert first == Held("price", "running", 1, False, first.process, place=first.place)
        assert first.place.startswith("1-")
        assert second == msgspec.structs.replace(first, settled=True, over=True)
        assert await on.events.cancel("two") is CancelResult.RUNNING
        assert slow.cancelled == [1, 2]
        assert await on.events.cancel("two") is CancelResult.NOT_FOUND
        assert handled(on).cancelled == 2


async def test_a_caller_that_has_lost_its_answer_gets_it_again(url: str, event: Asked) -> None:
    async def answer(message: int) -> str:
        return f"answer {message}"

    async with answering(url, event, answer) as on:
        inbox = "_INBOX.of-the-test"
        said = await on.overhear(inbox)
        headers = f"NATS/1.0\r\nWalnats-Reply: {inbox}\r\nWalnats-Timeout: none\r\n\r\n"
        on.link.post(pub(event.subject_name, b"7", b"", headers.encode()))
        await until(lambda: said == [b'"answer 7"'])
        again = encode_control(Control(what="answer", reply=inbox))
        on.link.post(pub(subject_of(event.stream_name, on.link.prefixes), again))
        await until(lambda: said == [b'"answer 7"'] * 2)


async def test_a_connection_that_is_lost_in_between(nats_server: NatsServer) -> None:
    event = walnats.Event("asked", int).with_response(str)
    gate, waiting = anyio.Event(), 0
    got: list[str] = []

    async def answer(message: int) -> str:
        nonlocal waiting
        waiting += 1
        await gate.wait()
        return f"answer {message}"

    async with answering(nats_server.url, event, answer) as on:

        async def get(message: int) -> None:
            got.append(await on.events.request(event, message, timeout=LONG))

        async with anyio.create_task_group() as tasks:
            for message in range(10):
                tasks.start_soon(get, message)
            await until(lambda: waiting == 10)
            await nats_server.restart()
            gate.set()
        await on.until_done(Actor("price", event, answer))
    assert sorted(got) == [f"answer {message}" for message in range(10)]


async def test_whenever_a_request_is_cancelled_nothing_is_left(url: str, event: Asked) -> None:
    slow = Slow()
    async with answering(url, event, slow) as on:

        async def check() -> None:
            assert len(on.events._requests) == 0
            await on.events.flush()
            await until(lambda: slow.running == 0)

        async def scenario() -> None:
            with anyio.move_on_after(0.3):
                await on.events.request(event, 7, timeout=None)

        assert await sweep(scenario, check, bounded_by=DEADLINE) > 1
        await on.until_done(Actor("price", event, slow))
    assert len(slow.started) == len(slow.cancelled)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_requests_on_a_server_in_memory_under_a_mock_clock(backend: str) -> None:
    event, slow = asked(), Slow()

    async def answer(message: int) -> str:
        await anyio.sleep(1000)
        return f"answer {message}"

    async def main() -> None:
        async with MemoryServer() as server:
            async with answering(server.url, event, answer, job_timeout=2000) as on:
                began = anyio.current_time()
                assert await on.events.request(event, 7, timeout=1500) == "answer 7"
                with pytest.raises(TimeoutError):
                    await on.events.request(event, 7, timeout=900)
                assert 1900 <= anyio.current_time() - began < 1901
                await until(lambda: handled(on).cancelled == 1)
            other = asked()
            async with answering(server.url, other, slow) as on:
                with anyio.move_on_after(5):
                    await on.events.request(other, 7, timeout=None)
                await until(lambda: handled(on).cancelled == 1)

    anyio.run(main, backend=backend, backend_options=mock_clock(backend))
    assert slow.cancelled == [7]


# A chain of services


class Chain:
    """Three services, each asking the next one."""

    def __init__(self) -> None:
        self.events = [asked() for _ in range(3)]
        self.running = [0, 0, 0]
        self.emitting: list[ConnectedEvents] = []
        self.stages: list[Stage] = []
        self.actors: list[Actor[int, Any]] = []

    async def handle(self, number: int, message: int) -> str:
        self.running[number] += 1
        try:
            if number == 2:
                await anyio.sleep_forever() if message else await anyio.lowlevel.checkpoint()
                return "done"
            following = self.events[number + 1]
            return await self.emitting[number].request(following, message, timeout=None)
        finally:
            self.running[number] -= 1


@asynccontextmanager
async def chain(url: str) -> AsyncIterator[Chain]:
    links = Chain()
    async with AsyncExitStack() as stack:
        for number, event in enumerate(links.events):

            async def handle(message: int, number: int = number) -> str:
                return await links.handle(number, message)

            actor: Actor[int, Any] = Actor(f"service-{number}", event, handle, job_timeout=600)
            on = await stack.enter_async_context(stage(url, actor))
            await stack.enter_async_context(listening(on.actors))
            links.stages.append(on)
            links.actors.append(actor)
            if number:
                links.emitting.append(on.events)
        yield links


async def test_a_chain_of_services_is_cut_at_any_moment(url: str) -> None:
    chance = random.Random(5)
    took: list[float] = []
    async with chain(url) as links:
        first = links.stages[0].events
        assert await first.request(links.events[0], 0, timeout=LONG) == "done"
        for number in range(CUTS):
            with anyio.move_on_after(chance.uniform(0, 0.02)):
                await first.request(links.events[0], number + 1, timeout=None)
            cut = time.monotonic()
            await first.flush()
            await until(lambda: not any(links.running))
            took.append(time.monotonic() - cut)
        for on, actor in zip(links.stages, links.actors, strict=True):
            await on.until_done(actor)
        assert links.running == [0, 0, 0]
    if CUTS > 100:
        took.sort()
        print(f"median {took[len(took) // 2]:.4f} s, p99 {took[len(took) * 99 // 100]:.4f} s, "
              f"most {took[-1]:.4f} s")  # fmt: skip
        assert took[-1] < 0.1
