"""Calling a handler in a place where nothing can be awaited."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import Any, cast


def call(handler: Callable[[Any], Any], message: Any) -> None:
    """Call a handler, and drop its result.

    Raises:
        TypeError: the result is work that is still to be done, such as a coroutine or a generator.
        BaseException: what the handler raises.
    """
    result: object = handler(message)
    if not isinstance(result, _UNDONE):
        return
    if isinstance(result, Coroutine | Generator):
        result.close()
    kind = cast("type[object]", type(result))  # pyright: ignore[reportUnknownArgumentType]
    raise TypeError(
        f"the handler returned an object of {kind.__name__}, so its work is not done: only "
        "ExecuteIn.MAIN can await it"
    )


_UNDONE = (Awaitable, Generator, AsyncGenerator, Future)
