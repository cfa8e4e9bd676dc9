"""Retries that wait as copies in the server, and take no place in `max_ack_pending`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import anyio
import pytest

from tests.actors._stage import Stage, letters_of, listening, running, stage
from tests.support.recorders import Handled, Recorder
from tests.support.servers import NEWEST_WITHOUT_SCHEDULES, server_binary
from tests.support.sweep import cancelled_at
from tests.support.waiting import until
from walnats_anyio import Actor, Actors, Event, Limits, Retry, Snooze, current_context
from walnats_anyio._actors.settle import Conclusion, Delivery, JobResult, Outcome, _conclusion
from walnats_anyio._actors.settle._postponing import Postponing
from walnats_anyio._link import ServerError, api, parse_headers
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ActorStatistics, Context

pytestmark = pytest.mark.anyio

LONG = 0.15
"""Seconds from which on a retry is postponed in these tests."""

MOMENTS = 8
"""Checkpoints at which a retry is cancelled while it is postponed; there are fewer."""


@pytest.fixture
def server_url(shared_server: NatsServer) -> str:
    return shared_server.url


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Postpone what otherwise waits as a nak: nobody likes to wait for five seconds."""
    monkeypatch.setattr(_conclusion, "LONG_DELAY", LONG)


def of(on: Stage, number: int = 0) -> ActorStatistics:
    return on.actors.statistics().actors[number]


class Attempts:
    """Fails so many attempts of each message in the same way, and notes what each is told."""

    def __init__(self, error: Callable[[], Exception], failures: int = 1) -> None:
        self.seen: list[Context] = []
        self._error = error
        self._left = failures

    async def __call__(self, _: object) -> None:
        self.seen.append(current_context())
        if self._left:
            self._left -= 1
            raise self._error()

    async def come(self, count: int) -> None:
        await until(lambda: len(self.seen) >= count)


async def schedules_of(on: Stage, event: Event[Any]) -> dict[str, int]:
    """The subjects of the copies of an event that wait."""
    subject = f"walnats.schedules.retry.{event.stream_name}.>"
    answer = await api(on.link, "STREAM.INFO.walnats-schedules", {"subjects_filter": subject})
    subjects: dict[str, int] = answer["state"].get("subjects") or {}
    return subjects


async def test_an_outage_of_one_dependency(server_url: str, event: Event[int]) -> None:
    """100 events that fail for half a minute do not stop an actor that may hold 20."""
    handled = Handled()

    async def handle(message: int) -> None:
        if message < 100:
            raise OSError("the payment service is down")
        await handled(message)

    actor = Actor("a", event, handle, max_ack_pending=20, retry_delay=(30,))
    async with running(server_url, actor) as on:
        await on.emit(*range(100))
        await until(lambda: of(on).failed == 100)
        assert (of(on).postponed, of(on).parked) == (100, 0)
        await on.emit(100)
        await handled.come(1)
        assert (await on.consumer(actor)).left == 0
        assert len(await schedules_of(on, event)) == 100


async def test_short_delays_in_a_crowd(server_url: str, event: Event[int]) -> None:
    """What waits for a second is given back, up to half of the places; the rest are copies."""
    handled = Handled()

    async def handle(message: int) -> None:
        if message < 40 and current_context().attempts == 1:
            raise Retry(2.0)
        await handled(message)

    actor = Actor("a", event, handle, max_ack_pending=20)
    async with running(server_url, actor) as on:
        await on.emit(*range(41))
        await handled.come(1)
        assert handled.messages == [40]
        await until(lambda: of(on).failed == 40)
        assert of(on).parked <= 10
        assert of(on).postponed >= 20
        await handled.come(41)
        assert sorted(handled.messages) == list(range(41))


