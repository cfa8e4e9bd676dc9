"""A letter is published until its stream has it; what a stream answers, and when it is too late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

import walnats_anyio as walnats
from tests.dead_letters._office import PLACED, Office, a_letter, office, register
from tests.support.answering import answering, refusal
from tests.support.waiting import until
from walnats_anyio._events import _publication
from walnats_anyio._letters import STREAM, create_stream
from walnats_anyio._link import Message, api
from walnats_anyio.dead_letters import DeadLetter
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

ACKNOWLEDGED = b'{"stream":"shop-placed","seq":1}'


@asynccontextmanager
async def writing(desk: Office) -> AsyncIterator[None]:
    """Write a letter meanwhile, and wait until it is stored."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.write, a_letter())
        yield


# Later


@pytest.mark.parametrize("code", [10008, 10009, 10158, 10167])
async def test_a_letter_that_is_refused_for_now_is_stored_later(nats_url: str, code: int) -> None:
    async with office(nats_url, stream=False) as desk:
        answer = lambda count: refusal(code) if count == 1 else None  # noqa: E731 - short beside its name
        async with answering(nats_url, "walnats.dead.>", answer) as came, writing(desk):
            await until(lambda: len(came) == 1)
            await create_stream(desk.link, 1)
            await until(lambda: len(came) == 2)
        assert await desk.dead.count() == 1


@pytest.mark.parametrize("code", [10008, 10167])
async def test_a_requeue_that_is_refused_for_now_succeeds_later(nats_url: str, code: int) -> None:
    await register(nats_url, walnats.Actor("pack", PLACED, print))
    async with office(nats_url) as desk:
        # The stream stores it and says nothing: what it answers is told by the test.
        config = PLACED.stream_config() | {"no_ack": True}
        await api(desk.link, "STREAM.UPDATE.shop-placed", config)
        await desk.write(a_letter())
        answer = lambda count: refusal(code) if count == 1 else ACKNOWLEDGED  # noqa: E731 - short beside its name
        async with answering(nats_url, "shop.placed", answer) as came:
            await desk.dead.requeue(await desk.dead.get(1))
        assert len(came) == 2
        assert len(await desk.emitted(PLACED)) == 1
        assert await desk.dead.count() == 0


async def test_nobody_takes_it_for_a_moment(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_publication, "NOBODY_WITHIN", 4.0)
    async with office(nats_url, stream=False) as desk:
        async with writing(desk):
            await anyio.wait_all_tasks_blocked()
            # A round trip after the letter: it has been answered with 503.
            await desk.link.flush()
            await create_stream(desk.link, 1)
        assert await desk.dead.count() == 1


async def test_nobody_takes_it_while_jetstream_starts(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_publication, "NOBODY_WITHIN", 0.0)
    async with office(nats_server.url, stream=False) as desk:
        with pytest.raises(walnats.ServerError, match="there is no stream that takes it"):
            await desk.write(a_letter())
        await nats_server.restart()
        await until(lambda: desk.link.settling)
        async with writing(desk):
            await anyio.wait_all_tasks_blocked()
            await desk.link.flush()
            await create_stream(desk.link, 1)
        assert await desk.dead.count() == 1


async def test_nobody_takes_it_while_a_server_stops(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its JetStream is gone before its connections are."""
    monkeypatch.setattr(_publication, "NOBODY_WITHIN", 0.0)
    async with office(nats_server.url) as desk:
        nats_server.lame_duck()
        await until(lambda: desk.link.info.ldm)
        async with writing(desk):
            await anyio.wait_all_tasks_blocked()
            await desk.link.flush()
            nats_server.kill()  # it would take half a minute
            await nats_server.start()
        assert await desk.dead.count() == 1


# Too late


async def test_what_is_told_as_failed_is_not_stored_later(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_publication, "ACKNOWLEDGED_WITHIN", 0.2)
    async with office(nats_url, stream=False) as desk:
        async with answering(nats_url, "walnats.dead.>", lambda _: refusal(10008)) as came:
            with pytest.raises(walnats.ServerError, match="no acknowledgement within"):
                await desk.write(a_letter())
            assert len(came) == 1
        monkeypatch.undo()
        # This one is repeated at a time at which the first one would have been.
        other = a_letter(actor="other")
        answer = lambda count: refusal(10008) if count == 1 else None  # noqa: E731 - short beside its name
        async with answering(nats_url, "walnats.dead.*.other.*", answer) as came:
            await create_stream_after(came, desk, other)
        assert [letter async for letter in desk.dead] == [other]


async def create_stream_after(came: list[Message], desk: Office, letter: DeadLetter) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.write, letter)
        await until(lambda: len(came) == 1)
        await create_stream(desk.link, 1)


async def test_what_is_told_as_failed_does_not_go_out_after_a_reconnect(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_publication, "ACKNOWLEDGED_WITHIN", 0.2)
    async with office(nats_server.url) as desk:
        nats_server.kill()
        await until(lambda: not desk.link.connected)
        with pytest.raises(walnats.ServerError, match="no acknowledgement within"):
            await desk.write(a_letter())
        monkeypatch.undo()
        await nats_server.start()
        other = a_letter()
        await desk.write(other)
        assert [letter async for letter in desk.dead] == [other]


async def test_a_letter_that_was_cancelled_does_not_go_out_after_a_reconnect(
    nats_server: NatsServer,
) -> None:
    async with office(nats_server.url) as desk:
        nats_server.kill()
        await until(lambda: not desk.link.connected)
        with anyio.move_on_after(0.05):
            await desk.write(a_letter())
        await nats_server.start()
        other = a_letter()
        await desk.write(other)
        assert [letter async for letter in desk.dead] == [other]


async def test_an_acknowledgement_of_another_kind_of_answer(nats_url: str) -> None:
    async with office(nats_url) as desk:
        config = await desk.config() | {"max_msg_size": 10}
        await api(desk.link, f"STREAM.UPDATE.{STREAM}", config)
        with pytest.raises(walnats.ServerError, match="message size exceeds") as caught:
            await desk.write(a_letter())
        assert caught.value.code == 10054
