"""One rate limit over all processes, counted on the server."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic
from typing import Any

import anyio
import pytest
import trio
import trio.testing

from tests.actors._stage import Stage, letters_of, listening, running, stage
from tests.decorators.test_rate_limit import Times
from tests.support.recorders import Handled
from tests.support.servers import DEBIAN, server_binary
from tests.support.sweep import sweep
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actor, Actors, Event, ExecuteIn
from walnats_anyio._link import Link, api
from walnats_anyio.decorators import RateLimit, rate_limit
from walnats_anyio.decorators._counts import CompareAndSet, CounterStream, Counts, Declared
from walnats_anyio.decorators._shared import SharedTurns
from walnats_anyio.decorators._turns import Claim
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

PERIOD = 0.5


@pytest.fixture
def name() -> str:
    """Make the name of a limit of this test alone."""
    return f"limit-{secrets.token_hex(6)}"


async def make_stream_without_counters(link: Link, name: str, max_age: float = 0) -> None:
    """Make the stream as a server before 2.12 has it, which ignores that it should count."""
    config = {
        "name": f"walnats-limit-{name}",
        "subjects": [f"walnats.limit.{name}.*"],
        "max_msgs_per_subject": 1,
        "allow_direct": True,
        "max_age": round(max_age * 1e9),
    }
    await api(link, f"STREAM.CREATE.walnats-limit-{name}", config)


async def counts_of(link: Link, name: str) -> list[int]:
    """How many turns are taken of each window, as the server has it."""
    stream = f"walnats-limit-{name}"
    answer = await api(link, f"STREAM.INFO.{stream}", {"subjects_filter": ">"})
    counts: list[int] = []
    for subject in sorted(answer["state"].get("subjects") or ()):
        message = await link.request(f"$JS.API.DIRECT.GET.{stream}.{subject}")
        data = message.data.decode()
        counts.append(int(data.partition('"val":"')[2].rstrip('"}') or data))
    return counts


class Told:
    """Notes what became of the requests of one process."""

    def __init__(self) -> None:
        self.granted_turns: list[int] = []
        self.used_up = False
        self.failures: list[str] = []

    def granted(self, window: int, turns: int, is_used_up: bool) -> None:
        self.granted_turns.append(turns)
        self.used_up |= is_used_up

    def failed(self, reason: str) -> None:
        self.failures.append(reason)

    def missing(self, reason: str) -> None:
        self.failures.append(reason)

    def has_answered(self, times: int) -> bool:
        return len(self.granted_turns) + len(self.failures) == times


@pytest.mark.parametrize("kind", [CounterStream, CompareAndSet])
async def test_all_together_get_no_more_than_there_are(
    url: str, event: Event[int], name: str, kind: type[Counts]
) -> None:
    """Each asks until there is nothing left, all at once."""
    actor = Actor("a", event, rate_limit(1, 60, shared=name)(Handled()))
    async with stage(url, actor) as on:
        if kind is CompareAndSet:
            await make_stream_without_counters(on.link, name)
        else:
            async with listening(on.actors):  # which makes the stream, and takes a turn
                await on.emit(1)
                await on.until_done(actor)
        told = [Told() for _ in range(5)]
        counts = [kind(on.link, name, 100, each) for each in told]

        async def ask(count: Counts, by: Told) -> None:
            for wanted in range(1, 100):
                if by.used_up:
                    break
                count.request(7, wanted)
                await until(partial(by.has_answered, wanted))

        async with anyio.create_task_group() as tasks:
            for count, by in zip(counts, told, strict=True):
                tasks.start_soon(ask, count, by)
    assert sum(sum(each.granted_turns) for each in told) == 100
    assert [each.failures for each in told] == [[]] * 5


@pytest.mark.parametrize("kind", ["counters", "compare and set"])
async def test_processes_share_it(url: str, event: Event[int], name: str, kind: str) -> None:
    times = Times()

    def actor() -> Actor[int, Any]:
        # A limit of its own, as another process has.
        limit = rate_limit(4, PERIOD, shared=name, max_wait=0.1)
        return Actor("a", event, limit(times.waits), max_attempts=1)

    one, two = actor(), actor()
    async with stage(url, one) as on, Actors(two).connect(url) as conn:
        if kind != "counters":
            await make_stream_without_counters(on.link, name)
        async with listening(on.actors), listening(conn):
            await on.emit(*range(10))
            await on.until_done(one)
        done = [each.statistics().actors[0] for each in (on.actors, conn)]
        counts = await counts_of(on.link, name)
    assert sorted(times.messages) == list(range(10))
    # Of a window no more than four are given; what is asked for beyond that counts as well.
    assert sum(min(count, 4) for count in counts) >= 10
    assert len(counts) >= 3
    if kind != "counters":
        assert max(counts) <= 4
    assert (sum(each.handled for each in done), sum(each.failed for each in done)) == (10, 0)
    assert await letters_of(url, event) == []


async def test_in_a_thread(url: str, event: Event[int], name: str) -> None:
    times = Times()
    limit = rate_limit(3, PERIOD, shared=name)
    actor = Actor("a", event, limit(times.plain), execute_in=ExecuteIn.THREAD)
    async with running(url, actor) as on:
        await on.emit(*range(5))
        await on.until_done(actor)
    assert sorted(times.messages) == list(range(5))


async def test_names_are_those_of_the_namespace(url: str, event: Event[int], name: str) -> None:
    handled = Handled()
    limit = rate_limit(1, 3600, shared=name)
    actor = Actor("a", event, limit(handled))
    seen: list[int] = []
    for namespace in ("north", "south"):
        async with stage(url, actor, namespace=namespace) as on, listening(on.actors):
            await on.emit(1, 2)
            await handled.come(len(seen) + 1)
            await until(lambda: limit.statistics().snoozed >= 1)
        seen = list(handled.messages)
    assert len(seen) == 2


async def declared_by(
    url: str, event: Event[int], limit: RateLimit, message: int
) -> dict[str, Any]:
    """Start one job under a limit, as a process does that begins; gives its stream."""
    handled = Handled()
    actor = Actor("a", event, limit(handled), max_attempts=1)
    async with running(url, actor) as on:
        await on.emit(message)
        await handled.come(1)
        answer = await api(on.link, f"STREAM.INFO.walnats-limit-{limit.shared}")
    config: dict[str, Any] = answer["config"]
    return config


@pytest.mark.parametrize("version", ["new", "old"])
async def test_counts_are_kept_for_a_period_that_has_become_longer(
    url: str, event: Event[int], name: str, version: str, request: pytest.FixtureRequest
) -> None:
    """A count that is gone before its window has ended gives the turns of the window again."""
    at = url if version == "new" else request.getfixturevalue("old_url")
    kept_for: list[float] = []
    for number, period in enumerate([0.5, 3600, 0.5]):
        limit = rate_limit(5, period, shared=name)
        kept_for.append((await declared_by(at, event, limit, number))["max_age"] / 1e9)
    assert kept_for == [61, 7260, 7260]  # others may need it still


async def test_another_declaration_is_warned_of(
    url: str, event: Event[int], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number, limit in enumerate([(9, 3600), (5, 1800), (5, 1800)]):
        stream = await declared_by(url, event, rate_limit(*limit, shared=name), number)
        assert stream["description"].endswith(f"{limit[0]} jobs in {limit[1]} s")
    told = [r.getMessage() for r in caplog.records if r.name == "walnats_anyio.decorators"]
    assert len(told) == 1
    assert f"{name!r}: 5 jobs in 1800 s here, and 9 jobs in 3600 s where another" in told[0]


async def test_a_process_that_goes_on_is_told_of_another_declaration(
    url: str, event: Event[int], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It looks at the stream once a minute, and leaves it as the newer one wants it."""
    async with stage(url, Actor("a", event, Handled())) as on:
        one = SharedTurns(on.link, Declared(name, 9, 3600, 1))
        await one.take(Claim(0.0, patience=30))
        await declared_by(url, event, rate_limit(5, 3600, shared=name), 1)
        caplog.clear()
        for _ in range(2):
            one._windows.time.keep(anyio.current_time() - 60, monotonic() - 60)
            await one.take(Claim(1.0, patience=30))
        stream = await api(on.link, f"STREAM.INFO.walnats-limit-{name}")
    told = [r.getMessage() for r in caplog.records if r.name == "walnats_anyio.decorators"]
    assert len(told) == 1
    assert "9 jobs in 3600 s here, and 5 jobs in 3600 s where another" in told[0]
    assert stream["config"]["description"].endswith("5 jobs in 3600 s")


