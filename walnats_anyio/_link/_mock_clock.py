"""Clocks for tests, on both backends: they jump to the next timer when nothing can run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from walnats_anyio._link._parking import current_backend


def mock_clock(backend: str, *, autojump_threshold: float = 0.0) -> dict[str, Any]:
    """Give the backend options with which a program has a clock that jumps, where time costs none.

        anyio.run(main, backend=backend, backend_options=mock_clock(backend))

    The clock is that of the event loop: of `anyio.sleep`, of all timeouts and of
    `anyio.current_time`. It starts at 0, stands still while something runs, and jumps to the next
    timer when all tasks wait and nothing comes from outside.

    On asyncio it is a `MockClockLoop`, on trio a `trio.testing.MockClock`. Each call makes a new
    one. What `time.time`, `time.monotonic` and `datetime.now` say stays real.

    Args:
        backend: "asyncio" or "trio".
        autojump_threshold: real seconds in which nothing must come from outside, such as from a
            socket, before the clock jumps. 0 (the default) is right where all happens in this
            process, as with `MemoryServer`; with a real server on this machine 0.02 is about right.

    Raises:
        ValueError: there is no such backend, or the threshold is negative.
    """
    check_threshold(autojump_threshold)
    if backend == "asyncio":
        from walnats_anyio._link._asyncio import MockClockLoop

        return {"loop_factory": partial(MockClockLoop, autojump_threshold)}
    if backend == "trio":
        from walnats_anyio._link._trio import new_mock_clock

        return {"clock": new_mock_clock(autojump_threshold)}
    raise ValueError(f"backend must be 'asyncio' or 'trio', not {backend!r}")


def check_threshold(seconds: float) -> None:
    """Refuse what is no `autojump_threshold`.

    Raises:
        ValueError: it is negative, or no number.
    """
    if not seconds >= 0:
        raise ValueError(f"autojump_threshold must be real seconds of at least 0, not {seconds!r}")


@contextmanager
def hold_clock() -> Iterator[None]:
    """Have a mock clock stand still inside of `with`, as something outside takes real time.

        with hold_clock():
            await a_program_of_another_process()

    The jobs of actors that run in threads and processes do so by themselves. It does nothing
    where the event loop has no mock clock. For at most 5 real seconds in which the event loop
    hears nothing; then the clock jumps to the next timer all the same, so that a timeout ends what
    hangs.

    Raises:
        RuntimeError: no event loop runs here.
    """
    with current_backend().hold_clock():
        yield


def jump_clock(seconds: float) -> None:
    """Move the mock clock of the event loop that runs on, by so many seconds.

    Timers that are due then fire as soon as the task that calls it waits.

    Raises:
        RuntimeError: the event loop that runs has no mock clock.
        ValueError: `seconds` is negative or not finite.
    """
    if not 0 <= seconds < math.inf:
        raise ValueError(f"the clock can be moved by at least 0 seconds, not {seconds!r}")
    move = current_backend().move_clock
    if move is None:
        raise RuntimeError(
            "the event loop has no mock clock: start it with backend_options=mock_clock(backend)"
        )
    move(seconds)
