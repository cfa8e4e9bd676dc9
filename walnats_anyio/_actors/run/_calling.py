"""Calling a handler in a place where nothing can be awaited."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from walnats_anyio._actors.declare._handler import check_result


def call(handler: Callable[[Any], Any], message: Any) -> None:
    """Call a handler, and drop its result.

    A function with which it has its thread traced or profiled is taken away after it: it would be
    called in, and might end, the next job of the thread.

    Raises:
        TypeError: the result is work that is still to be done, such as a coroutine or a generator.
        BaseException: what the handler raises.
    """
    traced, profiled = sys.gettrace(), sys.getprofile()
    try:
        result: object = handler(message)
    finally:
        if sys.gettrace() is not traced:
            sys.settrace(traced)
        if sys.getprofile() is not profiled:
            sys.setprofile(profiled)
    if result is not None:
        check_result(result)
