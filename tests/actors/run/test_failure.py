"""Exceptions in words: anything that can be raised can be told, and means the same again."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from walnats_anyio import HandlerError, Reject, Retry, Snooze
from walnats_anyio._actors.run._failure import MAX_TEXT, Failure
from walnats_anyio._actors.run._logs import Levels


def again(error: BaseException) -> HandlerError:
    """The exception after its way through the pipe."""
    data: dict[str, Any] = json.loads(json.dumps(asdict(Failure.of(error, error.__traceback__))))
    return Failure(**data).as_error()


class Broken(Exception):
    def __init__(self, how: BaseException) -> None:
        super().__init__()
        self.how = how

    def __str__(self) -> str:
        raise self.how


ERRORS = st.recursive(
    st.one_of(
        st.builds(Retry, st.none() | st.floats(0, 9e9)),
        st.builds(Reject, st.text(st.characters())),
        st.builds(Snooze, st.floats(0.001, 9e9)),
        st.builds(ValueError, st.text(st.characters())),
        st.builds(SystemExit, st.none() | st.integers()),
        st.builds(Broken, st.builds(ValueError)),
    ),
    lambda errors: st.lists(errors, min_size=1, max_size=3).map(
        lambda some: BaseExceptionGroup("group", some)
    ),
)


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in leaves(each)]
    return [error]


@given(ERRORS)
def test_every_exception_can_be_told(error: BaseException) -> None:
    told = again(error)
    kinds = {type(leaf) for leaf in leaves(error)}
    assert isinstance(told, Reject) == (kinds == {Reject})
    assert isinstance(told, Retry) == (kinds == {Retry})
    assert isinstance(told, Snooze) == (kinds == {Snooze})
    if isinstance(told, Snooze):
        assert told.delay == max(leaf.delay for leaf in leaves(error) if isinstance(leaf, Snooze))
    assert type(told).__name__ == type(error).__name__
    if isinstance(told, Retry):
        delays = [leaf.delay for leaf in leaves(error) if isinstance(leaf, Retry)]
        assert told.delay == max((delay for delay in delays if delay is not None), default=None)
    if isinstance(told, Reject):
        assert told.reason == "; ".join(str(getattr(leaf, "reason")) for leaf in leaves(error))  # noqa: B009 - of any exception


def test_a_long_message_is_cut() -> None:
    told = again(ValueError("x" * 10_000_000))
    assert len(told.text) == MAX_TEXT
    assert len(told.traceback) == MAX_TEXT


def test_a_delay_that_is_none() -> None:
    class Odd(Retry):
        pass

    for delay in (-1, float("nan"), float("inf"), "soon", object()):
        error = Odd()
        error.delay = delay  # type: ignore[assignment] # what a user's class may do
        told = again(error)
        assert isinstance(told, Retry)
        assert told.delay is None


def test_levels_are_those_of_this_process() -> None:
    import logging

    logging.getLogger("tests.levels").setLevel(17)
    levels = Levels.now()
    assert levels.loggers["tests.levels"] == 17
    assert levels.root == logging.root.level
    levels.apply()
    assert Levels.now() == levels
