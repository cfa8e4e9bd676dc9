"""A stream that is full drops its oldest events, also those whose jobs run just then."""

from __future__ import annotations

import secrets

import anyio
import pytest

import walnats_anyio as walnats
from tests.actors._stage import letters_of, running
from tests.support.waiting import until
from walnats_anyio._link import api

pytestmark = pytest.mark.anyio

FAILS = 1


class Held:
    """Handles numbers; the first two wait until they are let go, and one of them fails."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.let_go = anyio.Event()

    async def handle(self, number: int) -> None:
        self.seen.append(number)
        if len(self.seen) <= 2:
            await self.let_go.wait()
        if number == FAILS:
            raise RuntimeError("it would be tried again")


@pytest.mark.parametrize(
    "limits",
    [walnats.Limits(messages=5), walnats.Limits(bytes=300), walnats.Limits(age=0.3)],
    ids=str,
)
async def test_the_oldest_are_dropped_and_the_rest_goes_on(
    url: str, limits: walnats.Limits
) -> None:
    """A job whose event is gone ends as it would; where it fails, the event does not come again."""
    event = walnats.Event(f"full-{secrets.token_hex(6)}", int, limits=limits, storage="memory")
    held = Held()
    actor = walnats.Actor("a", event, held.handle, max_jobs=2, retry_delay=(0.01,))
    async with running(url, actor) as on:
        await on.emit(0, FAILS)
        await until(lambda: len(held.seen) == 2)

        async def they_are_gone() -> bool:
            state = (await api(on.link, f"STREAM.INFO.{event.stream_name}"))["state"]
            return int(state["first_seq"]) > 2

        if limits.age is None:
            await on.emit(*range(2, 30))
        await until(they_are_gone)
        held.let_go.set()
        await on.until_done(actor)
        await on.emit(100)
        await until(lambda: held.seen[-1] == 100)
        await on.until_done(actor)
        (statistics,) = on.actors.statistics().actors
    assert held.seen[:2] == [0, FAILS]
    # Each only once, the newest ones, and nothing of what was dropped. Two run side by side.
    rest = held.seen[2:]
    assert sorted(rest[:-1]) == sorted(set(rest[:-1]))
    assert rest[:-1] == [] or min(rest[:-1]) >= 20
    assert (29 in rest) == (limits.age is None)
    assert len(rest) < 10
    assert (statistics.failed, statistics.handled) == (1, len(rest) + 1)
    assert await letters_of(url, event) == []
