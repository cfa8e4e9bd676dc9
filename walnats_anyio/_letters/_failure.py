"""What a dead letter says about an exception, whatever the exception does when it is asked.

A handler can raise an exception of any class, with methods and attributes that raise themselves.
The letter must be written all the same, so nothing here trusts the exception: each of the three
texts is made on its own, and a text that cannot be made says so instead.
"""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Callable
from types import TracebackType

PACKAGE = __name__.split(".", maxsplit=1)[0]

MAX_TYPE = 200
"""Characters of the name of an exception's class that are kept."""

MAX_ERROR = 2_000
"""Characters of an exception's message that are kept: its beginning."""

MAX_TRACEBACK = 8_000
"""Characters of a traceback that are kept: its end, which is where it broke."""

CUT = "[...]"
"""Stands where something was cut."""


def describe(error: BaseException | None) -> tuple[str | None, str, str]:
    """The type, the message and the traceback of an exception, cut to what is kept.

    Raises nothing but a `KeyboardInterrupt`, which may be a real one.
    """
    if error is None:
        return None, "", ""
    name = _text("name", lambda: _type_name(error))
    message = message_of(error)
    traceback = _text("traceback", lambda: "".join(tracebacks.format_exception(error)))
    if traceback == _no_text("traceback"):
        frames = _text("traceback", lambda: "".join(tracebacks.format_tb(frames_of(error))))
        traceback = f"{frames}\n{name}: {message}\n"
    if len(message) > MAX_ERROR:
        # Or the message alone would fill what is kept, and no line of code be seen.
        traceback = traceback.replace(message, keep_start(message, MAX_ERROR))
    return (
        keep_start(name, MAX_TYPE),
        keep_start(message, MAX_ERROR),
        keep_end(traceback, MAX_TRACEBACK),
    )


def message_of(error: BaseException) -> str:
    """What an exception says, whatever its `__str__` does.

    Raises nothing but a `KeyboardInterrupt`, which may be a real one.
    """
    return _text("message", lambda: str(error))


def keep_start(text: str, most: int) -> str:
    """The text if it has `most` characters or fewer, else its beginning; the mark is counted."""
    if len(text) <= most:
        return text
    return text[: most - len(CUT)] + CUT if most > len(CUT) else ""


def keep_end(text: str, most: int) -> str:
    """The text if it has `most` characters or fewer, else its end; the mark is counted."""
    if len(text) <= most:
        return text
    mark = f"{CUT}\n"
    return mark + text[len(text) - most + len(mark) :] if most > len(mark) else ""


def clean(text: str) -> str:
    """The text with what is no Unicode spelled out, as it could not be encoded otherwise.

    Such characters come from names of files. What is given back is a plain `str`, also where `text`
    is of a subclass with methods of its own.
    """
    return str.encode(text, errors="backslashreplace").decode()


def _text(what: str, make: Callable[[], str]) -> str:
    try:
        return clean(make())
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a method of a user's exception can raise anything
        return _no_text(what)


def _no_text(what: str) -> str:
    return f"(its {what} could not be made)"


def class_of(error: BaseException) -> tuple[str, str]:
    """The module and the name of the class of an exception, whatever its metaclass does."""
    kind = type(error)
    name: str = type.__dict__["__qualname__"].__get__(kind)
    module = type.__dict__["__module__"].__get__(kind)
    # Plain text also where a class has text with methods of its own.
    return str.__str__(module) if isinstance(module, str) else "builtins", str.__str__(name)


def frames_of(error: BaseException) -> TracebackType | None:
    """The traceback of an exception, past a property of the same name in its class."""
    frames: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(error)
    return frames


def _type_name(error: BaseException) -> str:
    module, name = class_of(error)
    if module == "builtins":
        return name
    parts = module.split(".")
    if parts[0] == PACKAGE:
        # Where a class of ours is defined is our own affair: users import it from a public module.
        parts = [part for part in parts if not part.startswith("_")]
    return ".".join([*parts, name])