async def test_the_places_of_jobs_are_for_jobs(server_url: str, event: Event[int]) -> None:
    """With `max_jobs_total` what waits for a second is a copy already."""
    attempts = Attempts(lambda: Retry(1.0))
    actor = Actor("a", event, attempts, max_jobs_total=1)
    async with running(server_url, actor) as on:
        await on.emit(1, 2)
        await attempts.come(3)
        assert (of(on).failed, of(on).postponed) == (1, 1)
    assert [context.message for context in attempts.seen] == [1, 2, 1]


async def test_one_place_keeps_the_order(server_url: str, event: Event[int], short: None) -> None:
    """With `max_ack_pending=1` nothing overtakes an event that waits."""
    handled = Handled()

    async def handle(message: int) -> None:
        if current_context().attempts == 1:
            raise Retry(LONG)
        await handled(message)

    actor = Actor("a", event, handle, max_ack_pending=1)
    async with running(server_url, actor) as on:
        await on.emit(1, 2, 3)
        await handled.come(3)
        assert of(on).postponed == 0
    assert handled.messages == [1, 2, 3]


@pytest.mark.parametrize("error", [lambda: OSError("down"), lambda: Retry(LONG)])
async def test_what_a_job_is_told(
    server_url: str, event: Event[int], short: None, error: Callable[[], Exception]
) -> None:
    """In all attempts it is the event that was emitted."""
    attempts, recorder = Attempts(error, failures=3), Recorder()
    actor = Actor(
        "a", event, attempts, max_attempts=3, retry_delay=(LONG,), middlewares=(recorder,)
    )
    meta = {"X-Team": "blue", "Walnats-Kept-Nats-X": "theirs"}
    async with running(server_url, actor) as on:
        await on.events.emit(event, 7, uid="u7", trace_id="t7", meta=meta, sync=True)
        await until(lambda: of(on).dead_lettered == 1)
        assert (of(on).failed, of(on).postponed) == (2, 2)
        assert (of(on).redelivered, of(on).retried) == (2, 2)
        await on.until_done(actor)
        assert await schedules_of(on, event) == {}
    assert [context.attempts for context in attempts.seen] == [1, 2, 3]
    assert [context.metadata.num_delivered for context in attempts.seen] == [1, 2, 3]
    assert {context.message for context in attempts.seen} == {7}
    assert len({context.idempotency_key for context in attempts.seen}) == 1
    first = attempts.seen[0]
    assert all(context.headers == first.headers for context in attempts.seen)
    assert all(context.trace_id == "t7" for context in attempts.seen)
    assert all(context.seq_number == 1 for context in attempts.seen)
    assert all(pause >= LONG - 0.02 for pause in recorder.pauses)
    (letter,) = await letters_of(server_url, event)
    assert (letter.attempts, letter.seq_number) == (3, 1)
    assert letter.emitted_at == first.metadata.timestamp
    assert letter.headers == first.headers == {"Nats-Msg-Id": "u7", "Walnats-Trace": "t7", **meta}


async def test_a_copy_that_is_given_back(server_url: str, event: Event[int], short: None) -> None:
    """Its attempts go on from those before it was copied, whichever way it comes again."""
    errors = iter([Retry(LONG), Retry(0), Retry(LONG), Retry(0.01), Retry(LONG)])
    attempts = Attempts(lambda: next(errors), failures=5)
    actor = Actor("a", event, attempts, max_attempts=6)
    async with running(server_url, actor) as on:
        await on.emit(1)
        await until(lambda: of(on).handled == 1)
        assert (of(on).failed, of(on).postponed) == (5, 3)
    assert [context.attempts for context in attempts.seen] == [1, 2, 3, 4, 5, 6]
    assert [context.metadata.num_delivered for context in attempts.seen] == [1, 2, 3, 4, 5, 6]
    assert len({context.idempotency_key for context in attempts.seen}) == 1


