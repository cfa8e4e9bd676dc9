"""Actors that handle batches: what is in a batch, and what becomes of it.

`WALNATS_BATCH_TURNS=1 pytest tests/actors/test_batches.py -k turns` stops a run at every moment,
rather than at a quarter of them.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, assert_type

import anyio
import pytest
from anyio.lowlevel import checkpoint

import walnats_anyio as walnats
from tests.actors._stage import (
    Stage,
    letters_of,
    listening,
    run_of,
    running,
    stage,
    take_and_vanish,
)
from tests.actors.test_cancellation import listenings, stopped_after, turns
from tests.support.leftovers import Leftovers
from tests.support.mock_clocks import run_with_mock_clock
from tests.support.sweep import sweep
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actor, Batch, BatchError, Event, ExecuteIn, current_context
from walnats_anyio._actors._listen import Listening
from walnats_anyio.middlewares import Context, ErrorContext, Middleware, OkContext
from walnats_anyio.testing import MemoryServer, run_job

__all__ = ["listenings"]

pytestmark = pytest.mark.anyio

LONG = 120.0

EACH_TURN = int(os.environ.get("WALNATS_BATCH_TURNS", "4"))
"""Of the moments at which a run is stopped, each so many: with 1, all of them, as was done once."""


class Batches:
    """A handler that notes what it was called with, and fails for some messages."""

    def __init__(self, fails: Callable[[list[int]], Exception | None] = lambda _: None) -> None:
        self.seen: list[list[int]] = []
        self._fails = fails

    async def __call__(self, messages: list[int]) -> None:
        self.seen.append(list(messages))
        await checkpoint()
        if (error := self._fails(messages)) is not None:
            raise error

    @property
    def sizes(self) -> list[int]:
        return [len(messages) for messages in self.seen]

    @property
    def messages(self) -> list[int]:
        return [message for messages in self.seen for message in messages]


def failing_for(*bad: int, error: Callable[[], Exception] = ValueError) -> Batches:
    return Batches(lambda messages: error() if set(bad) & set(messages) else None)


def actor_of(event: Event[int], handler: Batches, batch: Batch, **options: Any) -> Actor[int, Any]:
    options.setdefault("max_jobs", 2)
    return Actor("a", event, handler, batch=batch, retry_delay=(), **options)


# what is in a batch


async def test_a_burst_ends_with_a_smaller_batch(url: str, event: Event[int]) -> None:
    handler = Batches()
    async with stage(url, actor := actor_of(event, handler, Batch(10, LONG))) as on:
        await on.emit(*range(25))
        summary = await on.actors.listen(burst=True)
        await on.until_done(actor)
    assert sorted(handler.sizes) == [5, 10, 10]
    assert sorted(handler.messages) == list(range(25))
    assert summary.handled == 25


async def test_a_full_batch_does_not_wait(url: str, event: Event[int]) -> None:
    handler = Batches()
    async with running(url, actor := actor_of(event, handler, Batch(3, LONG))) as on:
        await on.emit(*range(7))
        await until(lambda: len(handler.seen) == 2)
        await until(lambda: on.actors.statistics().actors[0].waiting == 1)
        assert handler.messages == [*range(6)]
        await on.emit(7, 8)
        await on.until_done(actor)
    assert handler.seen == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_the_first_one_waits_on_the_clock_of_the_event_loop(anyio_backend: str) -> None:
    began: list[float] = []

    async def note(messages: list[int]) -> None:
        began.append(anyio.current_time())

    event = Event("numbers", int)
    actor = Actor("a", event, note, batch=Batch(10, 3600), max_jobs=2)

    async def main() -> None:
        async with (
            MemoryServer() as server,
            walnats.Events(event).connect(server.url) as events,
            walnats.Actors(actor).connect(server.url) as actors,
        ):
            await events.register()
            await actors.register()
            async with listening(actors):
                before = anyio.current_time()
                for number in range(3):
                    await events.emit(event, number, sync=True)
                    await anyio.sleep(600)
                while not began:
                    await anyio.sleep(60)
        assert 3600 <= began[0] - before < 3660

    run_with_mock_clock(anyio_backend, main)


async def test_a_batch_grows_while_no_job_is_free(url: str, event: Event[int]) -> None:
    gate = anyio.Event()
    sizes: list[int] = []

    async def handle(messages: list[int]) -> None:
        sizes.append(len(messages))
        await gate.wait()

    actor = Actor("a", event, handle, batch=Batch(50, 0), max_jobs=1)
    async with running(url, actor) as on:
        await on.emit(0)
        await until(lambda: sizes == [1])
        for number in range(20):
            await on.emit(number)
        await until(lambda: on.actors.statistics().actors[0].waiting == 20)
        gate.set()
        await on.until_done(actor)
    assert sizes == [1, 20]


async def test_other_actors_do_not_wait_for_what_a_batch_holds(url: str, event: Event[int]) -> None:
    other = Event(f"{event.name}-other", int, storage="memory")
    gate, handled = anyio.Event(), list[int]()

    async def hold(messages: list[int]) -> None:
        await gate.wait()

    async def note(message: int) -> None:
        handled.append(message)

    actors = [
        Actor("a", event, hold, batch=Batch(50, 0.01), max_jobs=1),
        Actor("b", other, note, max_jobs=2),
    ]
    async with running(url, *actors, max_jobs=3) as on:
        await on.emit(*range(90))
        await until(lambda: on.actors.statistics().actors[0].running == 1)
        await on.emit(*range(40), event=other)
        await on.until_done(actors[1])
        assert on.actors.statistics().actors[0].waiting == 0
        gate.set()
        await on.until_done(actors[0])
    assert sorted(handled) == list(range(40))


async def test_without_pulse_what_waits_is_handed_back(url: str, event: Event[int]) -> None:
    gate, started = anyio.Event(), list[int]()

    async def handle(messages: list[int]) -> None:
        started.append(len(messages))
        await gate.wait()

    actor = Actor("a", event, handle, batch=Batch(3, 0.05), max_jobs=1, pulse=False, ack_wait=1)
    async with running(url, actor) as on:
        await on.emit(0, 1)
        await until(lambda: started == [2])
        await on.emit(2)
        await until(lambda: on.actors.statistics().actors[0].waiting == 1)
        await until(lambda: on.actors.statistics().actors[0].handed_back == 1)
        gate.set()
        await on.until_done(actor)


# what becomes of it


@pytest.mark.parametrize("most", [1, 3])
async def test_one_bad_message_fails_alone(url: str, event: Event[int], most: int) -> None:
    handler = failing_for(7)
    actor = actor_of(event, handler, Batch(10, LONG), max_attempts=most)
    async with running(url, actor) as on:
        await on.emit(*range(20))
        await on.until_done(actor)
        [letter] = await letters_of(url, event)
        shown = on.actors.statistics().actors[0]
    runs = Counter(handler.messages)
    assert sorted(handler.sizes) == [1] * (9 + most) + [10, 10]
    assert runs == dict.fromkeys(range(10, 20), 1) | {
        number: 2 if number != 7 else 1 + most for number in range(10)
    }
    assert (letter.payload, letter.attempts, letter.reason) == (b"7", most, "exhausted")
    assert (shown.handled, shown.failed, shown.dead_lettered) == (19, most - 1, 1)


@pytest.mark.parametrize(
    "error", [walnats.Retry, walnats.Reject, lambda: BatchError({10: ValueError()})]
)
async def test_what_is_raised_for_all_is_asked_of_each(
    url: str, event: Event[int], error: Callable[[], Exception]
) -> None:
    together = Batches(lambda messages: error() if len(messages) > 1 else None)
    async with running(url, actor := actor_of(event, together, Batch(10, LONG))) as on:
        await on.emit(*range(10))
        await on.until_done(actor)
        assert not await letters_of(url, event)
    assert together.sizes == [10] + [1] * 10


async def test_a_handler_that_empties_its_list(url: str, event: Event[int]) -> None:
    """The places that it names are those of the messages that it got."""
    done: list[int] = []

    async def handle(messages: list[int]) -> None:
        errors: dict[int, Exception] = {}
        for place in range(len(messages)):
            if (message := messages.pop(0)) % 2:
                errors[place] = walnats.Reject("odd")
            else:
                done.append(message)
        raise BatchError(errors)

    actor = Actor("a", event, handle, batch=Batch(4, LONG), max_jobs=1)
    async with running(url, actor) as on:
        await on.emit(*range(4))
        await on.until_done(actor)
        assert len(await letters_of(url, event)) == 2
    assert done == [0, 2]


async def test_a_batch_that_takes_too_long(url: str, event: Event[int]) -> None:
    sizes: list[int] = []

    async def handle(messages: list[int]) -> None:
        sizes.append(len(messages))
        if len(messages) > 1:
            await anyio.sleep_forever()

    actor = Actor("a", event, handle, batch=Batch(5, LONG), max_jobs=1, job_timeout=0.05)
    async with running(url, actor) as on:
        await on.emit(*range(5))
        await on.until_done(actor)
    assert sizes == [5, 1, 1, 1, 1, 1]


async def test_the_handler_says_which_failed(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    def fails(messages: list[int]) -> Exception | None:
        errors: dict[int, Exception] = {1: walnats.Reject("no"), 2: ValueError(), 3: OSError()}
        found = {messages.index(bad): error for bad, error in errors.items() if bad in messages}
        return BatchError(found) if found and len(handler.seen) < 3 else None

    handler = Batches(fails)
    actor = actor_of(event, handler, Batch(5, LONG), max_attempts=2, max_jobs=1)
    async with running(url, actor) as on:
        await on.emit(*range(5))
        await on.until_done(actor)
        letters = await letters_of(url, event)
        shown = on.actors.statistics().actors[0]
    # 2 and 3 come again alone, and the first of them fails once more.
    assert handler.seen[0] == [0, 1, 2, 3, 4]
    assert sorted(handler.seen[1:]) == [[2], [3]]
    assert [(letter.payload, letter.reason) for letter in letters if letter.payload == b"1"] == [
        (b"1", "rejected")
    ]
    assert (shown.handled, shown.dead_lettered, shown.retried) == (3, 2, 2)
    assert "sequence 3: attempt 1 of 2 raised ValueError; again in 0 s" in caplog.text


async def test_a_batch_is_snoozed_whole(url: str, event: Event[int]) -> None:
    handler = Batches(lambda _: walnats.Snooze(0.05) if len(handler.seen) < 3 else None)
    async with running(url, actor := actor_of(event, handler, Batch(5, 0.2), max_jobs=1)) as on:
        await on.emit(*range(5))
        await on.until_done(actor)
        shown = on.actors.statistics().actors[0]
    # They come again as first attempts, so they are handled together.
    assert handler.sizes == [5, 5, 5]
    assert (shown.handled, shown.failed, shown.retried) == (5, 0, 0)


async def test_what_cannot_be_decoded_leaves_the_batch(url: str, event: Event[int]) -> None:
    handler = Batches()
    async with running(url, actor := actor_of(event, handler, Batch(5, LONG))) as on:
        await on.emit(1, 2)
        await on.emit_raw(b"what")
        await on.emit(3)
        await on.link.request(event.subject_name, b"4", headers=b"NATS/1.0\r\n: x\r\n\r\n")
        await on.until_done(actor)
        letters = await letters_of(url, event)
        await on.emit_raw(b"no")
        await on.emit_raw(b"none of them")
        for _ in range(3):
            await on.emit_raw(b"can be read")
        await on.until_done(actor)
    assert handler.seen == [[1, 2, 3]]
    assert {(letter.payload, letter.reason) for letter in letters} == {
        (b"what", "undecodable"),
        (b"4", "undecodable"),
    }


async def test_an_event_that_died_is_handled_alone(url: str, event: Event[int]) -> None:
    handler = Batches()
    actor = actor_of(event, handler, Batch(5, 0.05), ack_wait=0.3, max_jobs=1)
    async with stage(url, actor) as on:
        await on.emit(1)
        await take_and_vanish(on, actor)
        await on.emit(2, 3)
        async with listening(on.actors):
            await on.until_done(actor)
    assert sorted(handler.seen) == [[1], [2, 3]]


async def test_each_is_confirmed_before_the_hook(url: str, event: Event[int]) -> None:
    handler, told = Batches(), list[int]()

    class Told(Middleware):
        async def on_success(self, ctx: OkContext, /) -> None:
            told.append(len(ctx.batch))

    actor = actor_of(event, handler, Batch(5, LONG), ack="confirmed", middlewares=[Told()])
    async with running(url, actor) as on:
        await on.emit(*range(10))
        await until(lambda: len(told) == 2)
        # The server knows it when the hook is called.
        assert (await on.consumer(actor)).left == 0
    assert told == [5, 5]


# contexts, hooks, emits


async def test_contexts(url: str, event: Event[int]) -> None:
    seen: list[tuple[Any, ...]] = []

    async def handle(messages: list[int]) -> None:
        context = current_context()
        keys = [each.idempotency_key for each in context.batch]
        with pytest.raises(RuntimeError, match="a batch has no idempotency_key"):
            _ = context.idempotency_key
        assert context.message == messages == [each.message for each in context.batch]
        assert all(each.batch == () for each in context.batch)
        traces = [each.trace_id for each in context.batch]
        seen.append((len(set(keys)), context.trace_id, traces, context.attempts))

    actor = Actor("a", event, handle, batch=Batch(2, LONG), max_jobs=1)
    async with stage(url, actor) as on:
        for number, trace in enumerate(["x", "x", "x", None, "z"]):
            await on.events.emit(event, number, trace_id=trace)
        await on.events.flush()
        await on.actors.listen(burst=True)
    assert seen == [
        (2, "x", ["x", "x"], 1),
        (2, None, ["x", None], 1),
        (1, "z", ["z"], 1),
    ]


async def test_hooks_are_called_once_for_a_job(url: str, event: Event[int]) -> None:
    told: list[tuple[str, Any]] = []

    class Told(Middleware):
        async def on_start(self, ctx: Context, /) -> None:
            told.append(("start", ctx.message))

        async def on_failure(self, ctx: ErrorContext, /) -> None:
            told.append((type(ctx.exception).__name__, ctx.message))

        async def on_success(self, ctx: OkContext, /) -> None:
            told.append(("success", ctx.message))

    handler = failing_for(1)
    actor = actor_of(
        event, handler, Batch(2, LONG), middlewares=[Told()], max_attempts=1, max_jobs=1
    )
    async with running(url, actor) as on:
        await on.emit(1, 2)
        await on.until_done(actor)
        await until(lambda: len(told) == 6)
    assert told == [
        ("start", [1, 2]), ("ValueError", [1, 2]),
        ("start", [1]), ("ValueError", [1]),
        ("start", [2]), ("success", [2]),
    ]  # fmt: skip


async def test_what_is_emitted_with_a_batch(url: str, event: Event[int]) -> None:
    """Once, for what is done with: by the batch that fails, its events alone, and the next."""
    told = Event(f"{event.name}-told", str, storage="memory")
    heard: list[str] = []

    async def handle(messages: list[int]) -> None:
        context = current_context()
        for each in context.batch:
            await each.emit(told, f"{each.message}")
        with pytest.raises(ValueError, match="emit needs a uid in a batch"):
            await context.emit(told, "x")
        await context.emit(told, f"all of {messages}", uid=f"{messages}")
        if 2 in messages and len(messages) > 1:
            raise ValueError
        if 5 in messages and len(messages) > 1:
            raise BatchError({messages.index(5): walnats.Retry(0)})

    async def hear(message: str) -> None:
        heard.append(message)

    actor = Actor("a", event, handle, batch=Batch(3, LONG), max_jobs=1)
    hears = Actor("hears", told, hear)
    async with running(url, actor, hears) as on:
        await on.emit(*range(1, 7))
        await on.until_done(actor, hears)
    assert sorted(heard) == sorted(
        [*"123456", *(f"all of [{some}]" for some in ("1", "2", "3", "4, 5, 6", "5"))]
    )


def in_thread(messages: list[int]) -> None:
    if len(messages) > 1 and 3 in messages:
        raise ValueError(current_context().message)


def in_process(messages: list[int]) -> None:
    with Path(os.environ["WALNATS_TEST_BATCHES"]).open("a") as file:
        file.write(f"{messages}\n")
    if 3 in messages:
        raise BatchError({messages.index(3): walnats.Reject("three")})


@pytest.mark.parametrize("place", [ExecuteIn.THREAD, ExecuteIn.PROCESS])
async def test_elsewhere(
    url: str, event: Event[int], place: ExecuteIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WALNATS_TEST_BATCHES", str(tmp_path / "seen"))
    handler = in_thread if place is ExecuteIn.THREAD else in_process
    actor = Actor(
        "a", event, handler, batch=Batch(4, LONG), max_jobs=1, execute_in=place, max_attempts=1
    )
    async with running(url, actor, max_processes=1) as on:
        await on.emit(*range(4))
        await on.until_done(actor)
        letters = [(each.payload, each.reason) for each in await letters_of(url, event)]
    if place is ExecuteIn.PROCESS:
        assert letters == [(b"3", "rejected")]
        assert (tmp_path / "seen").read_text() == "[0, 1, 2, 3]\n"
    else:
        assert letters == []


async def test_one_transaction_for_each_batch(url: str, event: Event[int]) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute("create table numbers (number integer, key text unique)")

        def store(messages: list[int]) -> None:
            keys = [each.idempotency_key for each in current_context().batch]
            with database:
                database.execute("begin")
                rows = zip(messages, keys, strict=True)
                database.executemany("insert or ignore into numbers values (?, ?)", rows)
                if 3 in messages and len(messages) > 1:
                    raise OSError("the disk is full")

        actor = Actor("a", event, store, batch=Batch(4, LONG), max_jobs=1)
        async with running(url, actor) as on:
            await on.emit(*range(8))
            await on.until_done(actor)
        assert sorted(database.execute("select number from numbers")) == [(n,) for n in range(8)]


async def test_a_job_without_a_server(event: Event[int]) -> None:
    handler = failing_for(2, error=lambda: BatchError({0: walnats.Reject("two")}))
    actor = actor_of(event, handler, Batch(4, LONG))
    assert (await run_job(actor, 1)).verdict == "ack"
    assert (await run_job(actor, 2)).reason == "rejected"
    assert handler.seen == [[1], [2]]


# stopping


def nothing_is_held(listenings: list[Listening]) -> None:
    for each in listenings:
        assert each.scheduler.idle
        [run] = each.runs
        assert not run.deliveries.held
        assert not len(run.workers.waiting)
        assert not run.workers.limiter.borrowed_tokens
        assert run.consumer._intake.held == 0
    listenings.clear()


async def handle_the_rest(
    on: Stage, actor: Actor[int, Any], wanted: set[int], jobs: Batches
) -> None:
    with anyio.fail_after(DEADLINE):
        async with listening(on.actors):
            await until(lambda: wanted <= set(jobs.messages))
            await on.until_done(actor)


@pytest.mark.parametrize("how", ["shut down", "failing and cancelled"])
async def test_stopped_after_any_number_of_turns(
    url: str, event: Event[int], how: str, listenings: list[Listening]
) -> None:
    jobs = Batches(
        lambda messages: ValueError() if how != "shut down" and len(messages) > 1 else None
    )
    actor = actor_of(event, jobs, Batch(3, 0.01), ack_wait=LONG)
    wanted = set(range(8))
    async with stage(url, actor) as on:
        leftovers = Leftovers()
        for turn in islice(turns(), 0, None, EACH_TURN):
            jobs.seen.clear()
            await on.emit(*wanted)
            with anyio.fail_after(DEADLINE), anyio.CancelScope() as scope:
                stop = on.actors.shutdown if how == "shut down" else scope.cancel
                async with stopped_after(turn, stop):
                    await on.actors.listen()
            nothing_is_held(listenings)
            over = (await on.consumer(actor)).left == 0
            await handle_the_rest(on, actor, wanted, jobs)
            if how == "shut down":
                # It ends when the jobs have: what returned is not run again.
                assert Counter(jobs.messages) == Counter(wanted)
            if over:
                break
        await leftovers.none()


async def test_listen_cancelled_at_each_checkpoint(
    url: str, event: Event[int], listenings: list[Listening]
) -> None:
    jobs = Batches()
    actor = actor_of(event, jobs, Batch(3, 0.01), ack_wait=LONG)
    wanted = set(range(8))
    async with stage(url, actor) as on:
        await on.emit(*wanted)

        async def scenario() -> None:
            await on.actors.listen(burst=True, poll_delay=0.05)

        async def check() -> None:
            nothing_is_held(listenings)
            await handle_the_rest(on, actor, wanted, jobs)
            jobs.seen.clear()
            await on.emit(*wanted)
            listenings.clear()

        assert await sweep(scenario, check, bounded_by=DEADLINE) > 5


async def test_what_a_stop_hands_back_is_handled_together(url: str, event: Event[int]) -> None:
    handler = Batches()
    async with stage(url, actor := actor_of(event, handler, Batch(10, LONG), max_jobs=1)) as on:
        async with listening(on.actors):
            await on.emit(*range(5))
            await until(lambda: len(run_of(on.actors).workers.waiting) == 5)
        assert handler.seen == []
        async with listening(on.actors):
            await on.emit(*range(5, 10))
            await on.until_done(actor)
    assert handler.sizes == [10]


async def test_paused_and_limited(url: str, event: Event[int]) -> None:
    gate, seen = anyio.Event(), list[list[int]]()

    async def handle(messages: list[int]) -> None:
        seen.append(list(messages))
        await gate.wait()
        if len(seen) == 1:
            raise ValueError

    actor = Actor("a", event, handle, batch=Batch(3, 0.05), max_jobs=1)
    async with running(url, actor) as on:
        await on.emit(*range(3))
        await until(lambda: len(seen) == 1)
        await on.actors.pause(actor.name)
        gate.set()
        # Nothing is started in a pause, not even what a batch that failed is to do again.
        await until(lambda: on.actors.statistics().actors[0].handed_back == 3)
        await on.emit(*range(3, 9))
        assert len(seen) == 1
        await on.actors.resume(actor.name)
        await on.until_done(actor)
    assert sorted(each for some in seen[1:] for each in some) == list(range(9))


async def test_what_is_cancelled_is_not_handled_again(url: str, event: Event[int]) -> None:
    gate, seen = anyio.Event(), list[list[int]]()

    async def handle(messages: list[int]) -> None:
        seen.append(list(messages))
        await gate.wait()
        if len(messages) > 1:
            raise ValueError

    actor = Actor("a", event, handle, batch=Batch(3, 0.05), max_jobs=1)
    async with running(url, actor) as on:
        for number in range(3):
            await on.events.emit(event, number, uid=str(number), sync=True)
        await until(lambda: len(seen) == 1)
        [second] = [each for each in run_of(on.actors).deliveries.held if each.message.data == b"1"]
        run_of(on.actors).workers.cancel(second)
        gate.set()
        await on.until_done(actor)
    assert seen == [[0, 1, 2], [0], [2]]


async def test_it_is_not_tuned(event: Event[int]) -> None:
    actor = Actor("a", event, handle, batch=Batch(10, 1))
    with pytest.raises(ValueError, match="handles batches, which tune cannot measure"):
        await walnats.tune(actor)


# declarations


async def handle(messages: list[int]) -> None: ...


def test_a_batch_is_a_value(event: Event[int]) -> None:
    actor = Actor("a", event, handle, batch=Batch(10, 0.5))
    assert actor == Actor("a", event, handle, batch=Batch(10, 0.5))
    assert hash(actor) == hash(Actor("a", event, handle, batch=Batch(10, 0.5)))
    assert "batch=Batch(size=10, wait=0.5)" in repr(actor)
    ordinary: Any = Actor[Any, Any]
    prints = {
        str(ordinary("a", event, handle, batch=batch).consumer_config()["metadata"])
        for batch in (None, Batch(10, 0.5), Batch(11, 0.5), Batch(10, 1))
    }
    assert len(prints) == 4
    assert_type(actor, Actor[int, None])


@walnats.decorators.filter_time(hour=3)
async def at_three(messages: Any) -> None: ...


@walnats.decorators.suppress(KeyError)
@walnats.decorators.filter_time(hour=3)
async def at_three_and_quiet(messages: Any) -> None: ...


untyped: Any = walnats


@pytest.mark.parametrize(
    ("declare", "told"),
    [
        (lambda e: Batch(0, 1), "Batch: size must be at least 1, not 0"),
        (lambda e: untyped.Batch(1.5, 1), "Batch: size must be an int"),
        (lambda e: Batch(1, -1), "Batch: wait must be 0 to"),
        (lambda e: Batch(1, float("nan")), "Batch: wait must be"),
        (lambda e: untyped.Actor("a", e, handle, batch=10), "batch must be of Batch or NoneType"),
        (
            lambda e: Actor("a", e, handle, batch=Batch(100, 1)),
            "max_jobs=16 batches of 100 events need max_ack_pending=1600, which is 1000",
        ),
        (
            lambda e: untyped.Actor("a", e, handle, batch=Batch(1, 1), max_jobs="auto"),
            "with a batch, max_jobs must be a number",
        ),
        (
            lambda e: untyped.Actor("a", e, handle, batch=Batch(1, 1), max_jobs_total=3),
            "with a batch, max_jobs must be a number and max_jobs_total None, not 16 and 3",
        ),
        (
            lambda e: Actor("a", e, handle, batch=Batch(1, 5), pulse=False),
            "batch.wait=5 must be at most a quarter of ack_wait=16",
        ),
        (lambda e: Actor("a", e, at_three, batch=Batch(1, 1)), "filter_time looks at one message"),
        (
            lambda e: Actor("a", e, at_three_and_quiet, batch=Batch(1, 1)),
            "filter_time looks at one message",
        ),
        (
            lambda e: untyped.Actor("a", e.with_response(int), handle, batch=Batch(1, 1)),
            "has a response, which is to one message",
        ),
        (lambda e: BatchError({}), "names no message"),
        (lambda e: untyped.BatchError([ValueError()]), "by the places of messages"),
        (lambda e: untyped.BatchError({"1": ValueError()}), "by the places of messages"),
        (lambda e: untyped.BatchError({1: "bad"}), "by the places of messages"),
        (lambda e: BatchError({-1: ValueError()}), "0 or more, not -1"),
    ],
)
def test_what_cannot_be_declared(
    event: Event[int], declare: Callable[[Any], Any], told: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        declare(event)


def test_the_text_of_a_batch_error() -> None:
    some = {at: ValueError(at) for at in range(12)}
    assert str(BatchError(some)).startswith("0: ValueError(0); 1: ValueError(1)")
    assert str(BatchError(some)).endswith("; and 2 more")
    assert str(BatchError({3: OSError("x")})) == "3: OSError('x')"
