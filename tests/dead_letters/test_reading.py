"""Reading letters: in order, by filter, by number; and what is no letter."""

from __future__ import annotations

import json
import logging
from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import walnats_anyio as walnats
from tests.dead_letters._office import PLACED, Office, a_letter, office
from walnats_anyio._letters import STREAM
from walnats_anyio._link import api
from walnats_anyio.dead_letters import DeadLetter, DeadLetters, LetterNotFoundError, Reason
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

PAID = walnats.Event("paid", int)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def handle(message: int) -> None:
    """Never called."""


PACK = walnats.Actor("pack", PLACED, handle)


async def read(letters: AsyncIterator[DeadLetter] | DeadLetters) -> list[DeadLetter]:
    return [letter async for letter in letters]


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


async def write_some(desk: Office) -> list[DeadLetter]:
    letters = [
        a_letter(event="shop.placed", actor="pack", reason="exhausted", died_at=at(0)),
        a_letter(event="shop.placed", actor="send", reason="rejected", died_at=at(1)),
        a_letter(event="paid", actor="pack", reason="undecodable", died_at=at(2)),
        a_letter(event="shop.placed", actor="pack", reason="died", died_at=at(3)),
        a_letter(event="paid", actor="count", reason="rejected", died_at=at(4)),
    ]
    await desk.write(*letters)
    return letters


# All of them


async def test_all_letters_oldest_first(nats_url: str) -> None:
    async with office(nats_url) as desk:
        letters = await write_some(desk)
        assert await read(desk.dead) == letters
        assert await read(desk.dead.letters()) == letters
        assert [letter.number async for letter in desk.dead] == [1, 2, 3, 4, 5]
        assert await desk.dead.count() == 5


async def test_without_a_stream_there_are_none(nats_url: str) -> None:
    async with office(nats_url, stream=False) as desk:
        assert await read(desk.dead) == []
        assert await desk.dead.count() == 0
        assert await desk.dead.count(event="paid", reason="died") == 0
        with pytest.raises(LetterNotFoundError, match="no stream for dead letters yet"):
            await desk.dead.get(1)
        with pytest.raises(LetterNotFoundError, match="no stream for dead letters yet"):
            await desk.dead.requeue(a_letter())
        with pytest.raises(LetterNotFoundError, match="no stream for dead letters yet"):
            await desk.dead.discard(a_letter())


async def test_an_empty_stream(nats_url: str) -> None:
    async with office(nats_url) as desk:
        assert await read(desk.dead) == []
        assert await desk.dead.count(actor="pack") == 0


async def test_a_letter_that_goes_meanwhile_is_left_out(nats_url: str) -> None:
    async with office(nats_url) as desk:
        letters = await write_some(desk)
        seen: list[DeadLetter] = []
        async for letter in desk.dead:
            if not seen:
                for gone in letters[1:3]:
                    await desk.dead.discard(gone)
            seen.append(letter)
        assert seen == [letters[0], *letters[3:]]


async def test_letters_that_come_meanwhile_are_for_the_next_time(nats_url: str) -> None:
    async with office(nats_url) as desk:
        first, second, third = a_letter(), a_letter(), a_letter()
        await desk.write(first, second)
        seen: list[DeadLetter] = []
        async for letter in desk.dead:
            # One more, and one that takes the place of what is still to come.
            await desk.write(third, second)
            seen.append(letter)
            assert len(seen) < 10
        assert seen == [first]
        assert await read(desk.dead) == [first, third, second]


async def test_a_loop_may_be_left_in_the_middle(nats_url: str) -> None:
    async with office(nats_url) as desk:
        letters = await write_some(desk)
        for _ in range(3):
            async for letter in desk.dead:
                assert letter == letters[0]
                break


async def test_a_large_letter(nats_url: str) -> None:
    async with office(nats_url) as desk:
        letter = a_letter(payload=bytes(1_000_000))
        await desk.write(letter)
        assert await read(desk.dead) == [letter]


# By filter


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"event": "paid"}, [2, 4]),
        ({"event": PAID}, [2, 4]),
        ({"event": "shop"}, []),
        ({"actor": "pack"}, [0, 2, 3]),
        ({"actor": PACK}, [0, 3]),
        ({"actor": PACK, "event": PLACED}, [0, 3]),
        ({"actor": "pack", "event": "paid"}, [2]),
        ({"reason": "rejected"}, [1, 4]),
        ({"reason": Reason.REJECTED, "event": PAID}, [4]),
        ({"since": at(2)}, [2, 3, 4]),
        ({"until": at(2)}, [0, 1]),
        ({"since": at(1), "until": at(4), "actor": "pack"}, [2, 3]),
        ({"since": at(5)}, []),
    ],
)
async def test_some_letters(nats_url: str, filters: dict[str, Any], expected: list[int]) -> None:
    async with office(nats_url) as desk:
        letters = await write_some(desk)
        assert await read(desk.dead.letters(**filters)) == [letters[i] for i in expected]
        assert await desk.dead.count(**filters) == len(expected)


