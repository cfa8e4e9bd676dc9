"""Calling a handler in a place where nothing can be awaited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from walnats_anyio._actors.declare._handler import check_result


def call(handler: Callable[[Any], Any], message: Any) -> None:
    """Call a handler, and drop its result.

    Raises:
        TypeError: the result is work that is still to be done, such as a coroutine or a generator.
        BaseException: what the handler raises.
    """
    result: object = handler(message)
    if result is not None:
        check_result(result)