@pytest.mark.parametrize("taken", ["walnats.limit.sms", "walnats.limit-sms", "walnats-limit-sms"])
def test_no_event_has_the_place_of_its_counts(taken: str) -> None:
    with pytest.raises(ValueError, match="which this library keeps for itself"):
        Event(taken, int)


async def test_cancelled_anywhere_the_next_job_has_its_turn(
    url: str, event: Event[int], name: str
) -> None:
    """From the look at the stream, which is not there at first, to the turn."""
    async with stage(url, Actor("a", event, Handled())) as on:
        shared: SharedTurns
        moments = itertools.count()

        async def scenario() -> None:
            nonlocal shared
            shared = SharedTurns(on.link, Declared(f"{name}-{next(moments)}", 5, 3600, 1))
            await shared.take(Claim(0.0, key="first", patience=30))

        async def check() -> None:
            assert len(shared.turns.line.all) == 0
            with anyio.fail_after(DEADLINE):
                for number in range(4):
                    await shared.take(Claim(1.0, key=number, patience=30))

        assert await sweep(scenario, check, bounded_by=5) >= 3


async def test_it_needs_a_job(name: str) -> None:
    with pytest.raises(RuntimeError, match="no job of an actor runs here"):
        await rate_limit(1, 60, shared=name)(Handled())(1)


