"""What can be a handler, and where it can run."""

from __future__ import annotations

import contextlib
import functools
import inspect
import pickle
import typing
from collections.abc import Callable
from typing import Any

from walnats_anyio._actors._choices import ExecuteIn


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
    if is_kind(handler, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        raise TypeError(
            f"{this} handler {handler!r} is a generator function, and would never be run: "
            "remove its yield"
        )
    if execute_in is ExecuteIn.MAIN:
        return
    if is_kind(handler, inspect.iscoroutinefunction):
        raise TypeError(
            f"{this} handler {handler!r} is a coroutine function, which cannot run in "
            f"{execute_in}: make it a plain function, or use ExecuteIn.MAIN"
        )
    if execute_in is ExecuteIn.PROCESS:
        _check_pickles(this, handler)
        _check_messages_pickle(this, schema)


def _check_pickles(this: str, handler: object) -> None:
    try:
        pickle.dumps(handler)
    except Exception as exc:
        raise TypeError(
            f"{this} handler {handler!r} cannot be pickled, as a process needs it ({exc}): "
            "use a function at the top of a module"
        ) from exc


def _check_messages_pickle(this: str, schema: object) -> None:
    """Refuse a schema with a class that a worker process cannot import."""
    for cls in sorted(_classes_in(schema), key=repr):
        # A message of a TypedDict is a plain dict, wherever its class is.
        if typing.is_typeddict(cls):
            continue
        try:
            pickle.dumps(cls)
        except Exception as exc:
            raise TypeError(
                f"{this} a message of {cls.__qualname__} cannot be pickled, as a process needs it "
                f"({exc}): put the class at the top of a module, or use ExecuteIn.THREAD"
            ) from exc


def _classes_in(schema: object) -> set[type]:
    """The classes that a schema is made of, those of the fields of its classes included."""
    found: set[type] = set()
    left = [schema]
    while left:
        part = left.pop()
        left.extend(typing.get_args(part))
        if isinstance(part, typing.NewType):
            left.append(part.__supertype__)
        if isinstance(part, type) and part not in found and part.__module__ != "builtins":
            found.add(part)
            # A class whose annotations cannot be resolved says nothing about its fields.
            with contextlib.suppress(Exception):
                left.extend(typing.get_type_hints(part).values())
    return found


def is_kind(handler: Any, *kinds: Callable[[Any], bool]) -> bool:
    """Whether it is such a kind of function; looks through partials, methods and `__call__`."""
    while isinstance(handler, functools.partial):
        handler = handler.func  # pyright: ignore[reportUnknownMemberType] - of any callable
    # A function has a `__call__` of its own, which is none of the kinds asked for.
    called = getattr(handler, "__call__", None)  # noqa: B004 - not asked whether it is callable
    return any(kind(handler) or kind(called) for kind in kinds)
