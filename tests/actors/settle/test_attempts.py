"""Attempts count runs of the handler: what is handed back at a stop is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors._stage import letters_of, listening, stage, take_and_vanish
from tests.support.recorders import Gate, Recorder
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actor, Actors, Event
from walnats_anyio._actors.settle import Counts, Deliveries, Delivery
from walnats_anyio._actors.settle._attempts import Attempts
from walnats_anyio._events import HeldEmitter
from walnats_anyio._link import NO_PREFIXES, Message
from walnats_anyio.middlewares import Middleware
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ErrorContext

pytestmark = pytest.mark.anyio


class Patient:
    """Waits for ever, until it is told to fail instead."""

    def __init__(self) -> None:
        self.fails = False

    async def __call__(self, message: int) -> None:
        if self.fails:
            raise ValueError("wrong")
        await anyio.sleep_forever()


@pytest.mark.parametrize("graceful", [True, False])
async def test_runs_that_a_stop_cuts_short_are_no_attempts(
    url: str, event: Event[int], graceful: bool
) -> None:
    notes, handler = Recorder(), Patient()
    actor = Actor("a", event, handler, max_attempts=2, retry_delay=(), middlewares=(notes,))
    async with stage(url, actor) as on:
        await on.emit(1)
        for stop in range(1, 4):
            with anyio.fail_after(DEADLINE):
                async with listening(on.actors, shutdown_timeout=0.01) as tasks:
                    await notes.come(stop)
                    if not graceful:
                        tasks.cancel_scope.cancel()
        handler.fails = True
        async with listening(on.actors):
            await on.until_done(actor)
    assert notes.attempts == [1, 1, 1, 1, 2]
    assert notes.failed_attempts == [1, 2]
    (letter,) = await letters_of(url, event)
    assert (letter.reason, letter.attempts) == ("exhausted", 2)


async def test_what_was_not_started_is_no_attempt(url: str, event: Event[int]) -> None:
    """It waited for a worker while another actor of the process had them all."""
    gate, notes = Gate(), Recorder()
    hog = Actor("hog", event, gate)
    actor = Actor("a", event, Patient(), max_attempts=1, middlewares=(notes,))
    async with stage(url, hog, actor) as on:

        async def both_ask() -> bool:
            consumers = [await on.consumer(hog), await on.consumer(actor)]
            return [consumer.requested for consumer in consumers] == [1, 1]

        async def both_hold() -> bool:
            consumers = [await on.consumer(hog), await on.consumer(actor)]
            return [consumer.taken for consumer in consumers] == [1, 1]

        async with listening(on.actors, max_jobs=1, shutdown_timeout=0.01):
            await until(both_ask)
            await on.emit(1)
            await until(both_hold)
            await until(lambda: len(gate.started) + len(notes.attempts) == 1)
        async with Actors(actor).connect(url) as conn, listening(conn, shutdown_timeout=0.01):
            await until(lambda: notes.attempts != [])
    assert set(notes.attempts) == {1}
    assert await letters_of(url, event) == []


async def test_what_died_with_its_worker_is_an_attempt(url: str, event: Event[int]) -> None:
    notes, handler = Recorder(), Patient()
    handler.fails = True
    actor = Actor(
        "a", event, handler, max_attempts=3, ack_wait=0.3, retry_delay=(), middlewares=(notes,)
    )
    async with stage(url, actor) as on:
        await on.emit(1)
        await take_and_vanish(on, actor)
        async with listening(on.actors):
            await on.until_done(actor)
    assert notes.failed_attempts == [2, 3]
    (letter,) = await letters_of(url, event)
    assert (letter.reason, letter.attempts) == ("exhausted", 3)


async def test_a_note_for_each_failure_and_no_other(url: str, event: Event[int]) -> None:
    """To which delivery, how many attempts, and how many of them died."""
    handler = Patient()
    handler.fails = True
    actor = Actor("a", event, handler, max_attempts=3, retry_delay=())
    async with stage(url, actor) as on:
        notes = await on.overhear(f"walnats.attempts.{event.stream_name}.>")
        asked = await on.overhear("$JS.API.DIRECT.GET.walnats-attempts.>")
        await on.emit(1)
        async with listening(on.actors):
            await on.until_done(actor)
    assert notes == [b"1 1 0", b"2 2 0"]
    assert asked == [], "the process knows what it has given back itself"


async def test_a_run_alone_is_noted_before_it_begins(url: str, event: Event[int]) -> None:
    """If it dies as well, the note shows that it was this event that killed the process."""
    notes: list[bytes] = []
    noted_before: list[list[bytes]] = []

    def handle(message: int) -> None:
        noted_before.append(list(notes))

    actor = Actor("a", event, handle, max_attempts=2, ack_wait=0.3)
    async with stage(url, actor) as on:
        notes = await on.overhear(f"walnats.attempts.{event.stream_name}.>")
        await on.emit(1)
        await take_and_vanish(on, actor)
        async with listening(on.actors):
            await on.until_done(actor)
    assert noted_before == [[b"2 2 2"]]


async def test_a_failure_whose_hook_is_cut_short_is_an_attempt(url: str, event: Event[int]) -> None:
    hooked = anyio.Event()

    class Slow(Middleware):
        async def on_failure(self, ctx: ErrorContext, /) -> None:
            if ctx.attempts == 1:
                hooked.set()
                await anyio.sleep_forever()

    notes, handler = Recorder(), Patient()
    handler.fails = True
    actor = Actor("a", event, handler, max_attempts=2, retry_delay=(), middlewares=(Slow(), notes))
    async with stage(url, actor) as on:
        await on.emit(1)
        async with listening(on.actors) as tasks:
            await hooked.wait()
            tasks.cancel_scope.cancel()
        async with listening(on.actors):
            await on.until_done(actor)
    assert notes.failed_attempts == [1, 2]
    (letter,) = await letters_of(url, event)
    assert letter.attempts == 2


NAME = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=20)
COUNT = st.integers(1, 2**63 - 1)


@given(NAME, NAME, COUNT, COUNT, COUNT, COUNT, COUNT, st.booleans(), st.booleans())
def test_reply_subjects_of_all_servers_are_read(
    stream: str, consumer: str, delivered: int, number: int, of_consumer: int, stored: int,
    pending: int, with_domain: bool, with_end: bool,
) -> None:  # fmt: skip
    """Nine tokens, or eleven with domain and account, and perhaps a random one (ADR-15)."""
    tokens: list[Any] = [stream, consumer, delivered, number, of_consumer, stored, pending]
    if with_domain:
        tokens = ["hub", "hash", *tokens] + ["random"] * with_end
    reply = ".".join(map(str, ["$JS", "ACK", *tokens])).encode()
    event: Event[int] = Event(stream, int)

    async def handle(message: int) -> None:
        pass

    link: Any = SimpleNamespace(post=None, prefixes=NO_PREFIXES)  # not asked
    actor = Actor(consumer, event, handle)
    attempts = Attempts(actor, link)
    assert attempts.is_first(reply) == (delivered == 1)
    assert reply.startswith(attempts.first) == (delivered == 1)
    deliveries = Deliveries(actor, link, attempts, Counts(), cast("HeldEmitter", None))
    delivery = Delivery(deliveries, Message(b"", b"", reply, b""), 0)
    subject = f"walnats.attempts.{stream}.{consumer}.{number}-{stored}"
    if delivered > 1:
        # What came before it was not asked: it says of itself alone that it was no attempt.
        mark = f"PUB {subject}.{delivered} 0\r\n\r\n"
        assert attempts.note(delivery, failed=False) == mark.encode()
    delivery.attempt, delivery.looked_up = 3, True
    for failed, payload in ((True, f"{delivered} 3 0"), (False, f"{delivered} 2 0")):
        note = f"PUB {subject} {len(payload)}\r\n{payload}\r\n"
        assert attempts.note(delivery, failed=failed) == note.encode()


WORKER = {
    "publish": ["$JS.API.CONSUMER.INFO.>", "$JS.API.CONSUMER.MSG.NEXT.>", "$JS.ACK.>", "_INBOX.>"],
    "subscribe": ["_INBOX.>"],
}
USERS = [
    {"user": "admin", "password": "a"},
    {"user": "worker", "password": "w", "permissions": WORKER},
]


async def test_a_worker_that_may_do_nothing_but_work(caplog: pytest.LogCaptureFixture) -> None:
    """It may neither leave notes nor read them, so every delivery counts; and it says so."""
    event = Event("numbers", int)
    notes, handler = Recorder(), Patient()
    actor = Actor(
        "a", event, handler, max_attempts=3, retry_delay=(), middlewares=(notes,),
        dead_letters=False,
    )  # fmt: skip
    users = {"authorization": {"users": USERS}}
    async with (
        NatsServer(config=users) as server,
        stage(server.url, actor, user="admin", password="a") as on,
        Actors(actor).connect(server.url, user="worker", password="w") as conn,
    ):
        await on.emit(1)
        async with listening(conn) as tasks:
            await notes.come(1)
            tasks.cancel_scope.cancel()
        handler.fails = True
        async with listening(conn):
            await on.until_done(actor)
    assert notes.attempts == [1, 2, 3]
    assert "may be missing" in caplog.text
    assert "the notes of attempts cannot be read, so every delivery counts as one" in caplog.text
