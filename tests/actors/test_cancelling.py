"""One event is cancelled wherever it is, and the answer says where that was."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.actors._elsewhere import sleep_long
from tests.actors._stage import Stage, consumer_of, running, stage
from tests.support.waiting import until
from walnats_anyio import Actor, Event, ExecuteIn, Retry, ServerError
from walnats_anyio._events import CancelResult
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

LONG = 120.0


class Slow:
    """A handler that waits until it is cancelled, and cleans up for a while."""

    def __init__(self, swallows: int = 0) -> None:
        self.started: list[int] = []
        self.ended: list[int] = []
        self._swallows = swallows

    async def __call__(self, message: int) -> None:
        self.started.append(message)
        try:
            for _ in range(self._swallows):
                try:
                    await anyio.sleep_forever()
                except anyio.get_cancelled_exc_class():
                    pass
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.02)
            self.ended.append(message)


async def emit(on: Stage, *messages: int) -> None:
    for message in messages:
        await on.events.emit(on.event, message, uid=f"number-{message}", sync=True)


@pytest.mark.parametrize("swallows", [0, 3])
@pytest.mark.parametrize("by", ["uid", "sequence", "actors"])
async def test_what_runs_has_ended_when_the_call_returns(
    url: str, event: Event[int], by: str, swallows: int
) -> None:
    slow = Slow(swallows)
    actor = Actor("a", event, slow)
    async with running(url, actor, shutdown_timeout=0) as on:
        await emit(on, 1, 2)
        await until(lambda: slow.started == [1, 2])
        if by == "uid":
            result = await on.events.cancel("number-2")
        elif by == "sequence":
            result = await on.events.cancel(event=event, sequence=2)
        else:
            result = await on.actors.cancel("number-2", actor="a")
        assert result is CancelResult.RUNNING
        assert slow.ended == [2]
        assert on.actors.statistics().actors[0].cancelled == 1
        await on.until_left(actor, 1)
        assert await on.events.cancel("number-2", event=event) is CancelResult.NOT_FOUND


async def test_what_waits_for_a_worker(url: str, event: Event[int]) -> None:
    slow = Slow()
    actor = Actor("a", event, slow, max_jobs=1)
    other = Actor("other", event, slow, max_jobs=1)
    async with running(url, actor, other, shutdown_timeout=0) as on:
        await emit(on, 1, 2, 3)
        await until(lambda: slow.started == [1, 1])
        assert await on.events.cancel("number-2") is CancelResult.WAITING
        assert await on.events.cancel("number-1") is CancelResult.RUNNING
        await until(lambda: slow.started == [1, 1, 3, 3])
        assert slow.ended == [1, 1]


async def test_what_nobody_has_taken(url: str, event: Event[int]) -> None:
    got: list[int] = []
    actor = Actor("a", event, got.append)
    async with stage(url, actor) as on:
        await emit(on, *range(50))
        assert await on.events.cancel("number-7") is CancelResult.WAITING
        assert await on.actors.cancel(actor="a", sequence=12) is CancelResult.WAITING
        assert await on.events.cancel(event=event, sequence=12) is CancelResult.NOT_FOUND
        assert await on.events.cancel("number-99") is CancelResult.NOT_FOUND
        await on.actors.listen(burst=True)
        await on.until_done(actor)
    assert sorted(got) == [number for number in range(50) if number not in (7, 11)]


async def test_what_waits_for_its_next_attempt(url: str, event: Event[int]) -> None:
    tried: list[int] = []

    async def later(message: int) -> None:
        tried.append(message)
        raise Retry(delay=3600)

    actor = Actor("a", event, later)
    async with running(url, actor, shutdown_timeout=0) as on:
        await emit(on, 1)
        await until(lambda: on.actors.statistics().actors[0].failed == 1)
        assert await on.events.cancel("number-1") is CancelResult.WAITING
        assert (await consumer_of(on.link, actor)).waiting == 0
    assert tried == [1]


async def test_a_job_in_a_process_is_killed(url: str, event: Event[int]) -> None:
    async with running(url, Actor("a", event, sleep_long, execute_in=ExecuteIn.PROCESS)) as on:
        await emit(on, 1)
        await until(lambda: on.actors.statistics().actors[0].running == 1)
        assert await on.events.cancel("number-1") is CancelResult.RUNNING


async def test_what_cannot_be_cancelled(url: str, event: Event[int]) -> None:
    async with stage(url, Actor("a", event, Slow())) as on:
        wrong: list[dict[str, Any]] = [
            {}, {"uid": "a", "sequence": 1, "event": event}, {"sequence": 1}, {"uid": ""},
            {"uid": "a", "event": Event("stranger", int)}, {"event": event, "sequence": 0},
        ]  # fmt: skip
        for arguments in wrong:
            with pytest.raises(ValueError, match=r"pass|empty|registry|sequence"):
                await on.events.cancel(**arguments)
        with pytest.raises(ValueError, match="there is no actor 'b'"):
            await on.actors.cancel("a", actor="b")
        with pytest.raises(ValueError, match="pass event as well"):
            await on.actors.cancel(sequence=1)


NO_DELETE = """
jetstream {}
authorization { users: [
  { user: all, password: a }
  { user: some, password: s, permissions: { publish: { deny: "$JS.API.STREAM.MSG.DELETE.>" } } }
] }
"""


async def test_who_may_not_delete_cancels_what_runs_and_is_told_of_the_rest() -> None:
    event, slow = Event("numbers", int), Slow()
    events, actor = walnats.Events(event), Actor("a", event, slow)
    async with (
        NatsServer(config=NO_DELETE) as server,
        events.connect(server.url, user="all", password="a") as emitting,
        events.connect(server.url, user="some", password="s") as conn,
        walnats.Actors(actor).connect(server.url, user="all", password="a") as actors,
    ):
        await emitting.register()
        await actors.register()
        await emitting.emit(event, 1, uid="one", sync=True)
        with pytest.raises(ServerError, match=r"STREAM.MSG.DELETE"):
            await conn.cancel("one", event=event)
        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda *, task_status: actors.listen(task_status=task_status))
            await until(lambda: slow.started == [1])
            assert await conn.cancel("one", event=event) is CancelResult.RUNNING
            actors.shutdown()
