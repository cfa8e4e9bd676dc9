"""The annotations of a class, also where its names are known in a function only.

Under postponed annotations (`from __future__ import annotations`) a class has the text of its
annotations. For a class that is defined in a function, the names in it may be local variables of
that function. Whoever declares an event with it usually does so in the same function, which is then
still on the stack.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing
from collections.abc import Iterator
from typing import Any, cast

LOCAL = ".<locals>"
"""Where a qualified name goes into a function."""


def has_fields(kind: object) -> bool:
    """Whether it is a class that declares fields: their annotations are part of the schema."""
    if not isinstance(kind, type):
        return False
    return is_object_class(kind) or hasattr(kind, "__struct_fields__") or hasattr(kind, "_fields")


def is_object_class(kind: object) -> bool:
    """Whether it is a dataclass, an attrs class or a TypedDict."""
    return is_dataclass_like(kind) or is_typed_dict(kind)


def is_dataclass_like(kind: object) -> bool:
    """Whether it is a dataclass or an attrs class."""
    return isinstance(kind, type) and (
        hasattr(cast("Any", kind), "__attrs_attrs__") or dataclasses.is_dataclass(kind)
    )


def is_typed_dict(kind: object) -> bool:
    """Whether it is a TypedDict, of `typing` or of `typing_extensions`."""
    return isinstance(kind, type) and hasattr(cast("Any", kind), "__required_keys__")


def annotated_bases(kind: type) -> Iterator[type]:
    """List the class and its bases that have annotations of their own."""
    return (base for base in kind.__mro__ if inspect.get_annotations(base))


def annotations_of(kind: type) -> dict[str, Any]:
    """Evaluate the annotations that a class itself has; those of its bases are left out.

    Raises:
        NameError: one names something that is not there; the message says what to do.
    """
    return evaluate(kind.__annotations__, kind)


def evaluate(annotations: dict[str, Any], kind: type) -> dict[str, Any]:
    """Evaluate annotations with the names that a class knows.

    Raises:
        NameError: one names something that is not there; the message says what to do.
    """
    known: dict[str, Any] = {parameter.__name__: parameter for parameter in _parameters(kind)}
    known |= local_names(kind) | {kind.__name__: kind}
    module = sys.modules.get(kind.__module__)
    # A class of its own, so that the bases are left out, which may come from other functions.
    own = {"__annotations__": annotations, "__module__": kind.__module__}
    stand_in = type(kind.__name__, (), own)
    try:
        return typing.get_type_hints(
            stand_in, dict(vars(module)) if module else {}, known, include_extras=True
        )
    except NameError as error:
        raise NameError(
            f"the annotations of {kind.__qualname__} name {error.name!r}, which is not there:"
            " define it before the event is declared; for a class defined in a function, in that"
            " same function",
            name=error.name,
        ) from error


def _parameters(kind: type) -> tuple[Any, ...]:
    # Of `class Box[T]`, Python 3.12.
    parameters: tuple[Any, ...] = getattr(kind, "__type_params__", ())
    return parameters


def local_names(kind: type) -> dict[str, Any]:
    """Find the local variables of the functions that a class is defined in, outermost first."""
    within = {
        kind.__qualname__[:end]
        for end in range(len(kind.__qualname__))
        if kind.__qualname__.startswith(LOCAL, end)
    }
    found: list[dict[str, Any]] = []
    frame = inspect.currentframe() if within else None
    while frame is not None:
        code = frame.f_code
        if code.co_qualname in within and frame.f_globals.get("__name__") == kind.__module__:
            found.append(dict(frame.f_locals))
            within.discard(code.co_qualname)  # of a recursive function, the innermost call
        frame = frame.f_back
    names: dict[str, Any] = {}
    for local in reversed(found):
        names |= local
    return names
