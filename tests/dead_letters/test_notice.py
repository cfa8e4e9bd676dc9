"""The event about a dead letter: who gets it, and what it must not harm."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import walnats_anyio as walnats
from tests.actors._stage import running
from tests.dead_letters._office import PLACED, Office, a_letter, office
from tests.support.sweep import sweep
from tests.support.waiting import until
from walnats_anyio._events import _publication
from walnats_anyio._letters import STREAM, _notice, write_and_tell
from walnats_anyio._link import api, open_link
from walnats_anyio.dead_letters import DEAD_LETTER_WRITTEN, DeadLetterWritten
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

STREAM_NAME = DEAD_LETTER_WRITTEN.stream_name


async def reject(message: int) -> None:
    raise walnats.Reject(f"no box for {message}")


PACK = walnats.Actor("pack", PLACED, reject)


def alerting(told: list[DeadLetterWritten]) -> walnats.Actor[Any, Any]:
    async def alert(message: DeadLetterWritten) -> None:
        told.append(message)

    return walnats.Actor("alert", DEAD_LETTER_WRITTEN, alert)


async def make_stream(desk: Office, **changes: Any) -> None:
    """Make the stream of the events, which keeps them without an actor."""
    config = DEAD_LETTER_WRITTEN.stream_config() | {"retention": "limits"} | changes
    await api(desk.link, f"STREAM.CREATE.{STREAM_NAME}", config)


async def events_stored(desk: Office) -> int:
    return int((await api(desk.link, f"STREAM.INFO.{STREAM_NAME}"))["state"]["messages"])


async def test_an_actor_is_told_of_each_letter(nats_url: str) -> None:
    told: list[DeadLetterWritten] = []
    async with running(nats_url, PACK, alerting(told)) as staged, office(nats_url) as desk:
        await staged.events.emit(PLACED, 17, trace_id="t-17", sync=True)
        await staged.emit(18)
        await until(lambda: len(told) == 2)
        letters = {letter.number: letter async for letter in desk.dead}
        for message in told:
            letter = letters[message.number]
            assert message == DeadLetterWritten(
                number=letter.number,
                event="shop.placed",
                actor="pack",
                reason="rejected",
                error_type=letter.error_type,
                error=f"no box for {letter.payload.decode()}",
                fingerprint=letter.fingerprint,
                attempts=1,
                seq_number=letter.seq_number,
                emitted_at=letter.emitted_at,
                died_at=letter.died_at,
            )
        assert told[0].fingerprint == told[1].fingerprint


async def test_nobody_who_does_not_want_them_gets_any(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_notice, "LOOK_EVERY", 0.0)
    async with running(nats_url, PACK) as staged, office(nats_url) as desk:
        said = await staged.overhear(DEAD_LETTER_WRITTEN.name)
        await staged.emit(1)
        await staged.until_done(PACK)
        assert said == []
        # From when it is registered on there are.
        await make_stream(desk)
        await staged.emit(2)
        await staged.until_done(PACK)
        assert len(said) == 1
        # And when its stream is gone there are none again.
        await api(desk.link, f"STREAM.DELETE.{STREAM_NAME}")
        await staged.emit(3)
        await staged.until_done(PACK)
        assert len(said) == 1
        assert await desk.dead.count() == 3


async def test_it_is_not_looked_again_for_each_letter(nats_url: str) -> None:
    async with running(nats_url, PACK) as staged:
        asked = await staged.overhear(f"$JS.API.STREAM.INFO.{STREAM_NAME}")
        await staged.emit(*range(20))
        await staged.until_done(PACK)
        assert len(asked) == 1


async def test_an_alert_that_is_given_up_itself_makes_no_event(nats_url: str) -> None:
    async def fail(message: DeadLetterWritten) -> None:
        raise walnats.Reject("nobody is on call")

    alert = walnats.Actor("alert", DEAD_LETTER_WRITTEN, fail)
    async with running(nats_url, PACK, alert) as staged, office(nats_url) as desk:
        said = await staged.overhear(DEAD_LETTER_WRITTEN.name)
        await staged.emit(1)
        await staged.until_done(PACK, alert)
        assert [letter.actor async for letter in desk.dead] == ["pack", "alert"]
        assert len(said) == 1


async def test_in_a_namespace(nats_url: str) -> None:
    async with open_link(nats_url) as plain:
        config = DEAD_LETTER_WRITTEN.stream_config()
        config |= {"name": f"green-{STREAM_NAME}", "retention": "limits"}
        config["subjects"] = [f"green.{DEAD_LETTER_WRITTEN.name}"]
        await api(plain, f"STREAM.CREATE.green-{STREAM_NAME}", config)
        events, actors = walnats.Events(PLACED), walnats.Actors(PACK)
        async with (
            events.connect(nats_url, namespace="green") as emitting,
            actors.connect(nats_url, namespace="green") as conn,
        ):
            await emitting.register()
            await conn.register()
            await emitting.emit(PLACED, 1, sync=True)
            await conn.listen(burst=True)
        state = (await api(plain, f"STREAM.INFO.green-{STREAM_NAME}"))["state"]
        assert state["messages"] == 1


# Neither is lost


async def test_cancelled_anywhere_and_done_again_there_is_one_of_each(nats_url: str) -> None:
    async with office(nats_url) as desk:
        await make_stream(desk)
        written = 0
        letter = a_letter()

        async def scenario() -> None:
            _notice._looks.clear()
            await write_and_tell(desk.link, letter)

        async def check() -> None:
            nonlocal written, letter
            events, letters = await events_stored(desk), await desk.dead.count()
            assert events <= letters, "an event without a letter"
            # As when the delivery comes again.
            await write_and_tell(desk.link, letter)
            written += 1
            assert (await events_stored(desk), await desk.dead.count()) == (written, written)
            letter = a_letter()

        assert await sweep(scenario, check, bounded_by=10.0) >= 4


async def test_a_stream_that_does_not_answer_has_it_done_again(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office(nats_url) as desk:
        await make_stream(desk, no_ack=True)
        await desk.write(a_letter())
        link, letter = desk.link, a_letter()
        monkeypatch.setattr(_publication, "ACKNOWLEDGED_WITHIN", 0.3)
        with pytest.raises(walnats.ServerError, match="no acknowledgement within"):
            await write_and_tell(link, letter)


@pytest.mark.parametrize("kind", ["full", "denied"])
async def test_a_stream_that_refuses_it_harms_nobody(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    rights: dict[str, Any] = {"publish": {"deny": [DEAD_LETTER_WRITTEN.name]}}
    users = [
        {"user": "boss", "password": "p"},
        {"user": "kim", "password": "p", "permissions": rights},
    ]
    with NatsServer(config={"authorization": {"users": users}}) as server:
        name = "kim" if kind == "denied" else "boss"
        url = server.url.replace("//", f"//{name}:p@")
        async with running(url, PACK) as staged, office(url) as desk:
            limits = {"max_msgs": 1, "discard": "new"} if kind == "full" else {}
            await make_stream(desk, **limits)
            await staged.emit(1, 2, 3)
            await staged.until_done(PACK)
            assert await desk.dead.count() == 3
    said = [one.message for one in caplog.records if "the event about it" in one.message]
    assert len(said) == (2 if kind == "full" else 3)


async def test_whoever_may_not_look_emits_none(caplog: pytest.LogCaptureFixture) -> None:
    rights = {
        "publish": {"deny": [f"$JS.API.STREAM.INFO.{name}" for name in (STREAM_NAME, STREAM)]}
    }
    users = [
        {"user": "boss", "password": "p"},
        {"user": "kim", "password": "p", "permissions": rights},
    ]
    with NatsServer(config={"authorization": {"users": users}}) as server:
        boss, kim = (server.url.replace("//", f"//{name}:p@") for name in ("boss", "kim"))
        async with office(boss) as desk, open_link(kim) as link:
            await make_stream(desk)
            await write_and_tell(link, a_letter())
            assert await desk.dead.count() == 1
            assert await events_stored(desk) == 0
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


# A stream of letters that is full


@pytest.mark.parametrize("limits", [{"messages": 2}, {"bytes": 2_000}])
async def test_that_the_oldest_letters_go_is_said_once(
    nats_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, int],
) -> None:  # fmt: skip
    monkeypatch.setattr(_notice, "LOOK_EVERY", 0.0)
    async with office(nats_url) as desk:
        await desk.dead.register(limits=walnats.Limits(**limits))
        await write_and_tell(desk.link, a_letter())
        assert caplog.records == []
        for _ in range(4):
            await write_and_tell(desk.link, a_letter())
        [said] = [one.message for one in caplog.records]
        assert "is at its limit" in said
        assert "DeadLetters.register" in said
