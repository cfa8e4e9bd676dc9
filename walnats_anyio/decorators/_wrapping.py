"""Wrapping a handler so that it stays what it was: its kind, its signature, its name."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType, MethodType
from typing import Any, TypeVar, cast

from walnats_anyio._actors.declare._choices import ExecuteIn
from walnats_anyio._actors.declare._handler import (
    REFUSES,
    REFUSES_BATCHES,
    is_kind,
    refusal_of_batches,
    refusals_of,
)

Handler = TypeVar("Handler", bound=Callable[..., Any])


def check_handler(decorator: str, handler: object) -> None:
    """Refuse what cannot be a handler, when it is decorated.

    Raises:
        TypeError: it is no function or object to call, or it is a generator function.
    """
    if isinstance(handler, staticmethod | classmethod):
        # In its class it would become a plain method: called with the object, or without the class.
        kind = "staticmethod" if isinstance(handler, staticmethod) else "classmethod"
        raise TypeError(f"{decorator} stands below @{kind}, not above it, at {handler!r}")
    if not callable(handler) or isinstance(handler, type):
        raise TypeError(
            f"{decorator} decorates a function or an object to call with one message, "
            f"not {handler!r}"
        )
    if is_kind(handler, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        raise TypeError(
            f"{decorator}: handler {handler!r} is a generator function, and would never be run: "
            "remove its yield"
        )


def is_coroutine_function(handler: Callable[..., Any]) -> bool:
    """Whether it is a coroutine function, a method or partial of one, or has such a `__call__`."""
    return is_kind(handler, inspect.iscoroutinefunction)


def finish(
    wrapper: Callable[..., Any], handler: Handler, refused: Mapping[ExecuteIn, str] | None = None
) -> Handler:
    """Give a wrapper the looks of what it wraps; gives the wrapper.

    Args:
        wrapper: of the same kind as the handler.
        handler: what it calls.
        refused: where the wrapper cannot run, and why. What the handler refuses is kept.
    """
    if isinstance(cast("object", handler), FunctionType | MethodType):
        functools.update_wrapper(wrapper, handler)
    else:
        # The attributes of an object are its own affair.
        functools.update_wrapper(wrapper, handler, updated=())
        name = _name_of(handler)
        wrapper.__name__, wrapper.__qualname__ = name.rpartition(".")[2], name
    looks = cast("Any", wrapper)
    with contextlib.suppress(TypeError, ValueError):  # some functions written in C do not tell
        # Of what is called, as `Actor` checks that: a decorator below may add arguments.
        looks.__signature__ = inspect.signature(handler, follow_wrapped=False)
    refusals = refusals_of(handler) | dict(refused or {})
    if refusals:
        setattr(wrapper, REFUSES, refusals)
    if (why := refusal_of_batches(handler)) is not None:
        setattr(wrapper, REFUSES_BATCHES, why)
    return cast("Handler", wrapper)


def _name_of(handler: Any) -> str:
    """The name of what has none itself: of the function of a partial, else of its class."""
    while isinstance(handler, functools.partial):
        handler = handler.func  # pyright: ignore[reportUnknownMemberType] - of any callable
    return str(getattr(handler, "__qualname__", None) or handler.__class__.__qualname__)
