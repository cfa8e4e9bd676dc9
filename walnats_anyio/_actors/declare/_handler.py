"""What can be a handler, where it can run, and what it must not give back."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from typing import Any, cast

from walnats_anyio._actors.declare._choices import ExecuteIn
from walnats_anyio._actors.declare._pickling import check_pickles

REFUSES = "__walnats_refuses__"
"""The attribute in which a decorator says where its handlers cannot run: `ExecuteIn` to why."""

REFUSES_BATCHES = "__walnats_refuses_batches__"
"""The attribute in which a decorator says why its handlers cannot be called with a list."""


@contextlib.contextmanager
def _example() -> Iterator[None]:
    yield


# What `contextmanager` and `asynccontextmanager` give: nothing of the function has run then. Other
# context managers, such as an open file, are results like any other.
_MANAGERS = type(_example()).__mro__[1]


def check_handler(this: str, handler: object, execute_in: ExecuteIn, schema: object) -> None:
    """Refuse what cannot be called with a message of the schema, or not there.

    Raises:
        TypeError: it is no handler; the message begins with `this`.
    """
    if not callable(handler) or isinstance(handler, type):
        raise TypeError(
            f"{this} handler must be a function or an object to call with one message, "
            f"not {handler!r}"
        )
    _check_runs(this, handler)
    _check_takes_one(this, handler)
    _check_decorators(this, handler, execute_in)
    if execute_in is ExecuteIn.MAIN:
        return
    if is_kind(handler, inspect.iscoroutinefunction):
        raise TypeError(
            f"{this} handler {handler!r} is a coroutine function, which cannot run in "
            f"{execute_in}: make it a plain function, or use ExecuteIn.MAIN"
        )
    if execute_in is ExecuteIn.PROCESS:
        check_pickles(this, handler, schema)


def check_result(result: object) -> None:
    """Refuse a result that shows that the handler, or a part of it, was never run.

    For what is left when every awaitable that can be awaited has been. Ordinary results pass.

    Raises:
        TypeError: it is a generator, an async generator, a coroutine, another awaitable, a future
            of `concurrent.futures`, or what a function made by `contextmanager` gives. The message
            says which. A coroutine is closed.
    """
    kind: Any = type(result)  # Any: mypy does not take a class for hashable
    remedy = _unfinished(kind)
    if remedy is None:
        return
    shown = _shown(result)
    if isinstance(result, Coroutine | Generator):
        # Else Python warns of it later, in some other job.
        cast("Coroutine[Any, Any, Any]", result).close()
    raise TypeError(f"the handler returned {shown}, {remedy}")


@functools.lru_cache(maxsize=256)
def _unfinished(kind: type) -> str | None:
    """Say what to do about results of a class; None: they are good."""
    if issubclass(kind, Generator | AsyncGenerator):
        return "which nobody runs: loop over it in the handler, or remove the yield"
    if issubclass(kind, _MANAGERS):
        return "which nobody enters: use it in the handler, with `with` or `async with`"
    if issubclass(kind, Awaitable):
        return (
            "which nobody awaits: await it in the handler; a handler that runs in a thread or a"
            " process cannot"
        )
    if issubclass(kind, Future):
        return "which nobody waits for: return its result() instead"
    return None


def _shown(result: object) -> str:
    cls = type(result)
    kind = (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )
    article = "an" if kind[0] in "aeiou" else "a"
    function = getattr(result, "__qualname__", None)
    of = f" of {function}" if isinstance(function, str) else ""
    return f"{article} {kind}{of}"


def _check_runs(this: str, handler: Any) -> None:
    # What a decorator wraps is not looked at: it may well run a generator to its end. Where it
    # does not, `check_result` finds the generator that comes back.
    if is_kind(handler, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        raise TypeError(
            f"{this} handler {handler!r} is a generator function, and would never be run: "
            "remove its yield"
        )


def _check_takes_one(this: str, handler: Callable[..., Any]) -> None:
    try:
        # Not the signature of what it wraps: a decorator may add arguments of its own.
        signature = inspect.signature(handler, follow_wrapped=False)
    except (TypeError, ValueError):
        return  # some functions written in C do not tell
    try:
        signature.bind(object())
    except TypeError as error:
        raise TypeError(
            f"{this} handler {handler!r} takes {signature}, and cannot be called with one argument,"
            f" the message ({error}): give it one parameter, and bind others with"
            " functools.partial"
        ) from None


def _check_decorators(this: str, handler: object, execute_in: ExecuteIn) -> None:
    why = refusals_of(handler).get(execute_in)
    if why is not None:
        raise TypeError(f"{this} handler {handler!r} cannot run in {execute_in}: {why}")


def refusals_of(handler: object) -> dict[ExecuteIn, str]:
    """Where a handler cannot run for its decorators, and why."""
    found: dict[ExecuteIn, str] = {}
    for part in _callables_of(handler):
        found |= getattr(part, REFUSES, {})
    return found


def refusal_of_batches(handler: object) -> str | None:
    """Why a handler cannot be called with a list of messages, for one of its decorators."""
    found = (getattr(part, REFUSES_BATCHES, None) for part in _callables_of(handler))
    return next((why for why in found if why is not None), None)


def is_kind(handler: Any, *kinds: Callable[[Any], bool]) -> bool:
    """Whether it is such a kind of function; looks through partials, methods and `__call__`."""
    return any(kind(part) for part in _callables_of(handler) for kind in kinds)


def _callables_of(handler: Any) -> tuple[Any, Any]:
    """What is called in the end, without partials, and the `__call__` of that."""
    while isinstance(handler, functools.partial):
        handler = handler.func  # pyright: ignore[reportUnknownMemberType] - of any callable
    # A function has a `__call__` of its own, which is none of the kinds asked for.
    return handler, getattr(handler, "__call__", None)  # noqa: B004 - not asked whether it has one
