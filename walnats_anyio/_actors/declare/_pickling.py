"""What can go to a worker process."""

from __future__ import annotations

import contextlib
import pickle
import typing
from typing import Any

from walnats_anyio._events import BaseEvent


def check_pickles(this: str, handler: object, schema: object) -> None:
    """Refuse a handler or a schema that a worker process cannot import.

    Raises:
        TypeError: one of them cannot be pickled; the message begins with `this`.
    """
    try:
        pickle.dumps(handler)
    except Exception as exc:
        raise TypeError(
            f"{this} handler {handler!r} cannot be pickled, as a process needs it ({exc}): "
            "use a function at the top of a module"
        ) from exc
    _check_messages_pickle(this, schema)


def check_response_pickles(this: str, event: BaseEvent[Any]) -> None:
    """Refuse an event whose response a worker process cannot encode.

    Raises:
        TypeError: the event cannot be pickled; the message begins with `this`.
    """
    try:
        pickle.dumps(event)
    except Exception as exc:
        raise TypeError(
            f"{this} event {event.name!r} cannot be pickled, as a process needs it to encode the "
            f"response ({exc}): put the classes at the top of a module, or use ExecuteIn.THREAD"
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