# what can go wrong

DENIED = {
    "may not look": "$JS.API.STREAM.INFO.walnats-limit-x",
    "may not create": "$JS.API.STREAM.CREATE.walnats-limit-x",
    "may not count": "walnats.limit.x.*",
}


@asynccontextmanager
async def restricted(
    event: Event[int], limit: RateLimit, denied: str
) -> AsyncIterator[tuple[Stage, Handled]]:
    """Listen as a user who may do everything but this; the stage is an administrator's."""
    handled = Handled()
    actor = Actor("a", event, limit(handled), max_attempts=1)
    allowed = {"publish": {"deny": [denied]}, "subscribe": [">"]}
    users = [
        {"user": "admin", "password": "a"},
        {"user": "worker", "password": "w", "permissions": allowed},
    ]
    async with (
        NatsServer(config={"authorization": {"users": users}}) as server,
        stage(server.url, actor, user="admin", password="a") as on,
        Actors(actor).connect(server.url, user="worker", password="w") as conn,
        listening(conn),
    ):
        yield on, handled


@pytest.mark.parametrize("case", DENIED)
async def test_who_may_not_count_starts_nothing_and_loses_nothing(
    event: Event[int], case: str, caplog: pytest.LogCaptureFixture
) -> None:
    limit = rate_limit(1, 60, shared="x")
    async with restricted(event, limit, DENIED[case]) as (on, handled):
        await on.emit(1, 2, 3)
        await until(lambda: limit.statistics().snoozed == 3)
        assert handled.messages == []
        info = await api(on.link, f"CONSUMER.INFO.{event.stream_name}.a")
        assert info["num_ack_pending"] == 3
    errors = [r for r in caplog.records if r.name == "walnats_anyio.decorators"]
    assert [record.levelno for record in errors] == [logging.ERROR]
    assert "rate limit 'x': its turns cannot be counted" in errors[0].getMessage()
    assert "this user may not publish to" in errors[0].getMessage()


