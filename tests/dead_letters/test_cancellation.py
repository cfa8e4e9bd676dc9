"""Cancelled at any checkpoint: no event is lost or put back twice, and nothing is left behind."""

from __future__ import annotations

import anyio.lowlevel
import pytest

import walnats_anyio as walnats
from tests.dead_letters._office import PLACED, Office, a_letter, office, register
from tests.support.leftovers import Leftovers
from tests.support.sweep import sweep
from walnats_anyio.dead_letters import DeadLetter, DeadLetters, LetterNotFoundError

pytestmark = pytest.mark.anyio

DONE_WITHIN = 10.0
"""Seconds that a cancelled call may take."""

PACK = walnats.Actor("pack", PLACED, print)


async def still_there(desk: Office, letter: DeadLetter) -> bool:
    return letter in [left async for left in desk.dead]


async def test_requeue(nats_url: str) -> None:
    await register(nats_url, PACK)
    async with office(nats_url) as desk:
        letters = [a_letter()]
        await desk.write(letters[0])

        async def requeue() -> None:
            await desk.dead.requeue(letters[-1])

        async def check() -> None:
            put_back = len(await desk.emitted(PLACED))
            assert put_back == len(letters) or await still_there(desk, letters[-1])
            try:
                await requeue()
            except LetterNotFoundError:
                assert put_back == len(letters)
            assert len(await desk.emitted(PLACED)) == len(letters)
            assert await desk.dead.count() == 0
            assert desk.dead._link._pending._open == {}
            letters.append(a_letter())
            await desk.write(letters[-1])

        # A look at the letter, one at the actor, the event, the end of the letter.
        assert await sweep(requeue, check, bounded_by=DONE_WITHIN) >= 4
        assert await desk.dead.count() == 0


async def test_writing_and_reading(nats_url: str) -> None:
    async with office(nats_url) as desk:
        letter = a_letter()

        async def scenario() -> None:
            await desk.write(letter)
            assert [read async for read in desk.dead] == [letter]
            await desk.dead.discard(letter)
            await desk.dead.register(limits=walnats.Limits(age=60))
            await desk.dead.register(limits=walnats.Limits())

        async def check() -> None:
            assert await desk.dead.count() <= 1
            assert desk.link._pending._open == {}
            assert desk.dead._link._pending._open == {}

        assert await sweep(scenario, check, bounded_by=DONE_WITHIN) >= 6


async def test_connecting(nats_url: str) -> None:
    async with office(nats_url):
        leftovers = Leftovers()

        async def scenario() -> None:
            async with DeadLetters.connect(nats_url) as dead:
                assert await dead.count() == 0
                await anyio.lowlevel.checkpoint()

        await sweep(scenario, leftovers.none, bounded_by=DONE_WITHIN, most=60)
