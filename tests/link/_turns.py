"""Cancel a scenario at each turn of the event loop, whichever task runs in it.

`tests.support.sweep` counts the checkpoints of one task. While a connection is made, that one
waits, and the tasks of the link run: here the turns of the loop are counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio

Scenario = Callable[[Callable[[], None]], Coroutine[Any, Any, object]]
"""Is given what it calls where the counting begins."""

HANGS_AFTER = 30.0


async def cancel_at(turn: int, scenario: Scenario, *, native: bool) -> bool:
    """Cancel it at that turn, by a scope or as asyncio does; whether it came so far."""
    begun = anyio.Event()
    over = False
    came_so_far = False

    async def cancel() -> None:
        await begun.wait()
        for _ in range(turn):
            await anyio.lowlevel.checkpoint()
            if over:
                return
        stop()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel)
        if native:
            task = asyncio.ensure_future(scenario(begun.set))
            stop: Callable[[], object] = task.cancel
            await asyncio.wait([task])
            asked = task.cancelling() > 0
            over = True
            begun.set()
            if not task.cancelled():
                task.result()
                assert not asked, f"the cancellation at turn {turn} got lost"
            came_so_far = task.cancelled()
        else:
            with anyio.CancelScope() as scope:
                stop = scope.cancel
                await scenario(begun.set)
            over = True
            begun.set()
            # One that ended by itself in the turn in which it was cancelled has come to its end.
            came_so_far = scope.cancelled_caught
    return came_so_far


async def sweep_turns(
    scenario: Scenario,
    check: Callable[[], Awaitable[None]],
    *,
    native: bool = False,
    bounded_by: float,
    ends_after: int = 5,
) -> int:
    """Cancel at the first turn, the second ... until it ends before several times in a row.

    Returns how many times it was cancelled. A cancellation that gets lost is one that hangs, as
    the scenario does not end by itself, or one that was not counted.
    """
    cancelled = ended = 0
    turn = 0
    while ended < ends_after:
        begun = time.monotonic()
        with anyio.fail_after(HANGS_AFTER):
            came_so_far = await cancel_at(turn, scenario, native=native)
        took = time.monotonic() - begun
        assert took < bounded_by, f"cancelled at turn {turn}, it took {took:.1f} s"
        cancelled += came_so_far
        ended = 0 if came_so_far else ended + 1
        await check()
        # Most turns are those in which the loop only waits for the server.
        turn += 1 if turn < 60 else 1 + turn // 20
    return cancelled
