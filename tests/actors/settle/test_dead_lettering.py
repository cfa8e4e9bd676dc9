"""Events that are given up: the dead letter comes first, and says what happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from tests.actors._stage import letters_of, listening, running, stage, take_and_vanish
from tests.support.recorders import Handled
from tests.support.waiting import until
from walnats_anyio import Actor, Actors, Event, Events, Reject, Retry
from walnats_anyio._actors.settle import _verdict
from walnats_anyio._link import api, stream_config
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedActors

pytestmark = pytest.mark.anyio


async def test_a_letter_says_what_happened(url: str, event: Event[int]) -> None:
    async def handle(message: int) -> None:
        raise LookupError(f"no user {message}")

    actor = Actor("a", event, handle, max_attempts=3, retry_delay=())
    started = datetime.now(UTC)
    async with running(url, actor) as on:
        await on.events.emit(event, 7, trace_id="t", meta={"X": "größer"}, sync=True)
        await on.until_done(actor)
    (letter,) = await letters_of(url, event)
    assert (letter.event, letter.actor, letter.payload) == (event.name, "a", b"7")
    assert letter.headers == {"Walnats-Trace": "t", "X": "größer"}
    assert (letter.reason, letter.error_type) == ("exhausted", "LookupError")
    assert letter.error == "no user 7"
    assert "in handle" in letter.traceback
    assert letter.traceback.rstrip().endswith("LookupError: no user 7")
    assert (letter.attempts, letter.stream, letter.seq_number) == (3, event.stream_name, 1)
    slack = timedelta(seconds=1)
    assert started - slack < letter.emitted_at <= letter.died_at + slack
    assert letter.died_at < datetime.now(UTC) + slack


@pytest.mark.parametrize(
    ("error", "reason", "attempts"),
    [(Reject("no such user"), "rejected", 1), (Retry(delay=0), "exhausted", 2)],
)
async def test_what_a_handler_raises(
    url: str, event: Event[int], error: Exception, reason: str, attempts: int
) -> None:
    async def handle(message: int) -> None:
        raise error

    actor = Actor("a", event, handle, max_attempts=2, retry_delay=())
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    (letter,) = await letters_of(url, event)
    assert (letter.reason, letter.attempts) == (reason, attempts)
    assert letter.error == str(error) or isinstance(error, Retry)


async def test_poison_goes_there_at_once(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled)
    async with running(url, actor) as on:
        await on.emit_raw(b'"\xff')
        await on.until_done(actor)
    (letter,) = await letters_of(url, event)
    assert (letter.reason, letter.payload, letter.attempts) == ("undecodable", b'"\xff', 0)
    assert not handled.messages


async def test_a_job_that_times_out_for_the_last_time(url: str, event: Event[int]) -> None:
    async def handle(message: int) -> None:
        await anyio.sleep_forever()

    actor = Actor("a", event, handle, max_attempts=1, job_timeout=0.05)
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    (letter,) = await letters_of(url, event)
    assert (letter.reason, letter.error_type, letter.attempts) == ("exhausted", "TimeoutError", 1)


async def test_long_words_are_cut(url: str, event: Event[int]) -> None:
    async def handle(message: int) -> None:
        raise Reject("long \ud800 " * 100_000)

    actor = Actor("a", event, handle)
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    (letter,) = await letters_of(url, event)
    assert len(letter.error) < 20_000
    assert len(letter.traceback) < 20_000


async def test_the_last_attempt_died_with_its_worker(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    handled = Handled()
    actor = Actor("a", event, handled, max_attempts=1, ack_wait=0.3)
    async with stage(url, actor) as on:
        await on.emit(1, 2)
        await take_and_vanish(on, actor)
        async with listening(on.actors):
            await on.until_done(actor)
    (letter,) = await letters_of(url, event)
    assert (letter.reason, letter.payload, letter.attempts) == ("died", b"1", 1)
    assert "delivered 1 times, run at most 1 times of max_attempts=1" in letter.error
    assert "attempt 1 of 1 died" in caplog.text
    assert handled.messages == [2]


async def test_other_actors_of_the_event_go_on(url: str, event: Event[int]) -> None:
    async def handle(message: int) -> None:
        raise Reject

    handled = Handled()
    actors = Actor("a", event, handle), Actor("b", event, handled)
    async with running(url, *actors) as on:
        await on.emit(1)
        await on.until_done(*actors)
    assert [letter.actor for letter in await letters_of(url, event)] == ["a"]
    assert handled.messages == [1]


async def test_without_dead_letters(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(message: int) -> None:
        raise Reject("never")

    actor = Actor("a", event, handle, dead_letters=False)
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert await letters_of(url, event) == []
    assert "given up (rejected)" in caplog.text


async def test_a_letter_that_cannot_be_written_keeps_the_event(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_verdict, "UNWRITTEN_DELAY", 0.2)
    event = Event("numbers", int)

    runs: list[int] = []

    async def handle(message: int) -> None:
        runs.append(message)
        raise ValueError("wrong")

    actor = Actor("a", event, handle, max_attempts=1)
    async with stage(nats_server.url, actor) as on, listening(on.actors):
        await api(on.link, "STREAM.DELETE.walnats-dead-letters")
        await on.emit(1)
        await on.emit_raw(b"no number")
        await until(lambda: caplog.text.count("cannot be written") >= 4)
        assert (await on.consumer(actor)).left == 2
        await on.actors.register()
        await on.until_done(actor)
    assert runs == [1]
    by_payload = {letter.payload: letter for letter in await letters_of(nats_server.url, event)}
    assert by_payload.keys() == {b"1", b"no number"}
    failed, undecodable = by_payload[b"1"], by_payload[b"no number"]
    assert (failed.reason, failed.attempts) == ("exhausted", 1)
    assert "its dead letter could not be written then" in failed.error
    assert (undecodable.reason, undecodable.attempts) == ("undecodable", 0)


async def test_the_place_for_dead_letters_is_made_where_one_is_wanted(
    nats_server: NatsServer,
) -> None:
    event, handled = Event("numbers", int), Handled()
    url = nats_server.url

    async def there_is_one(conn: ConnectedActors) -> bool:
        return await stream_config(conn._link, "walnats-dead-letters") is not None

    careless = Actors(Actor("a", event, handled, dead_letters=False))
    careful = Actors(Actor("a", event, handled))
    async with Events(event).connect(url) as events, careless.connect(url) as conn:
        await events.register()
        await conn.register()
        await conn.listen(burst=True, poll_delay=0)
        assert not await there_is_one(conn)
        async with careful.connect(url) as other:
            await other.listen(burst=True, poll_delay=0)
        assert await there_is_one(conn)
        await api(conn._link, "STREAM.DELETE.walnats-dead-letters")
        async with careful.connect(url) as other:
            await other.register()
        assert await there_is_one(conn)


async def test_an_event_for_one_actor_only(url: str, event: Event[int]) -> None:
    one, other = Handled(), Handled()
    actors = Actor("a", event, one), Actor("b", event, other)
    async with running(url, *actors, max_jobs=2) as on:
        await on.events.emit(event, 1, meta={"Walnats-Actor": "b"})
        await on.emit(*range(2, 50))
        await on.until_done(*actors)
    assert sorted(one.messages) == list(range(2, 50))
    assert sorted(other.messages) == list(range(1, 50))
