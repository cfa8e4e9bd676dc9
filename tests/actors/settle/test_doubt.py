"""Notes of attempts that cannot be written or read, or that a stranger wrote.

In doubt an event is run: attempts are at least 1 and no more than there were deliveries, nothing is
given up that was only handed back, and the log says once what is wrong.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.actors._stage import Stage, letters_of, listening, stage, take_and_vanish
from tests.support.recorders import Recorder
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actor, Actors, Event, ServerError
from walnats_anyio._actors.settle import _attempts
from walnats_anyio._link import api, pub
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedActors

pytestmark = pytest.mark.anyio

NOTES = "walnats-attempts"
DIRECT_GET = f"$JS.API.DIRECT.GET.{NOTES}.>"

DENIED = {
    "may not write": ["walnats.attempts.>"],
    "may not read": [DIRECT_GET],
    "may neither write nor read": ["walnats.attempts.>", DIRECT_GET],
    "may not list": [f"$JS.API.STREAM.INFO.{NOTES}"],
    "gone": [f"$JS.API.STREAM.CREATE.{NOTES}"],
}
"""What the worker's user may not publish to."""


class Handler:
    """Waits for ever, until it is told to fail instead."""

    def __init__(self) -> None:
        self.fails = False

    async def __call__(self, message: int) -> None:
        if self.fails:
            raise ValueError("wrong")
        await anyio.sleep_forever()


def server_for(case: str) -> NatsServer:
    allowed = {"publish": {"allow": [">"], "deny": DENIED.get(case, ["nothing"])}}
    users = [
        {"user": "admin", "password": "a"},
        {"user": "worker", "password": "w", "permissions": allowed},
    ]
    return NatsServer(config={"authorization": {"users": users}})


async def fill(on: Stage) -> None:
    """Let the stream of the notes take nothing more."""
    config = (await api(on.link, f"STREAM.INFO.{NOTES}"))["config"]
    await api(on.link, f"STREAM.UPDATE.{NOTES}", config | {"max_msgs": 1, "discard": "new"})
    await on.link.request("walnats.attempts.x.y.z", b"1 1 1")


async def delete(on: Stage) -> None:
    await api(on.link, f"STREAM.DELETE.{NOTES}")


async def stop_in_the_middle(conn: ConnectedActors, notes: Recorder, jobs: int) -> None:
    """Listen until so many jobs have begun, and cancel them."""
    with anyio.fail_after(DEADLINE):
        async with listening(conn) as tasks:
            await notes.come(jobs)
            tasks.cancel_scope.cancel()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the actors have warned of."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and record.name == "walnats_anyio.actors"
    ]


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("case", [*DENIED, "full", "made anew"])
async def test_what_was_only_handed_back_is_run(
    caplog: pytest.LogCaptureFixture, case: str, most: int
) -> None:
    event = Event("numbers", int)
    notes, handler = Recorder(), Handler()
    actor = Actor("a", event, handler, max_attempts=most, retry_delay=(), middlewares=(notes,))
    async with (
        server_for(case) as server,
        stage(server.url, actor, user="admin", password="a") as on,
        Actors(actor).connect(server.url, user="worker", password="w") as conn,
    ):
        await on.emit(1)
        if case == "full":
            await fill(on)
        for stop in (1, 2, 3):
            await stop_in_the_middle(conn, notes, stop)
            if case in ("gone", "made anew"):
                with suppress(ServerError):  # it is gone already
                    await delete(on)
        handler.fails = True
        async with listening(conn):
            await on.until_done(actor)
        admin = server.url.replace("//", "//admin:a@")
        (letter,) = await letters_of(admin, event)
    assert (letter.reason, letter.attempts) == ("exhausted", most)
    # No failure is told of what was handed back.
    assert notes.failed_attempts == list(range(most - len(notes.failed_attempts) + 1, most + 1))
    for deliveries, attempt in enumerate(notes.attempts, 1):
        assert 1 <= attempt <= min(deliveries, most)
    said = warnings(caplog)
    # Each `listen` says so anew.
    assert max(map(said.count, said), default=0) <= 4
    # With more attempts than one, an event whose notes are lost runs alone once more.
    assert said or (case, most) == ("made anew", 3)


async def test_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    event = Event("numbers", int)
    notes, handler = Recorder(), Handler()
    actor = Actor("a", event, handler, max_attempts=3, middlewares=(notes,))
    async with (
        server_for("may not read") as server,
        stage(server.url, actor, user="admin", password="a") as on,
        Actors(actor).connect(server.url, user="worker", password="w") as conn,
    ):
        await on.emit(*range(5))
        await stop_in_the_middle(conn, notes, 5)
        await stop_in_the_middle(conn, notes, 10)
    (said,) = warnings(caplog)
    assert "the notes of attempts cannot be read, so every delivery counts as one" in said
    assert "allow the user to publish to this subject" in said


