"""A handler that emits, in a process of its own."""

from __future__ import annotations

import walnats_anyio as walnats

NUMBER = walnats.Event("in-process.number", int, storage="memory")
DOUBLED = walnats.Event("in-process.doubled", int, storage="memory")


def double(number: int) -> None:
    with walnats.Events(DOUBLED).connect_sync() as conn:
        conn.emit(DOUBLED, 2 * number)


DOUBLE = walnats.Actor(
    "double", NUMBER, double, execute_in=walnats.ExecuteIn.PROCESS, max_attempts=1
)
