"""A wait with an end: for a condition, never for a fixed time."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")

DEADLINE = float(os.environ.get("WALNATS_TEST_DEADLINE", "30"))
"""Seconds for what takes milliseconds on a machine that has nothing else to do."""


async def until(condition: Callable[[], bool | Awaitable[bool]], within: float = DEADLINE) -> None:
    """Wait until the condition holds; TimeoutError when it does not within so many seconds."""
    with anyio.fail_after(within):
        while True:
            held = condition()
            if inspect.isawaitable(held):
                held = await held
            if held:
                return
            await anyio.sleep(0.005)


def until_blocking(
    condition: Callable[[], T], explain: Callable[[], object] = lambda: "", within: float = DEADLINE
) -> T:
    """Wait without an event loop until the condition gives something true, and return that.

    What `explain` gives is in the TimeoutError when it does not.
    """
    deadline = time.monotonic() + within
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within} s. {explain()}")
        time.sleep(0.02)