async def test_a_copy_that_a_stop_gives_back(
    server_url: str, event: Event[int], short: None
) -> None:
    started: list[int] = []

    async def handle(_: int) -> None:
        started.append(current_context().attempts)
        if len(started) == 1:
            raise Retry(LONG)
        if len(started) == 2:
            await anyio.sleep_forever()

    actor = Actor("a", event, handle, max_attempts=2)
    async with stage(server_url, actor) as on:
        await on.emit(1)
        async with listening(on.actors) as tasks:
            await until(lambda: len(started) == 2)
            tasks.cancel_scope.cancel()
        async with listening(on.actors):
            await until(lambda: len(started) == 3)
            await on.until_done(actor)
    assert started == [1, 2, 2]


async def test_a_snooze_is_no_attempt(server_url: str, event: Event[int], short: None) -> None:
    attempts = Attempts(lambda: Snooze(LONG), failures=3)
    actor = Actor("a", event, attempts, max_attempts=1)
    async with running(server_url, actor) as on:
        await on.emit(1)
        await until(lambda: of(on).handled == 1)
        assert (of(on).failed, of(on).handed_back, of(on).postponed) == (0, 3, 3)
    assert [context.attempts for context in attempts.seen] == [1, 1, 1, 1]


async def test_other_actors_never_see_a_copy(
    server_url: str, event: Event[int], short: None
) -> None:
    attempts, others = Attempts(lambda: Retry(LONG)), Handled()
    actors = [Actor("a", event, attempts), Actor("b", event, others), Actor("c", event, others)]
    async with running(server_url, *actors) as on:
        await on.emit(1)
        await attempts.come(2)
        await on.until_done(*actors)
    assert others.messages == [1, 1]


async def make_consumer(on: Stage, event: Event[Any], name: str, **config: Any) -> None:
    """A consumer that another program has made."""
    config = {"durable_name": name, "ack_policy": "explicit", **config}
    body = {"stream_name": event.stream_name, "config": config}
    await api(on.link, f"CONSUMER.CREATE.{event.stream_name}.{name}", body)


async def test_no_copies_where_somebody_else_would_handle_them(
    server_url: str, event: Event[int], short: None, caplog: pytest.LogCaptureFixture
) -> None:
    """An actor of walnats 1.2 takes a copy for an event of its own."""
    caplog.set_level(logging.INFO)
    attempts = Attempts(lambda: Retry(LONG), failures=2)
    actor = Actor("a", event, attempts)
    async with running(server_url, actor) as on:
        await make_consumer(on, event, "theirs", metadata={"team": "blue"})
        await on.emit(1)
        await attempts.come(3)
        assert (of(on).failed, of(on).postponed) == (2, 0)
    (said,) = [each for each in caplog.messages if "keep their places" in each]
    assert "consumer 'theirs'" in said


async def test_more_consumers_than_fit_into_one_answer(
    server_url: str, event: Event[int], short: None
) -> None:
    """The one without a mark is the last."""
    attempts = Attempts(lambda: Retry(LONG))
    actor = Actor("a", event, attempts)
    async with running(server_url, actor) as on:
        async with anyio.create_task_group() as tasks:
            for number in range(257):
                mark = {"walnats-anyio.knows-actor": "1"} if number < 256 else {}
                config: dict[str, Any] = {"metadata": mark, "mem_storage": True}
                tasks.start_soon(partial(make_consumer, **config), on, event, f"z{number:03}")
        await on.emit(1)
        await attempts.come(2)
        assert of(on).postponed == 0


async def test_an_older_server(event: Event[int], short: None) -> None:
    """Schedules of 2.12 and 2.13 lose what streams take from them."""
    attempts = Attempts(lambda: Retry(LONG))
    actor = Actor("a", event, attempts)
    async with (
        NatsServer(binary=server_binary(NEWEST_WITHOUT_SCHEDULES)) as server,
        running(server.url, actor) as on,
    ):
        await on.emit(1)
        await attempts.come(2)
        await on.until_done(actor)
        assert (of(on).failed, of(on).postponed) == (1, 0)