async def test_who_may_not_have_the_counts_kept_starts_nothing(
    event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    limit = rate_limit(1, 3600, shared="x")
    async with restricted(event, limit, "$JS.API.STREAM.UPDATE.walnats-limit-x") as (on, handled):
        await make_stream_without_counters(on.link, "x", max_age=62)
        await on.emit(1)
        await until(lambda: limit.statistics().snoozed == 1)
        assert handled.messages == []
    (error,) = [r for r in caplog.records if r.name == "walnats_anyio.decorators"]
    assert "keeps the counts for 62 s, and a period of 3600 s needs 7260 s" in error.getMessage()


async def test_a_stream_that_is_deleted_is_made_anew(
    url: str, event: Event[int], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    times = Times()
    limit = rate_limit(2, 3600, shared=name)
    actor = Actor("a", event, limit(times.waits), max_attempts=1)
    async with stage(url, actor) as on, listening(on.actors):
        await on.emit(1)
        await until(lambda: len(times.messages) == 1)
        await api(on.link, f"STREAM.DELETE.walnats-limit-{name}")
        await on.emit(2)
        await until(lambda: len(times.messages) == 2)
        assert await counts_of(on.link, name) == [1]
    assert await letters_of(url, event) == []
    assert [r for r in caplog.records if r.name == "walnats_anyio.decorators"] == []


async def test_turns_are_not_given_again_when_the_server_restarts(event: Event[int]) -> None:
    times = Times()
    kept = Event(event.name, int)
    limit = rate_limit(2, 3600, shared="x")
    actor = Actor("a", kept, limit(times.waits), max_attempts=1)
    async with NatsServer() as server, running(server.url, actor) as on:
        await on.emit(1)
        await until(lambda: len(times.messages) == 1)
        await server.restart()
        await on.emit(2, 3)
        await until(lambda: len(times.messages) == 2)
        await until(lambda: limit.statistics().snoozed == 1)
        assert (await counts_of(on.link, "x"))[0] >= 2
        assert on.actors.statistics().actors[0].failed == 0


async def test_the_answers_of_strangers_do_not_count(
    url: str, event: Event[int], name: str
) -> None:
    """There is no stream here, and the last answer is what it would say."""
    wrong = (b"", b"7", b'{"stream":"other","val":"100"}', b'{"val":"100"}', b"\xff{")
    right = b'{"stream":"walnats-limit-%b","seq":1,"val":"1"}' % name.encode()
    async with stage(url, Actor("a", event, Handled())) as on:

        def answer(message: Any) -> None:
            for data in (*wrong, right):
                on.link.post(b"PUB %b %d\r\n%b\r\n" % (message.reply, len(data), data))

        on.link.subscribe_to(f"walnats.limit.{name}.*", answer)
        told = Told()
        CounterStream(on.link, name, 100, told).request(7, 1)
        await until(partial(told.has_answered, 1))
    assert (told.granted_turns, told.used_up, told.failures) == ([1], False, [])


def test_windows_go_on_with_a_mock_clock(url: str, event: Event[int], name: str) -> None:
    """A window is but the name of a count, so an hour need not take an hour."""
    times: list[float] = []
    limit = rate_limit(1, period=3600, shared=name, max_wait=10_000)

    @limit
    async def handle(message: int) -> None:
        times.append(trio.current_time())

    actor = Actor("a", event, handle, job_timeout=100_000, ack_wait=100_000)
    clock = trio.testing.MockClock()

    async def until_real(condition: Callable[[], bool]) -> None:
        give_up_at = monotonic() + 30
        while not condition() and monotonic() < give_up_at:
            clock.jump(0.01)
            await trio.to_thread.run_sync(lambda: anyio.run(anyio.sleep, 0.005))
        assert condition()

    async def main() -> None:
        async with running(url, actor) as on:
            await on.emit(1, 2)
            await until_real(lambda: limit.statistics().waiting == 1 and len(times) == 1)
            clock.jump(3600)
            await until_real(lambda: len(times) == 2)

    trio.run(main, clock=clock)


# An older server, which has no streams that count


@pytest.fixture
def old_url() -> Iterator[str]:
    with NatsServer(binary=server_binary(DEBIAN)) as server:
        yield server.url


async def test_on_an_older_server(old_url: str, event: Event[int]) -> None:
    times = Times()
    limit = rate_limit(4, 1.0, shared="x", max_wait=0.1)
    actor = Actor("a", event, limit(times.waits), max_attempts=1)
    async with running(old_url, actor) as on:
        await on.emit(*range(10))
        await on.until_done(actor)
        counts = await counts_of(on.link, "x")
    assert sorted(times.messages) == list(range(10))
    assert max(counts) <= 4
    assert sum(counts) >= 10
