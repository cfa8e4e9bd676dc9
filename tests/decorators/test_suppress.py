"""Exceptions that count as success."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.actors._stage import letters_of, running
from walnats_anyio import Actor, Event, ExecuteIn, Reject, Retry, Snooze
from walnats_anyio.decorators import suppress

pytestmark = pytest.mark.anyio


def raising(error: BaseException) -> Callable[[int], None]:
    def handle(message: int) -> None:
        raise error

    return handle


def raising_later(error: BaseException) -> Callable[[int], Any]:
    async def handle(message: int) -> None:
        await checkpoint()
        raise error

    return handle


@pytest.mark.parametrize("error", [KeyError("x"), UnicodeError("x")], ids=repr)
async def test_what_is_named_and_its_subclasses(error: Exception) -> None:
    ignore = suppress(KeyError, ValueError)
    assert ignore(raising(error))(1) is None
    assert await ignore(raising_later(error))(1) is None


@pytest.mark.parametrize(
    "error", [OSError(), Retry(1), Reject("no"), Snooze(1), SystemExit(1)], ids=repr
)
async def test_nothing_else(error: BaseException) -> None:
    ignore = suppress(KeyError) if isinstance(error, OSError) else suppress(Exception)
    for caught in (ignore(raising(error)), suppress(KeyError)(ignore(raising(error)))):
        with pytest.raises(type(error)):
            caught(1)
    with pytest.raises(type(error)):
        await ignore(raising_later(error))(1)


def test_what_a_handler_asks_for_can_be_named() -> None:
    assert suppress(Reject)(raising(Reject("no")))(1) is None
    with pytest.raises(Retry):
        suppress(Reject, Exception)(raising(Retry(1)))(1)


async def test_a_cancellation_goes_on() -> None:
    @suppress(Exception)
    async def handle(message: int) -> None:
        await anyio.sleep_forever()

    with anyio.move_on_after(0.01) as scope:
        await handle(1)
    assert scope.cancelled_caught


def test_of_a_group_what_matches() -> None:
    ignore = suppress(KeyError)
    assert ignore(raising(ExceptionGroup("all", [KeyError(1), KeyError(2)])))(1) is None
    mixed = ExceptionGroup("all", [KeyError(1), ExceptionGroup("some", [OSError(), KeyError()])])
    with pytest.raises(ExceptionGroup) as raised:
        ignore(raising(mixed))(1)
    assert raised.group_contains(OSError)
    assert not raised.group_contains(KeyError)
    others = ExceptionGroup("all", [OSError()])
    with pytest.raises(ExceptionGroup) as same:
        ignore(raising(others))(1)
    assert same.value is others


def test_of_a_group_what_a_handler_asks_for_stays() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        suppress(Exception)(raising(ExceptionGroup("all", [KeyError(1), Reject("no")])))(1)
    assert raised.group_contains(Reject)
    assert not raised.group_contains(KeyError)


async def test_a_plain_function_that_gives_back_a_coroutine() -> None:
    @suppress(KeyError)
    def handle(message: int) -> Any:
        return raising_later(KeyError(message))(message)

    assert await handle(1) is None


def test_what_it_logs(caplog: pytest.LogCaptureFixture) -> None:
    suppress(KeyError)(raising(KeyError("x")))(1)
    suppress(KeyError, logger=None)(raising(KeyError("y")))(1)
    suppress(KeyError, logger=logging.getLogger("own"))(raising(KeyError("z")))(1)
    lines = [(record.name, record.levelname) for record in caplog.records]
    assert lines == [("walnats_anyio.decorators", "WARNING"), ("own", "WARNING")]
    assert "KeyError: 'x'" in caplog.text
    assert vars(caplog.records[0])["handler"] == "raising.<locals>.handle"


@pytest.mark.parametrize("place", [ExecuteIn.MAIN, ExecuteIn.THREAD])
async def test_its_event_is_done_with(
    url: str, event: Event[int], place: ExecuteIn, caplog: pytest.LogCaptureFixture
) -> None:
    handler = suppress(KeyError)(raising(KeyError("x")))
    actor = Actor("a", event, handler, execute_in=place, max_attempts=1)
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
        assert on.actors.statistics().actors[0].handled == 1
    assert await letters_of(url, event) == []
    (line,) = [record for record in caplog.records if record.name == "walnats_anyio.decorators"]
    assert (vars(line)["actor"], vars(line)["event"]) == ("a", event.name)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ((), "no exception is given"),
        ((BaseException,), "BaseException must not be ignored"),
        ((KeyError, KeyboardInterrupt), "KeyboardInterrupt must not be ignored"),
        ((ExceptionGroup,), "name what a group holds"),
        ((KeyError(),), "is no class of exceptions"),
        ((lambda message: None,), r"is no class of exceptions: .* @suppress\(KeyError\)"),
    ],
)
def test_what_cannot_be_ignored(wrong: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        suppress(*wrong)


def test_a_logger_that_is_none() -> None:
    with pytest.raises(TypeError, match="suppress: logger must be of Logger"):
        suppress(KeyError, logger="log")  # type: ignore[arg-type] # that is the test