async def test_a_burst_ends_without_what_is_due_later(
    server_url: str, event: Event[int], short: None
) -> None:
    attempts = Attempts(lambda: Retry(LONG))
    actor = Actor("a", event, attempts)
    async with stage(server_url, actor) as on:
        await on.emit(1)
        summary = await on.actors.listen(burst=True, poll_delay=0)
        assert (summary.failed, summary.postponed, summary.handled) == (1, 1, 0)
        # As any event that failed in a burst, it waits for a second.
        assert len(await schedules_of(on, event)) == 1
        summary = await on.actors.listen(burst=True, poll_delay=10)
        assert (summary.postponed, summary.handled) == (0, 1)
    assert [context.attempts for context in attempts.seen] == [1, 2]


async def test_what_is_too_large_for_a_copy(server_url: str, short: None) -> None:
    """In the stream of the event it would keep all other copies from coming."""
    event = Event("large.one", str, limits=Limits(message_size=1500), storage="memory")
    attempts = Attempts(lambda: Retry(LONG), failures=2)
    actor = Actor("a", event, attempts)
    async with running(server_url, actor) as on:
        await on.emit("x" * 1400, "small")
        await attempts.come(4)
        assert (of(on).failed, of(on).postponed) == (2, 1)


@pytest.mark.parametrize(
    ("anyio_backend", "changes"),
    [("asyncio", {"sealed": True}), ("trio", {"max_bytes": 500, "discard": "new"})],
)
async def test_a_stream_that_takes_no_copies(
    server_url: str, event: Event[int], short: None, changes: dict[str, Any]
) -> None:
    """It was changed by others. The event waits for its retry in its own place."""
    attempts = Attempts(lambda: Retry(LONG))
    actor = Actor("a", event, attempts)
    async with stage(server_url, actor) as on:
        await on.emit(1)
        config = (await api(on.link, f"STREAM.INFO.{event.stream_name}"))["config"]
        await api(on.link, f"STREAM.UPDATE.{event.stream_name}", config | changes)
        async with listening(on.actors):
            await attempts.come(2)
            assert of(on).postponed == 0


@pytest.mark.parametrize(("ttl", "copies"), [("60", 1), ("1m", 1), ("never", 1), ("1s", 0)])
async def test_the_time_to_live_of_an_event(
    server_url: str, event: Event[int], short: None, ttl: str, copies: int
) -> None:
    """A copy has what is left of it when it is due; if that is nothing, there is no copy."""
    attempts = Attempts(lambda: Retry(LONG))
    async with stage(server_url, Actor("a", event, attempts)) as on:
        config = (await api(on.link, f"STREAM.INFO.{event.stream_name}"))["config"]
        config["allow_msg_ttl"] = True
        await api(on.link, f"STREAM.UPDATE.{event.stream_name}", config)
        header = b"NATS/1.0\r\nNats-TTL: %s\r\n\r\n" % ttl.encode()
        async with listening(on.actors):
            on.link.post(hpub(event.subject_name, header, b"1"))
            await attempts.come(2)
            assert of(on).postponed == copies
    assert [context.headers for context in attempts.seen] == [{"Nats-TTL": ttl}] * 2


async def test_the_age_of_an_event(server_url: str, event: Event[int], short: None) -> None:
    """A copy is a new message for its stream, and yet the event is no longer kept than declared."""
    aged = dataclasses.replace(event, limits=Limits(age=2.5))
    began = anyio.current_time()
    attempts = Attempts(lambda: Retry(0.7), failures=100)
    # Another actor of the event has a retry that would be too late.
    late = Attempts(lambda: Retry(60), failures=100)
    actors = Actor("a", aged, attempts), Actor("b", aged, late)
    async with running(server_url, *actors) as on:
        await on.emit(1)
        await attempts.come(2)
        await late.come(1)

        async def is_gone() -> bool:
            state = (await api(on.link, f"STREAM.INFO.{event.stream_name}"))["state"]
            return state["messages"] == 0 and not await schedules_of(on, event)

        await until(is_gone)
        assert of(on).postponed > 0
        assert of(on, 1).postponed == 0
    assert anyio.current_time() - began < 5


