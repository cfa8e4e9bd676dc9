"""Where nats-py runs: directly on asyncio, or on an asyncio loop of our own inside trio.

Everything above this file calls `run` for what nats-py awaits and `loop.call_soon` for what must
happen inside its loop. Nothing else differs between the two.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import math
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.lowlevel import current_token


@dataclass(frozen=True, slots=True)
class Backend:
    """One event loop that nats-py can live in."""

    loop: asyncio.AbstractEventLoop
    """The loop that runs nats-py's tasks and callbacks."""

    run: Callable[..., Awaitable[Any]]
    """`await run(function, *args)` awaits nats-py's `function(*args)` from any task."""

    native: bool
    """True when the application itself runs on this loop, so a client it made can be used."""


@asynccontextmanager
async def open_backend() -> AsyncIterator[Backend]:
    """Open what nats-py needs under the event loop that runs now.

    Raises:
        RuntimeError: on trio without trio-asyncio installed.
    """
    token = current_token()
    native = getattr(token, "native_token", token)
    if isinstance(native, asyncio.AbstractEventLoop):
        yield Backend(native, _call, native=True)
        return
    trio_asyncio = _import_trio_asyncio()
    async with trio_asyncio.open_loop() as loop:

        async def call(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
            return await trio_asyncio.aio_as_trio(function, loop=loop)(*args)

        yield Backend(loop, call, native=False)


async def _call(function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    return await function(*args)


def _import_trio_asyncio() -> Any:
    """Import trio-asyncio, and leave plain asyncio as it was.

    Importing it makes `asyncio.run` use its own loop in the whole process, also for code that has
    nothing to do with trio (it replaces `asyncio.new_event_loop`). Only `open_loop` is wanted here.
    """
    already_there = "trio_asyncio" in sys.modules
    new_event_loop = asyncio.events.new_event_loop
    try:
        with warnings.catch_warnings():
            # It uses what Python 3.12 deprecates; as an error that would leave it half imported.
            warnings.simplefilter("ignore", DeprecationWarning)
            import trio_asyncio
    except ImportError as exc:
        raise RuntimeError(
            "on trio the connection needs trio-asyncio: pip install 'walnats-anyio[trio]'"
        ) from exc
    if not already_there:
        asyncio.events.new_event_loop = new_event_loop
        asyncio.new_event_loop = new_event_loop
    return trio_asyncio


def cancelled_from_outside() -> bool:
    """Whether a cancellation that was just caught is one of a cancel scope around the task's code.

    On asyncio a coroutine can also raise `CancelledError` by itself, such as by awaiting a future
    that somebody cancelled, or cancel its own task. Then that is forgotten. trio has no such thing.
    """
    if anyio.current_effective_deadline() == -math.inf:
        return True
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return True
    while task is not None and task.cancelling():
        task.uncancel()
    return False
