"""Handlers that run only while something holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from tests.actors._stage import letters_of, running
from tests.decorators import _handlers as handlers
from tests.support.recorders import Handled
from tests.support.waiting import until
from walnats_anyio import Actor, Event, ExecuteIn, Snooze
from walnats_anyio.decorators import require

pytestmark = pytest.mark.anyio


class Database:
    """Not connected yet."""

    def __init__(self) -> None:
        self.connected = False
        self.asked = 0

    def is_connected(self) -> bool:
        self.asked += 1
        return self.connected

    async def answers(self) -> bool:
        await checkpoint()
        return self.is_connected()


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_the_event_comes_again_until_it_holds(url: str, event: Event[int], kind: str) -> None:
    database, handled = Database(), Handled()
    predicate = database.answers if kind == "async" else database.is_connected
    actor = Actor("a", event, require(predicate, pause=0.05)(handled), max_attempts=1)
    async with running(url, actor) as on:
        await on.emit(1)
        await until(lambda: database.asked >= 3)
        assert handled.messages == []
        database.connected = True
        await on.until_done(actor)
    assert handled.messages == [1]
    assert await letters_of(url, event) == []


async def test_in_a_thread(url: str, event: Event[int]) -> None:
    database = Database()
    seen: list[int] = []
    handler = require(database.is_connected, pause=0.05)(seen.append)
    actor = Actor("a", event, handler, execute_in=ExecuteIn.THREAD)
    async with running(url, actor) as on:
        await on.emit(1)
        await until(lambda: database.asked >= 2)
        database.connected = True
        await on.until_done(actor)
    assert seen == [1]


# One event loop: in the process there is none, and to start one takes a second.
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_in_a_process_with_suppress(url: str, event: Event[int], tmp_path: Path) -> None:
    paths = Event(f"{event.name}-paths", str, storage="memory")
    actor = Actor("a", paths, handlers.fail_for, execute_in=ExecuteIn.PROCESS)
    async with running(url, actor, max_processes=1) as on:
        await on.emit(str(tmp_path / "notes"))
        await on.until_done(actor)
        assert on.actors.statistics().actors[0].failed == 0
    assert (tmp_path / "notes").read_text() == "ran\n"


async def test_it_asks_for_the_pause() -> None:
    with pytest.raises(Snooze) as raised:
        await require(lambda: False, pause=7)(Handled())(1)
    assert raised.value.delay == 7


async def test_what_the_predicate_raises_is_the_failure() -> None:
    def predicate() -> bool:
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        await require(predicate)(Handled())(1)


def plain(message: int) -> None:
    raise AssertionError


async def ask() -> bool:
    return True


class Awaits:
    """Does not look like a coroutine function."""

    def __call__(self) -> Any:
        return ask()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((True,), TypeError, "give the function itself, and do not call it"),
        ((ask, 0), ValueError, "require: pause must be 0.001 to"),
        ((ask, "1"), TypeError, "require: pause must be a number of seconds"),
    ],
)
def test_wrong_arguments(arguments: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        require(*arguments)


def test_a_plain_function_cannot_await_a_predicate() -> None:
    with pytest.raises(TypeError, match="make either one what the other is"):
        require(ask)(plain)
    with pytest.raises(TypeError, match="make either one what the other is"):
        require(Awaits())(plain)(1)
