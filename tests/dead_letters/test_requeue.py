"""Putting letters back for the actor that gave them up, and throwing them away."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.actors._stage import listening, running, stage
from tests.dead_letters._office import PLACED, a_letter, office, register
from tests.support.recorders import Handled
from walnats_anyio._link import api
from walnats_anyio.dead_letters import DeadLetter, LetterNotFoundError, RequeueError
from walnats_anyio.dead_letters._requeue import put_back
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio


def actor(name: str, handler: Any = print, **options: Any) -> walnats.Actor[int, Any]:
    return walnats.Actor(name, PLACED, handler, **options)


def headers_in(message: dict[str, Any]) -> dict[str, str]:
    lines = b64decode(message["hdrs"]).decode().split("\r\n")[1:-2]
    return dict(line.split(": ", 1) for line in lines)


# Requeue


async def test_the_event_is_put_back_and_the_letter_goes(nats_url: str) -> None:
    await register(nats_url, actor("pack"), actor("send"))
    async with office(nats_url) as desk:
        headers = {
            "Walnats-Trace": "t-1",
            "Shop": "Käthe's",
            "Walnats-Actor": "somebody",
            "walnats-actor": "somebody",
            "Walnats-Delay": "9999999999",
            "Nats-TTL": "1s",
            "Nats-Msg-Id": "first",
            "Nats-Expected-Last-Sequence": "77",
            "nats-rollup": "all",
        }
        letter, other = a_letter(payload=b"17", headers=headers), a_letter()
        await desk.write(letter, other)
        await desk.dead.requeue(letter)
        assert [left async for left in desk.dead] == [other]
        [message] = await desk.emitted(PLACED)
        assert b64decode(message["data"]) == b"17"
        sent = headers_in(message)
        assert sent.pop("Nats-Msg-Id") not in ("", "first")
        assert sent == {
            "Walnats-Trace": "t-1",
            "Shop": "Käthe's",
            "Walnats-Actor": "pack",
            "Nats-Expected-Stream": "shop-placed",
        }


async def test_a_requeue_that_is_repeated_is_recognised(nats_url: str) -> None:
    await register(nats_url, actor("pack"))
    async with office(nats_url) as desk:
        letter, other = a_letter(), a_letter()
        await desk.write(letter, other)
        # As far as a process came that was killed before it could delete the letter.
        await put_back(desk.link, letter)
        await desk.dead.requeue(letter)
        await desk.dead.requeue(other)
        assert await desk.dead.count() == 0
        assert len(await desk.emitted(PLACED)) == 2


async def test_letters_of_two_actors_are_two_events(nats_url: str) -> None:
    await register(nats_url, actor("pack"), actor("send"))
    async with office(nats_url) as desk:
        letter = a_letter()
        await desk.write(letter, replace(letter, actor="send"))
        async for one in desk.dead:
            await desk.dead.requeue(one)
        assert len(await desk.emitted(PLACED)) == 2


async def test_many_at_once(nats_url: str) -> None:
    await register(nats_url, actor("pack"))
    async with office(nats_url) as desk:
        letters = [a_letter() for _ in range(50)]
        await desk.write(*letters)
        async with anyio.create_task_group() as tasks:
            for letter in letters:
                tasks.start_soon(desk.dead.requeue, letter)
        assert await desk.dead.count() == 0
        assert len(await desk.emitted(PLACED)) == 50


async def test_two_at_once_requeue_it_once(nats_url: str) -> None:
    await register(nats_url, actor("pack"))
    async with office(nats_url) as desk:
        letter = a_letter()
        await desk.write(letter)
        gone = 0

        async def requeue() -> None:
            nonlocal gone
            try:
                await desk.dead.requeue(letter)
            except LetterNotFoundError:
                gone += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(requeue)
        assert gone < 5
        assert len(await desk.emitted(PLACED)) == 1


async def test_a_letter_that_was_put_right(nats_url: str) -> None:
    await register(nats_url, actor("pack"))
    async with office(nats_url) as desk:
        await desk.write(a_letter(payload=b"not a number", reason="undecodable"))
        letter = await desk.dead.get(1)
        await desk.dead.requeue(replace(letter, payload=b"1", headers={}))
        [message] = await desk.emitted(PLACED)
        assert b64decode(message["data"]) == b"1"
        assert await desk.dead.count() == 0


async def test_a_letter_that_was_written_again_meanwhile(nats_url: str) -> None:
    await register(nats_url, actor("pack"))
    async with office(nats_url) as desk:
        await desk.write(a_letter(), a_letter())
        letter = await desk.dead.get(1)
        await desk.write(letter)
        await desk.dead.requeue(letter)
        assert [left.number async for left in desk.dead] == [2]


# Requeue: refused, and kept


async def kept(url: str, letter: DeadLetter, told: str) -> None:
    """See that a letter cannot be put back, and is still there."""
    async with office(url) as desk:
        await desk.write(letter)
        with pytest.raises(RequeueError, match=rf"^dead letter 1 cannot be .* kept: {told}"):
            await desk.dead.requeue(await desk.dead.get(1))
        assert [left async for left in desk.dead] == [letter]


async def test_the_stream_of_the_event_is_missing(nats_url: str) -> None:
    await kept(nats_url, a_letter(), "there is no stream 'shop-placed' for event 'shop.placed'")


async def test_the_actor_is_not_registered(nats_url: str) -> None:
    await register(nats_url, actor("send"))
    await kept(nats_url, a_letter(), "event 'shop.placed' has no actor 'pack' on the server")


async def change_stream(url: str, **changes: Any) -> None:
    async with office(url) as desk:
        await api(desk.link, "STREAM.UPDATE.shop-placed", PLACED.stream_config() | changes)


async def test_the_stream_has_other_subjects(nats_url: str) -> None:
    await register(nats_url, actor("pack"))
    await change_stream(nats_url, subjects=["elsewhere", "shop.placed.>", "shop"])
    told = "stream 'shop-placed' does not take 'shop.placed', but 'elsewhere', 'shop.placed.>', 's"
    await kept(nats_url, a_letter(), re.escape(told))


async def test_the_stream_refuses_it(nats_url: str) -> None:
    await register(nats_url, actor("pack"))
    await change_stream(nats_url, max_msg_size=10)
    await kept(nats_url, a_letter(), "stream 'shop-placed' did not take it: message size exceeds")


@pytest.mark.parametrize("pattern", ["shop.*", "shop.>"])
async def test_a_stream_that_takes_more_than_its_event(nats_url: str, pattern: str) -> None:
    await register(nats_url, actor("pack"))
    await change_stream(nats_url, subjects=[pattern])
    async with office(nats_url) as desk:
        await desk.write(a_letter())
        await desk.dead.requeue(await desk.dead.get(1))
        assert len(await desk.emitted(PLACED)) == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"payload": bytes(1024 * 1024)}, "it is 10.* bytes with its headers, .* at most 1048576"),
        ({"headers": {"a": "line\nbreak"}}, "header 'a' contains a line break"),
    ],
)
async def test_what_cannot_be_sent(nats_url: str, changes: dict[str, Any], told: str) -> None:
    await register(nats_url, actor("pack"))
    async with office(nats_url) as desk:
        letter = a_letter()
        await desk.write(letter)
        with pytest.raises(RequeueError, match=told):
            await desk.dead.requeue(replace(letter, **changes))
        assert [left async for left in desk.dead] == [letter]


async def test_a_user_who_may_not_emit_the_event() -> None:
    may = 'publish: {deny: ["shop.placed"]}'
    users = f"{{user: boss, password: p}}, {{user: kim, password: p, permissions: {{{may}}}}}"
    with NatsServer(config=f"authorization {{ users = [{users}] }}") as server:
        boss, kim = (server.url.replace("//", f"//{name}:p@") for name in ("boss", "kim"))
        await register(boss, actor("pack"))
        await kept(
            kim, a_letter(), "stream 'shop-placed' did not take it: .* may not publish to 'sh"
        )


# Gone


@pytest.mark.parametrize("verb", ["requeue", "discard"])
async def test_a_letter_that_is_gone(nats_url: str, verb: str) -> None:
    await register(nats_url, actor("pack"))
    async with office(nats_url) as desk:
        await desk.write(a_letter(), a_letter())
        letter, other = [letter async for letter in desk.dead]
        await desk.dead.discard(letter)
        act = getattr(desk.dead, verb)
        with pytest.raises(LetterNotFoundError, match="no dead letter 1 any more"):
            await act(letter)
        # Nor does one whose subject means many touch another.
        wilds: list[dict[str, Any]] = [{"actor": "*"}, {"actor": ">"}, {"stream": "*"}]
        for wild in wilds:
            with pytest.raises(LetterNotFoundError):
                await act(replace(other, **wild))
        assert await desk.dead.count() == 1
        assert await desk.emitted(PLACED) == []


async def test_of_many_who_discard_a_letter_one_does(nats_url: str) -> None:
    async with office(nats_url) as desk:
        letter = a_letter()
        await desk.write(letter)
        told: list[str] = []

        async def discard() -> None:
            try:
                await desk.dead.discard(letter)
            except LetterNotFoundError as error:
                told.append(str(error))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(discard)
        assert len(told) == 4
        assert all("there is no dead letter 0 any more" in one for one in told)


@pytest.mark.parametrize("verb", ["requeue", "discard"])
@pytest.mark.parametrize("letter", [1.5, None, b"", True])
async def test_what_is_no_letter(nats_url: str, verb: str, letter: Any) -> None:
    async with office(nats_url) as desk:
        with pytest.raises(TypeError, match=f"not {letter!r}"):
            await getattr(desk.dead, verb)(letter)


async def test_a_letter_is_discarded(nats_url: str) -> None:
    await register(nats_url, actor("pack"))
    async with office(nats_url) as desk:
        one, two, three = a_letter(), a_letter(), a_letter(actor="send")
        await desk.write(one, two, three)
        await desk.dead.discard(two)
        assert [left async for left in desk.dead] == [one, three]
        assert await desk.emitted(PLACED) == []


# All the way


async def test_only_the_actor_that_gave_it_up_gets_it(nats_url: str) -> None:
    packed, sent = Handled(), Handled()
    pack, send = actor("pack", packed), actor("send", sent)
    async with running(nats_url, pack, send) as staged, office(nats_url) as desk:
        await desk.write(a_letter(payload=b"17"))
        await desk.dead.requeue(await desk.dead.get(1))
        await packed.come(1)
        # Whoever passes over one event takes the next.
        await staged.emit(18)
        await sent.come(1)
        await packed.come(2)
        await staged.until_done(pack, send)
    assert packed.messages == [17, 18]
    assert sent.messages == [18]


async def test_rejected_then_looked_at_then_put_back(nats_url: str) -> None:
    broken = True
    packed: list[int] = []
    sent = Handled()

    async def handle(message: int) -> None:
        if broken:
            raise walnats.Reject("there is no box")
        packed.append(message)

    pack, send = actor("pack", handle), actor("send", sent)
    async with stage(nats_url, pack, send) as staged, office(nats_url) as desk:
        async with listening(staged.actors):
            await staged.events.emit(PLACED, 17, trace_id="t-17", meta={"Shop": "1"}, sync=True)
            await staged.until_done(pack, send)
        [letter] = [letter async for letter in desk.dead]
        assert (letter.event, letter.actor, letter.reason) == ("shop.placed", "pack", "rejected")
        assert (letter.payload, letter.attempts, letter.seq_number) == (b"17", 1, 1)
        assert letter.headers == {"Walnats-Trace": "t-17", "Shop": "1"}
        assert "there is no box" in letter.error
        assert "handle" in letter.traceback
        assert letter.emitted_at <= letter.died_at
        assert (packed, sent.messages) == ([], [17])
        broken = False
        await desk.dead.requeue(letter)
        async with listening(staged.actors):
            await staged.until_done(pack, send)
        assert (packed, sent.messages) == ([17], [17])
        assert await desk.dead.count() == 0


async def test_what_fails_again_is_a_new_letter(nats_url: str) -> None:
    async def handle(message: int) -> None:
        raise walnats.Reject(f"no {message}")

    pack = actor("pack", handle)
    async with running(nats_url, pack) as staged, office(nats_url) as desk:
        await staged.emit(1)
        await staged.until_done(pack)
        for attempt in range(3):
            [letter] = [letter async for letter in desk.dead]
            assert (letter.seq_number, letter.attempts) == (attempt + 1, 1)
            await desk.dead.requeue(letter)
            await staged.until_done(pack)
        assert await desk.dead.count() == 1
