"""`ack="confirmed"`: a job is done when the server has confirmed its acknowledgement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.actors._stage import Stage, listening, running, stage
from tests.support.recorders import Handled
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actor, Event
from walnats_anyio._actors.settle import _delivery
from walnats_anyio.middlewares import Middleware
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import OkContext

pytestmark = pytest.mark.anyio


class Succeeded(Middleware):
    """Does something at each success."""

    def __init__(self, act: Callable[[], Awaitable[object]]) -> None:
        self.act = act
        self.seen: list[object] = []

    async def on_success(self, ctx: OkContext, /) -> None:
        self.seen.append(await self.act())


async def test_when_a_success_is_told_the_server_knows(url: str, event: Event[int]) -> None:
    on: Stage

    async def left() -> int:
        return (await on.consumer(actor)).left

    succeeded = Succeeded(left)
    actor = Actor("a", event, Handled(), ack="confirmed", max_jobs=1, middlewares=(succeeded,))
    async with stage(url, actor) as on:
        await on.emit(*range(10))
        async with listening(on.actors):
            await until(lambda: len(succeeded.seen) == 10)
    assert succeeded.seen == list(reversed(range(10)))


async def test_many_at_once(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled, ack="confirmed", max_jobs=50)
    async with running(url, actor, max_jobs=50) as on:
        await on.emit(*range(500))
        await on.until_done(actor)
    assert sorted(handled.messages) == list(range(500))


async def test_a_server_that_dies_before_it_confirms(nats_server: NatsServer) -> None:
    """The job keeps its slot until the server is back and knows."""
    event = Event("numbers", int)
    handled = Handled()
    told = anyio.Event()

    async def tell() -> None:
        told.set()

    async def handle(message: int) -> None:
        # A server that is killed may have forgotten that it delivered the event, and do it again.
        if not handled.messages:
            nats_server.kill()
        await handled(message)

    actor = Actor("a", event, handle, ack="confirmed", middlewares=(Succeeded(tell),))
    async with stage(nats_server.url, actor) as on:
        await on.emit(1)
        async with listening(on.actors):
            await handled.come(1)
            await until(lambda: not on.link.connected)
            assert not told.is_set()
            await nats_server.start()
            with anyio.fail_after(DEADLINE):
                await told.wait()
            await on.until_done(actor)
    assert set(handled.messages) == {1}


async def test_a_confirmation_that_never_comes_ends_nothing(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, the job has its success, and the next event is handled."""
    monkeypatch.setattr(_delivery, "CONFIRM_WITHIN", 0.3)
    event = Event("numbers", int)
    handled = Handled()
    succeeded = Succeeded(anyio.lowlevel.checkpoint)

    async def handle(message: int) -> None:
        if message == 1:
            nats_server.pause()
        await handled(message)

    actor = Actor("a", event, handle, ack="confirmed", middlewares=(succeeded,))
    async with running(nats_server.url, actor) as on:
        await on.emit(1)
        try:
            await until(lambda: len(succeeded.seen) == 1)
        finally:
            nats_server.resume()
        await on.emit(2)
        await until(lambda: len(succeeded.seen) == 2)
        await on.until_done(actor)
    assert handled.messages == [1, 2]
    assert caplog.text.count("the acknowledgement is not confirmed, so it may come again") == 1


async def test_failures_are_as_ever(url: str, event: Event[int]) -> None:
    runs: list[int] = []

    async def handle(message: int) -> None:
        runs.append(message)
        if len(runs) < 3:
            raise ValueError("not yet")

    actor = Actor("a", event, handle, ack="confirmed", retry_delay=())
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert runs == [1, 1, 1]


@pytest.mark.parametrize("wrong", ["", "yes", True, None])
def test_other_words_are_refused(wrong: Any) -> None:
    with pytest.raises(
        ValueError, match=f"actor 'a': ack must be 'sent' or 'confirmed', not {wrong!r}"
    ):
        Actor("a", Event("numbers", int), Handled(), ack=wrong)
