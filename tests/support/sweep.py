"""Cancel a scenario at its first checkpoint, then at its second, and so on to its end."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import anyio

Scenario = Callable[[], Coroutine[Any, Any, object]]

HANGS_AFTER = 60.0
"""Seconds after which a scenario that was cancelled counts as one that hangs."""


class Stepped:
    """Awaits a coroutine, and calls `on_step` whenever it gives control to the event loop.

    It works below the event loops: to both of them a coroutine is a generator that yields.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, object], on_step: Callable[[], None]) -> None:
        self._coroutine = coroutine
        self._on_step = on_step

    def __await__(self) -> Generator[Any, Any, object]:
        resume: Callable[[], Any] = lambda: self._coroutine.send(None)  # noqa: E731 - see below
        while True:
            try:
                wanted = resume()
            except StopIteration as end:
                return end.value
            self._on_step()
            try:
                answer = yield wanted
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's to handle
                resume = _thrower(self._coroutine, error)
            else:
                resume = _sender(self._coroutine, answer)


def _sender(coroutine: Coroutine[Any, Any, object], answer: object) -> Callable[[], Any]:
    return lambda: coroutine.send(answer)


def _thrower(coroutine: Coroutine[Any, Any, object], error: BaseException) -> Callable[[], Any]:
    return lambda: coroutine.throw(error)


async def cancelled_at(moment: int, scenario: Scenario) -> bool:
    """Run the scenario and cancel it at its checkpoint number `moment`; whether it came so far."""
    steps = 0

    def on_step() -> None:
        nonlocal steps
        steps += 1
        if steps == moment:
            scope.cancel()

    with anyio.CancelScope() as scope:
        await Stepped(scenario(), on_step)
    return scope.cancel_called


async def sweep(
    scenario: Scenario,
    check: Callable[[], Awaitable[None]],
    *,
    bounded_by: float,
    most: int = 200,
) -> int:
    """Cancel the scenario at every one of its checkpoints, with `check` after each time.

    Args:
        scenario: made anew each time.
        check: asserts what must hold, wherever the scenario was cancelled.
        bounded_by: seconds that a cancelled scenario may take to end.
        most: how many of its checkpoints are tried; a long scenario's later ones are much alike.

    Returns how many there were.
    """
    for moment in range(1, most + 1):
        came_so_far = True
        begun = time.monotonic()
        with anyio.move_on_after(HANGS_AFTER) as deadline:
            came_so_far = await cancelled_at(moment, scenario)
        assert not deadline.cancelled_caught, f"cancelled at checkpoint {moment}, it hangs"
        took = time.monotonic() - begun
        if not came_so_far:
            return moment - 1
        assert took < bounded_by, f"cancelled at checkpoint {moment}, it took {took:.1f} s"
        await check()
    return most
