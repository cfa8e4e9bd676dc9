"""Events that are not due at once, from the side of the actor."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors._stage import letters_of, running, stage
from tests.support.recorders import Recorder
from tests.support.servers import server_binary
from tests.support.waiting import until
from walnats_anyio import Actor, Event, current_context
from walnats_anyio._actors.pull._due import seconds_until
from walnats_anyio._events import MAX_DELAY
from walnats_anyio._link import api
from walnats_anyio.testing import JobRun, NatsServer, run_job

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0


class Arrivals:
    """A handler that notes when what came, and as which attempt."""

    def __init__(self) -> None:
        self.times: dict[int, float] = {}
        self.attempts: list[int] = []

    def __call__(self, message: int) -> None:
        self.times[message] = time.time()
        self.attempts.append(current_context().attempts)


async def test_it_is_a_first_delivery(url: str, event: Event[int]) -> None:
    arrivals = Arrivals()
    recorder = Recorder()
    actor = Actor("a", event, arrivals, max_attempts=1, middlewares=(recorder,))
    async with running(url, actor) as on:
        begun = time.time()
        await on.events.emit(event, 1, delay=0.3, uid="u")
        await on.events.emit(event, 2)
        await until(lambda: len(arrivals.times) == 2)
        done = on.actors.statistics().actors[0]
    assert arrivals.times[2] < arrivals.times[1]
    assert arrivals.times[1] >= begun + 0.3
    assert arrivals.attempts == [1, 1]
    assert (done.redelivered, done.handed_back, done.parked) == (0, 0, 0)
    assert recorder.failed == []


async def test_what_a_handler_emits_with_a_delay(url: str, event: Event[int]) -> None:
    later = Event(f"{event.name}-later", int, storage="memory")
    arrivals, failed = Arrivals(), [ValueError()]

    async def handle(message: int) -> None:
        await current_context().emit(later, message, delay=0.2)
        current_context().emit_nowait(later, -message, ttl=60)
        if failed:
            raise failed.pop()

    actors = (Actor("a", event, handle, retry_delay=(0.01,)), Actor("b", later, arrivals))
    async with running(url, *actors) as on:
        await on.emit(1)
        await until(lambda: len(arrivals.times) == 2)
        await on.until_done(*actors)
    assert arrivals.times[1] > arrivals.times[-1]
    assert arrivals.attempts == [1, 1]


async def test_a_time_that_a_handler_cannot_mean(url: str, event: Event[int]) -> None:
    async def handle(message: int) -> None:
        await current_context().emit(event, 2, delay=math.nan)

    actor = Actor("a", event, handle, max_attempts=1)
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    (letter,) = await letters_of(url, event)
    assert "delay must be" in letter.error


async def test_a_job_without_a_server_shows_when_it_would_be_due() -> None:
    event = Event("x", int)

    async def handle(message: int) -> None:
        await current_context().emit(event, 2, delay=60, ttl=5)

    run: JobRun = await run_job(Actor("a", event, handle), 1)
    (emitted,) = run.emitted
    assert 50 < float(emitted.headers["Walnats-Delay"]) - time.time() < 70
    assert emitted.headers["Nats-TTL"] == "65s"


# The header, on any server


def header(due: object) -> dict[str, str]:
    return {"Walnats-Delay": str(due)}


async def test_the_header_of_others_is_respected(url: str, event: Event[int]) -> None:
    arrivals, recorder = Arrivals(), Recorder()
    actor = Actor("a", event, arrivals, max_attempts=1, middlewares=(recorder,))
    async with running(url, actor) as on:
        due = time.time() + 0.4
        await on.events.emit(event, 1, meta=header(due), sync=True)
        await until(lambda: on.actors.statistics().actors[0].parked == 1)
        assert arrivals.times == {}
        await until(lambda: len(arrivals.times) == 1)
        await on.until_done(actor)
        done = on.actors.statistics().actors[0]
    assert arrivals.times[1] >= due - 0.01
    assert arrivals.attempts == [1]
    assert (done.handled, done.failed, done.handed_back, done.parked) == (1, 0, 0, 0)


@pytest.mark.parametrize("late", [None, "nan", "inf", "1e400", "-5", " ", "soon", "9" * 12])
async def test_a_header_that_is_no_time_is_ignored(
    url: str, event: Event[int], late: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    arrivals = Arrivals()
    moment = str(time.time() - 5) if late is None else late
    async with running(url, Actor("a", event, arrivals)) as on:
        for number in range(2):
            block = f"NATS/1.0\r\nWalnats-Delay: {moment}\r\n\r\n".encode()
            await on.link.request(event.subject_name, b"%d" % number, headers=block)
        await until(lambda: len(arrivals.times) == 2)
    assert caplog.text.count("is no time in seconds") == (late is not None)


@given(st.floats(0.01, MAX_DELAY))
def test_seconds_until_a_moment(left: float) -> None:
    found = seconds_until(f"{NOW + left:.6f}", NOW)
    assert found is not None
    assert abs(found - left) < 0.001
    assert seconds_until(f"{NOW - left:.6f}".lstrip("-"), NOW) in (0.0, None) or left > NOW


@given(st.text() | st.floats().map(str) | st.integers().map(str))
def test_no_text_is_waited_for_longer_than_a_hundred_years(text: str) -> None:
    found = seconds_until(text, NOW)
    assert found is None or 0 <= found <= MAX_DELAY


async def test_a_burst_leaves_what_is_not_due(url: str, event: Event[int]) -> None:
    arrivals = Arrivals()
    actor = Actor("a", event, arrivals)
    async with stage(url, actor) as on:
        await on.events.emit(event, 1, meta=header(time.time() + 3600), sync=True)
        await on.emit(2)
        summary = await on.actors.listen(burst=True, poll_delay=0)
    assert (summary.handled, list(arrivals.times)) == (1, [2])


# Older servers


@pytest.fixture
async def old(request: pytest.FixtureRequest) -> AsyncIterator[NatsServer]:
    async with NatsServer(binary=server_binary(request.param)) as server:
        yield server


@pytest.mark.parametrize(
    ("anyio_backend", "old"), [("asyncio", "2.12.8"), ("trio", "2.9")], indirect=["old"]
)
async def test_an_older_server(old: NatsServer) -> None:
    """Actors hold what is delayed, also over a restart of the server and with few places."""
    arrivals, event = Arrivals(), Event("numbers", int)
    actor = Actor("a", event, arrivals, max_attempts=1, max_ack_pending=10, ack_wait=1)
    async with running(old.url, actor) as on:
        begun = time.time()
        await on.events.emit_many(event, range(5), delay=1.5, sync=True)
        await on.events.emit(event, 9, sync=True)
        await until(lambda: on.actors.statistics().actors[0].parked == 5)
        # Each keeps its place at the server until it is due.
        assert (await on.consumer(actor)).taken >= 5
        await old.restart()
        await until(lambda: len(arrivals.times) == 6)
        await on.until_done(actor)
    assert all(arrivals.times[number] >= begun + 1.5 for number in range(5))
    assert arrivals.times[9] < begun + 1.5
    assert arrivals.attempts == [1] * 6


# A hundred thousand


async def test_what_is_delayed_costs_actors_nothing(url: str, event: Event[int]) -> None:
    """`python -m benchmarks` has no such load: see docs/guides/delays.md for 100,000 events."""
    arrivals = Arrivals()
    actor = Actor("a", event, arrivals)
    async with running(url, actor) as on:
        await on.events.emit_many(event, range(500), delay=3600, sync=True)
        await on.emit(-1)
        await until(lambda: len(arrivals.times) == 1)
        consumer = await on.consumer(actor)
        stream = await api(on.link, f"STREAM.INFO.{event.stream_name}")
        await anyio.lowlevel.checkpoint()
        done = on.actors.statistics().actors[0]
    assert (consumer.waiting, consumer.taken) == (0, 0)
    assert stream["state"]["last_seq"] == 1
    assert (done.handled, done.parked, done.redelivered) == (1, 0, 0)