@pytest.mark.parametrize(("age", "ttl"), [(3600, 3540), (None, None)])
async def test_what_the_server_is_told_of_a_copy(
    server_url: str, event: Event[int], age: float | None, ttl: int | None
) -> None:
    """When it is due, and what is then left of the time for which the event is kept."""
    aged = dataclasses.replace(event, limits=Limits(age=age))
    async with running(server_url, Actor("a", aged, Attempts(lambda: Retry(60)))) as on:
        told: list[dict[str, str]] = []
        on.link.subscribe_to(
            f"walnats.schedules.retry.{event.stream_name}.>",
            lambda message: told.append(parse_headers(message.header)),
        )
        began = datetime.now(UTC)
        await on.emit(1)
        await until(lambda: of(on).postponed == 1)
        took = (datetime.now(UTC) - began).total_seconds()
        (headers,) = told
        due = datetime.fromisoformat(headers["Nats-Schedule"].removeprefix("@at "))
        assert 59.9 <= (due - began).total_seconds() <= 60.1 + took
        left = headers.get("Nats-Schedule-TTL")
        if ttl is None:
            assert left is None
        else:
            assert left is not None
            assert ttl - took - 1 <= int(left.removesuffix("s")) <= ttl + 1


def hpub(subject: str, header: bytes, payload: bytes) -> bytes:
    """A message with headers, as anybody may publish it."""
    sizes = f"{len(header)} {len(header) + len(payload)}"
    return f"HPUB {subject} {sizes}\r\n".encode() + header + payload + b"\r\n"


def copy_of(event: Event[int], origin: str, payload: bytes = b"1", actor: str = "a") -> bytes:
    """What claims to be a copy."""
    header = f"NATS/1.0\r\nWalnats-Actor: {actor}\r\nWalnats-Retry: {origin}\r\n\r\n"
    return hpub(event.subject_name, header.encode(), payload)


async def test_a_copy_that_comes_twice(server_url: str, event: Event[int], short: None) -> None:
    """Such as from a server that was killed as it became due: one of them is run."""
    attempts = Attempts(lambda: Retry(LONG))
    actor = Actor("a", event, attempts)
    async with running(server_url, actor) as on:
        copies: list[bytes] = []
        on.link.subscribe_to(
            "walnats.schedules.retry.>", lambda message: copies.append(message.header)
        )
        await on.emit(1)
        await until(lambda: bool(copies))
        (copy,) = copies
        lines = [line for line in copy.split(b"\r\n") if not line.startswith(b"Nats-")]
        for _ in range(5):
            on.link.post(hpub(event.subject_name, b"\r\n".join(lines), b"1"))
        await attempts.come(2)
        await until(lambda: of(on).redelivered == 6)
        await on.until_done(actor)
        assert of(on).handled == 1
    assert len(attempts.seen) == 2


async def test_a_copy_with_another_token(server_url: str, event: Event[int], short: None) -> None:
    """Whoever does not know the token cannot take the place of an event that waits."""
    attempts = Attempts(lambda: Retry(2.0))
    actor = Actor("a", event, attempts)
    async with running(server_url, actor) as on:
        await on.emit(1)
        await until(lambda: of(on).postponed == 1)
        ((subject, _),) = (await schedules_of(on, event)).items()
        place = subject.split(".")[-4]
        on.link.post(copy_of(event, f"{place} 1 1 0 {place} {'0' * 16}", b"666"))
        await until(lambda: of(on).redelivered == 1)
        await attempts.come(2)
    assert [context.message for context in attempts.seen] == [1, 1]


