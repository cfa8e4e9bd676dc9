"""The rights that the guide says are needed are enough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

import walnats_anyio as walnats
from tests.dead_letters._office import PLACED, Office, a_letter, office, register
from walnats_anyio._link import api
from walnats_anyio.dead_letters import RequeueError
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

STREAM_API = "$JS.API.STREAM.{}.walnats-dead-letters"

WRITE = ["walnats.dead.>"]
REGISTER = [STREAM_API.format(verb) for verb in ("INFO", "CREATE", "UPDATE")]
LOOK = [STREAM_API.format(verb) for verb in ("INFO", "MSG.GET")]
DISCARD = [*LOOK, *(STREAM_API.format(verb) for verb in ("PURGE", "MSG.DELETE"))]
REQUEUE = [*DISCARD, "shop.placed", "$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.INFO.>"]


async def write(desk: Office) -> None:
    await desk.write(a_letter(), a_letter(payload=bytes(1024 * 1024)))


async def register_stream(desk: Office) -> None:
    await desk.dead.register(limits=walnats.Limits(messages=10))


async def look(desk: Office) -> None:
    letters = [letter async for letter in desk.dead]
    assert [await desk.dead.get(letter.number) for letter in letters] == letters
    assert [one.number async for one in desk.dead.unreadable()] == [3]
    assert await desk.dead.count() == 3
    assert sum(group.count for group in await desk.dead.groups()) == 2
    assert await desk.dead.limits() == walnats.Limits()
    assert (await desk.dead.discard_all(dry_run=True)).done == 3


async def discard(desk: Office) -> None:
    for number in (1, 3):
        await desk.dead.discard(number)
    assert (await desk.dead.discard_all()).done == 1


async def requeue(desk: Office) -> None:
    await desk.dead.requeue(await desk.dead.get(1))
    assert (await desk.dead.requeue_all()).done == 1


def config(rights: list[str]) -> dict[str, object]:
    permissions = {"publish": {"allow": rights}, "subscribe": {"allow": ["_INBOX.>"]}}
    boss = {"user": "boss", "password": "p"}
    kim = {"user": "kim", "password": "p", "permissions": permissions}
    return {"authorization": {"users": [boss, kim]}}


@pytest.mark.parametrize(
    ("rights", "act"),
    [
        (WRITE, write),
        (REGISTER, register_stream),
        (LOOK, look),
        (DISCARD, discard),
        (REQUEUE, requeue),
    ],
)
async def test_these_rights_are_enough(
    rights: list[str], act: Callable[[Office], Awaitable[None]]
) -> None:
    with NatsServer(config=config(rights)) as server:
        boss, kim = (server.url.replace("//", f"//{name}:p@") for name in ("boss", "kim"))
        await register(boss, walnats.Actor("pack", PLACED, print))
        async with office(boss) as desk:
            await desk.write(a_letter(), a_letter())
            await desk.link.request("walnats.dead.shop-placed.pack.1", b"no letter")
        async with office(kim, stream=False) as desk:
            await act(desk)


async def test_whoever_may_only_look_changes_nothing() -> None:
    with NatsServer(
        config=config([*LOOK, "$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.INFO.>"])
    ) as server:
        boss, kim = (server.url.replace("//", f"//{name}:p@") for name in ("boss", "kim"))
        await register(boss, walnats.Actor("pack", PLACED, print))
        async with office(boss) as desk:
            await desk.write(a_letter())
        async with office(kim, stream=False) as desk:
            with pytest.raises(RequeueError, match=r"may not publish to 'shop\.placed'"):
                await desk.dead.requeue(await desk.dead.get(1))
            with pytest.raises(walnats.ServerError, match="may not publish to"):
                await desk.dead.discard(1)
            assert await desk.dead.count() == 1
        async with office(boss) as desk:
            assert (await api(desk.link, "STREAM.INFO.shop-placed"))["state"]["messages"] == 0
