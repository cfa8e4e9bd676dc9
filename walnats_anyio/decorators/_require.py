"""Run a handler only while something holds."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from walnats_anyio._actors.declare import Snooze
from walnats_anyio._actors.declare._choices import MIN_SNOOZE
from walnats_anyio._actors.declare._handler import is_kind
from walnats_anyio._events._arguments import check_seconds
from walnats_anyio.decorators._wrapping import (
    Handler,
    check_handler,
    finish,
    is_coroutine_function,
)


def require(
    predicate: Callable[[], bool] | Callable[[], Awaitable[bool]], pause: float = 1.0
) -> Callable[[Handler], Handler]:
    """Run the handler only while the predicate is true; otherwise the event comes again later.

        @require(database.is_connected, pause=5)
        async def write(record: Record) -> None: ...

    While it is false, the job raises `Snooze(pause)`: it holds no slot meanwhile, and it is no
    attempt. Each event that the actor holds, at most `max_ack_pending`, asks once in each `pause`.

    The predicate is called where the handler runs, without arguments: in a thread for
    `ExecuteIn.THREAD`, in the worker process for `ExecuteIn.PROCESS`, which shares no memory with
    the program. What it raises is the failure of the job.

    Args:
        predicate: says whether the handler may run. A coroutine function only for handlers that
            are one.
        pause: seconds from one look to the next. At least 0.001, default 1.

    Raises:
        TypeError: the predicate cannot be called, or is a coroutine function and the handler is
            none.
        ValueError: `pause` is out of its range.
    """
    if not callable(predicate):
        raise TypeError(
            f"require: predicate must be a function without arguments, not {predicate!r}: give the "
            "function itself, and do not call it"
        )
    check_seconds("require: pause", pause, MIN_SNOOZE)

    def decorate(handler: Handler) -> Handler:
        check_handler("require", handler)
        if is_coroutine_function(handler):
            return _required(handler, predicate, pause)
        return _required_plainly(handler, predicate, pause)

    return decorate


def _required(handler: Handler, predicate: Callable[[], object], pause: float) -> Handler:
    async def required(*args: Any, **kwargs: Any) -> Any:
        held = predicate()
        if inspect.isawaitable(held):
            held = await held
        if not held:
            raise Snooze(pause)
        return await handler(*args, **kwargs)

    return finish(required, handler)


def _required_plainly(handler: Handler, predicate: Callable[[], object], pause: float) -> Handler:
    problem = (
        f"require: the predicate {predicate!r} is to be awaited, which the plain function "
        f"{handler!r} cannot do: make either one what the other is"
    )
    if is_kind(predicate, inspect.iscoroutinefunction):
        raise TypeError(problem)

    def required(*args: Any, **kwargs: Any) -> Any:
        held = predicate()
        if inspect.iscoroutine(held):
            held.close()  # or Python would warn of it, in some other job
        if inspect.isawaitable(held):
            raise TypeError(problem)
        if not held:
            raise Snooze(pause)
        return handler(*args, **kwargs)

    return finish(required, handler)