@pytest.mark.parametrize(
    ("origin", "attempt"),
    [
        ("7-7 3 2 1 7-7 0123456789abcdef", 3),
        ("7-7 3 2 1 7-7 0123456789abcde", 1),
        ("7-7 1 2 3 7-7 0123456789abcdef", 1),
        ("٣-٣ 0 0 0 1-1 0123456789abcdef", 1),
        ("", 1),
    ],
)
async def test_what_only_claims_to_be_a_copy(
    server_url: str, event: Event[int], origin: str, attempt: int
) -> None:
    """It is run, as a message of its own."""
    attempts = Attempts(ValueError, failures=0)
    actor = Actor("a", event, attempts)
    async with running(server_url, actor) as on:
        on.link.post(copy_of(event, origin))
        await attempts.come(1)
        await on.until_done(actor)
    (context,) = attempts.seen
    assert context.attempts == attempt
    assert context.seq_number == 1
    assert abs(datetime.now(UTC) - context.metadata.timestamp) < timedelta(minutes=5)


WORKER = [
    "$JS.API.STREAM.INFO.>",
    "$JS.API.STREAM.CREATE.walnats-schedules",
    "$JS.API.DIRECT.GET.>",
    "$JS.API.CONSUMER.INFO.>",
    "$JS.API.CONSUMER.MSG.NEXT.>",
    "$JS.ACK.>",
]
UPDATES, LISTS, NOTES, WRITES = (
    "$JS.API.STREAM.UPDATE.>",
    "$JS.API.CONSUMER.LIST.>",
    "walnats.attempts.>",
    "walnats.schedules.>",
)


CASES = [
    ([LISTS, NOTES, WRITES], "the server keeps no copies"),
    ([UPDATES, NOTES, WRITES], "who shares its stream cannot be seen"),
    ([UPDATES, LISTS, WRITES], "copies cannot be written"),
    ([UPDATES, LISTS, NOTES], "copies cannot be written"),
    ([UPDATES, LISTS, NOTES, WRITES], ""),
]


async def test_a_user_who_may_not(
    event: Event[int], short: None, caplog: pytest.LogCaptureFixture
) -> None:
    """His retries keep their places, and the log says once why."""
    caplog.set_level(logging.INFO)
    users: list[dict[str, Any]] = [{"user": "admin", "password": "a"}]
    for number, (more, _) in enumerate(CASES):
        allowed = {"publish": [*WORKER, *more], "subscribe": ["_INBOX.>"]}
        users.append({"user": f"worker{number}", "password": "w", "permissions": allowed})
    async with NatsServer(config={"authorization": {"users": users}}) as server:
        for number, (_, said) in enumerate(CASES):
            one: Event[int] = dataclasses.replace(event, name=f"{event.name}-{number}")
            caplog.clear()
            await _work_as(server.url, f"worker{number}", one, copies=not said)
            lines = [each for each in caplog.messages if "keep their places" in each]
            assert len(lines) == bool(said)
            assert all(said in line for line in lines)


async def _work_as(url: str, user: str, event: Event[int], *, copies: bool) -> None:
    attempts = Attempts(lambda: Retry(LONG), failures=3)
    actor = Actor("a", event, attempts)
    async with (
        stage(url, actor, user="admin", password="a") as on,
        Actors(actor).connect(url, user=user, password="w") as conn,
    ):
        await on.emit(1)
        async with listening(conn):
            await attempts.come(4)
            await on.until_done(actor)
            assert conn.statistics().actors[0].postponed == (3 if copies else 0)
    assert [context.attempts for context in attempts.seen] == [1, 2, 3, 4]