async def test_a_note_that_is_under_way_is_waited_for(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process gave the event back, and the event was faster than the note."""
    monkeypatch.setattr(_attempts, "LOOK_AGAIN_AFTER", 1.5)
    event = Event("numbers", int)
    notes, handler = Recorder(), Handler()
    handler.fails = True
    actor = Actor("a", event, handler, max_attempts=1, middlewares=(notes,))
    async with stage(nats_url, actor) as on:
        await on.emit(1)
        subject, reply = await take(on, actor)
        on.link.post(pub(reply, b"-NAK"))
        asked = await on.overhear(f"$JS.API.DIRECT.GET.{NOTES}.>")
        async with listening(on.actors):
            await until(lambda: asked != [])
            await anyio.sleep(0.4)
            await on.link.request(subject, b"1 0 0")
            await on.until_done(actor)
    (letter,) = await letters_of(nats_url, event)
    assert (letter.reason, letter.attempts) == ("exhausted", 1)
    assert notes.attempts == [1]


async def test_how_notes_are_kept(nats_url: str) -> None:
    """The last one of each event, for a week."""
    event = Event("numbers", int)
    async with stage(nats_url, Actor("a", event, Handler())) as on:
        config = (await api(on.link, f"STREAM.INFO.{NOTES}"))["config"]
    assert config["max_age"] == 7 * 24 * 3600 * 10**9
    assert config["max_msgs_per_subject"] == 1
    assert config["retention"] == "limits"


async def take(on: Stage, actor: Actor[int, Any]) -> tuple[str, bytes]:
    """Take an event and keep quiet; gives the subject of its note, and where to acknowledge it."""
    replies: list[bytes] = []
    on.link.subscribe_to("vanished", lambda message: replies.append(message.reply))
    await take_and_vanish(on, actor)
    tokens = replies[0].decode().split(".")
    at = 4 if len(tokens) == 9 else 6
    name = f"{actor.event.stream_name}.{actor.consumer_name}"
    return f"walnats.attempts.{name}.{tokens[at + 1]}-{tokens[at + 3]}", replies[0]


FORGED = [
    b"",
    b"nonsense",
    b"\xff\xfe\xfd",
    b"-1 -5 -5",
    b"1 -998 0",
    b"1 1.5 0",
    b"1 1e3 0",
    b"1 99999999999 99999999999",
    b"1 0 99999999999",
    b"1 9999999999999999999999999999 0",
    b"9" * 500_000,
    b"1 0 0 " * 100_000,
    "\N{ARABIC-INDIC DIGIT ONE} 0 0".encode(),
]


@pytest.mark.parametrize("payload", FORGED, ids=lambda payload: repr(payload[:20]))
async def test_what_is_no_note_costs_no_attempt(
    nats_url: str, caplog: pytest.LogCaptureFixture, payload: bytes
) -> None:
    """An event with one attempt was handed back once, and a stranger wrote over the note."""
    event = Event("numbers", int)
    notes, handler = Recorder(), Handler()
    actor = Actor("a", event, handler, max_attempts=1, middlewares=(notes,))
    async with stage(nats_url, actor) as on:
        await on.emit(1)
        await stop_in_the_middle(on.actors, notes, 1)
        await on.link.request(await subject_of_note(on), payload)
        handler.fails = True
        async with listening(on.actors):
            await on.until_done(actor)
    (letter,) = await letters_of(nats_url, event)
    assert (letter.reason, letter.attempts) == ("exhausted", 1)
    assert notes.attempts == [1, 1]
    (said,) = warnings(caplog)
    assert "cannot be read" in said
    assert "where a note should be" in said


async def subject_of_note(on: Stage) -> str:
    """The only one. Nobody waits for its acknowledgement, so it may still be under way."""
    wanted = {"subjects_filter": "walnats.attempts.>"}
    subjects: list[str] = []
    with anyio.fail_after(DEADLINE):
        while not subjects:
            answer = await api(on.link, f"STREAM.INFO.{NOTES}", wanted)
            subjects = list(answer["state"].get("subjects", ()))
    (subject,) = subjects
    return subject


@pytest.mark.parametrize(
    ("marked", "attempts"),
    [
        (["x", "-1", "0", "1.5", "²", "9" * 12, "9" * 200], [2, 3]),
        (["1"], [1, 2, 3]),  # nobody can tell it from one of ours
    ],
)
async def test_forged_marks(nats_url: str, marked: list[str], attempts: list[int]) -> None:
    event = Event("numbers", int)
    notes, handler = Recorder(), Handler()
    handler.fails = True
    options: dict[str, Any] = {"ack_wait": 0.3, "retry_delay": (), "middlewares": (notes,)}
    actor = Actor("a", event, handler, max_attempts=3, **options)
    async with stage(nats_url, actor) as on:
        await on.emit(1)
        note, _ = await take(on, actor)
        for mark in marked:
            with suppress(ValueError):
                await on.link.request(f"{note}.{mark}", b"")
        async with listening(on.actors):
            await on.until_done(actor)
    assert notes.attempts == attempts


async def test_a_stop_in_the_middle_of_a_look_at_the_notes(url: str, event: Event[int]) -> None:
    """What was not found out yet is not written down as no attempts."""
    notes = Recorder()

    def fail(message: int) -> None:
        if len(notes.attempts) == 1:
            on.actors.shutdown()
        raise ValueError("wrong")

    actor = Actor("a", event, fail, max_attempts=3, retry_delay=(), middlewares=(notes,))
    async with stage(url, actor) as on:
        for turn in range(1, 200, 3):
            notes.attempts.clear()
            await on.emit(turn)
            with anyio.fail_after(DEADLINE):
                await on.actors.listen()
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(on.actors.listen)
                    for _ in range(turn):
                        await checkpoint()
                    scope.cancel()
            over = len(notes.attempts) == 3
            async with listening(on.actors):
                await on.until_done(actor)
            assert notes.attempts == [1, 2, 3]
            if over:
                break