async def test_the_server_counts_by_event_and_actor(nats_url: str) -> None:
    async with office(nats_url) as desk:
        for number in range(20):
            await desk.write(a_letter(actor="even" if number % 2 == 0 else "odd"))
        before = await desk.dead.count()
        assert (await desk.dead.count(actor="even"), before) == (10, 20)
        asked: list[bytes] = []
        desk.link.subscribe_to("$JS.API.>", lambda message: asked.append(message.data))
        await desk.link.flush()
        assert await desk.dead.count(event=PLACED, actor="odd") == 10
        await desk.link.flush()
        [body] = asked
        # And does not answer with all their subjects.
        answer = await api(desk.link, f"STREAM.INFO.{STREAM}", json.loads(body))
        assert "subjects" not in answer["state"]


@pytest.mark.parametrize(
    ("filters", "error", "told"),
    [
        ({"event": 1}, TypeError, "event must be an Event or its name, not 1"),
        ({"event": PACK}, TypeError, "event must be an Event or its name"),
        ({"event": "a b"}, ValueError, "contains ' '"),
        ({"event": ">"}, ValueError, "wildcard"),
        ({"actor": PAID}, TypeError, "actor must be an Actor or its name"),
        ({"actor": "*"}, ValueError, "wildcard"),
        ({"actor": PACK, "event": "paid"}, ValueError, "handles event 'shop.placed', not 'paid'"),
        ({"reason": "tired"}, ValueError, "'exhausted', 'rejected', 'undecodable', 'died', not 't"),
        ({"reason": 3}, TypeError, "must be one of 'exhausted'"),
        ({"since": "2h"}, TypeError, "since must be a datetime, not '2h'"),
        ({"since": datetime(2026, 1, 1)}, ValueError, r"time zone.*datetime.now\(UTC\)"),  # noqa: DTZ001 - that is refused
        ({"until": datetime(2026, 1, 1)}, ValueError, "until .* time zone"),  # noqa: DTZ001 - that is refused
        ({"since": at(2), "until": at(1)}, ValueError, "must be before until"),
    ],
)
async def test_filters_of_no_use_are_refused_at_the_call(
    nats_url: str, filters: dict[str, Any], error: type[Exception], told: str
) -> None:
    async with office(nats_url, stream=False) as desk:
        with pytest.raises(error, match=told):
            desk.dead.letters(**filters)
        with pytest.raises(error, match=told):
            await desk.dead.count(**filters)


# By number


async def test_a_letter_by_its_number(nats_url: str) -> None:
    async with office(nats_url) as desk:
        letters = await write_some(desk)
        assert await desk.dead.get(4) == letters[3]
        await desk.dead.discard(letters[3])
        for gone in (4, 6):
            with pytest.raises(LetterNotFoundError, match=f"no dead letter {gone} any more"):
                await desk.dead.get(gone)


@pytest.mark.parametrize(
    ("number", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), ("1", TypeError)]
)
async def test_numbers_that_are_none(nats_url: str, number: Any, error: type[Exception]) -> None:
    async with office(nats_url) as desk:
        with pytest.raises(error, match=f"not {number!r}"):
            await desk.dead.get(number)


# What is no letter


async def test_what_is_no_letter_is_left_out(
    nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    letter = a_letter()
    async with office(nats_url) as desk:
        await desk.write(letter)
        stored = (await api(desk.link, f"STREAM.MSG.GET.{STREAM}", {"seq": 1}))["message"]
        strange = "walnats.dead.shop-placed.pack.strange"
        for headers in (
            b"",
            b"NATS/1.0\r\nOther: 1\r\n\r\n",
            b"NATS/1.0\r\nWalnats-Dead: {}\r\n\r\n",
            b"NATS/1.0\r\nWalnats-Dead: \xff\r\n\r\n",
        ):
            answer = await desk.link.request(strange, b"what?", headers=headers)
            assert b"error" not in answer.data
        await desk.write(a_letter())
        with caplog.at_level(logging.WARNING, "walnats_anyio.dead_letters"):
            assert [read.number async for read in desk.dead] == [1, 6]
        assert stored["subject"].startswith("walnats.dead.shop-placed.pack.")
        [record] = caplog.records
        assert "message 5 of stream 'walnats-dead-letters'" in record.getMessage()
        with pytest.raises(LetterNotFoundError, match=r"message 5 .* is no dead letter"):
            await desk.dead.get(5)


async def test_a_letter_under_a_subject_of_another_is_none(
    nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with office(nats_url) as desk:
        await desk.write(a_letter())
        stored = (await api(desk.link, f"STREAM.MSG.GET.{STREAM}", {"seq": 1}))["message"]
        headers = b64decode(stored["hdrs"])
        await desk.link.request("walnats.dead.shop-placed.send.1-1", b"1", headers=headers)
        assert [letter.number async for letter in desk.dead] == [1]
        assert "belongs under 'walnats.dead.shop-placed.pack." in caplog.text


# Connecting


@pytest.mark.parametrize(
    ("server", "options", "error"),
    [(3, {}, TypeError), ("nats://", {}, ValueError), (None, {"colour": "red"}, TypeError)],
)
def test_wrong_arguments_are_refused_before_connecting(
    server: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        DeadLetters.connect(server, **options)


async def test_no_server(nats_server: NatsServer) -> None:
    nats_server.kill()
    with pytest.raises(walnats.ConnectError):
        async with DeadLetters.connect(nats_server.url):
            pass