async def test_a_copy_that_cannot_be_written_any_more(
    event: Event[int], short: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody has deleted the stream: the event is given back as ever, and nothing is lost."""

    async def handle(message: int) -> None:
        await attempts(message)
        if len(attempts.seen) == 2:
            await api(on.link, "STREAM.DELETE.walnats-schedules")
        if len(attempts.seen) < 5:
            raise Retry(LONG)

    attempts = Attempts(ValueError, failures=0)
    actor = Actor("a", event, handle)
    async with NatsServer() as server, running(server.url, actor) as on:
        await on.emit(1)
        await attempts.come(5)
        await on.until_done(actor)
        assert of(on).postponed == 1
    assert [context.attempts for context in attempts.seen] == [1, 2, 3, 4, 5]
    assert len({context.idempotency_key for context in attempts.seen}) == 1
    assert caplog.text.count("copies cannot be written") == 1


async def test_a_stop_just_after_the_copy_is_written(
    server_url: str, event: Event[int], short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is handed back, and whoever gets it finds that it gave way."""
    written = anyio.Event()
    write_really = Postponing._write

    async def write(*args: Any) -> None:
        await write_really(*args)
        if not written.is_set():
            written.set()
            await anyio.sleep_forever()

    monkeypatch.setattr(Postponing, "_write", write)
    attempts = Attempts(lambda: Retry(0.5))
    actor = Actor("a", event, attempts)
    async with stage(server_url, actor) as on:
        await on.emit(1)
        async with listening(on.actors) as tasks:
            await written.wait()
            tasks.cancel_scope.cancel()
        async with listening(on.actors):
            await on.until_done(actor)
            assert len(attempts.seen) == 1
            await attempts.come(2)
            await on.until_done(actor)
            assert await schedules_of(on, event) == {}
    assert [context.attempts for context in attempts.seen] == [1, 2]


@pytest.mark.parametrize("lost", [False, True])
async def test_a_copy_that_was_begun_and_cannot_be_written(
    server_url: str, event: Event[int], short: None, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """Whoever gets the event then holds it until the retry is due, and runs it itself.

    Without its note, which somebody has deleted meanwhile, it is run at once.
    """
    hangs = anyio.Event()

    async def write(*_: object) -> None:
        if not hangs.is_set():
            hangs.set()
            await anyio.sleep_forever()
        if lost:
            notes = {"filter": f"walnats.attempts.{event.stream_name}.>"}
            await api(on.link, "STREAM.PURGE.walnats-attempts", notes)
        raise ServerError("the disk is full")

    monkeypatch.setattr(Postponing, "_write", write)
    attempts, recorder = Attempts(lambda: Retry(1.0)), Recorder()
    actor = Actor("a", event, attempts, max_attempts=2, middlewares=(recorder,))
    async with stage(server_url, actor) as on:
        await on.emit(1)
        async with listening(on.actors) as tasks:
            await hangs.wait()
            tasks.cancel_scope.cancel()
        async with listening(on.actors):
            await attempts.come(2)
            await on.until_done(actor)
            assert of(on).handed_back == (0 if lost else 1)
    assert [context.attempts for context in attempts.seen] == [1, 2]
    assert lost or recorder.pauses[0] > 0.9


async def test_cancelled_at_any_point(
    server_url: str, event: Event[int], short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop in the middle loses no event, and runs no attempt twice."""
    seen: dict[int, list[int]] = {}
    moments: list[int] = []

    async def handle(message: int) -> None:
        attempts = seen.setdefault(message, [])
        attempts.append(current_context().attempts)
        if len(attempts) == 1:
            raise Retry(LONG)

    async def conclude_cancelled(self: Conclusion, delivery: Delivery, result: JobResult) -> None:
        if result.outcome is not Outcome.RAISED:
            await conclude(self, delivery, result)
        elif await cancelled_at(delivery.decoded, lambda: conclude(self, delivery, result)):
            moments.append(delivery.decoded)

    conclude = Conclusion.conclude
    actor = Actor("a", event, handle, ack_wait=5.0)
    async with running(server_url, actor) as on:
        # Before that one is not cancelled, so that the first question is not what is swept.
        await on.emit(0)
        await until(lambda: len(seen.get(0, ())) == 2)
        monkeypatch.setattr(Conclusion, "conclude", conclude_cancelled)
        await on.emit(*range(1, MOMENTS))
        await until(lambda: all(len(seen.get(each, ())) == 2 for each in range(MOMENTS)))
        await on.until_done(actor)
    assert 3 <= len(moments) < MOMENTS - 1
    assert all(attempts == [1, 2] for attempts in seen.values())
