"""Types that msgspec hands over: subclasses of `str`, `int` and the like, and unions of classes."""

from __future__ import annotations

import enum
import functools
import typing
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import msgspec

from walnats_anyio.serializers._annotations import evaluate, has_fields
from walnats_anyio.serializers._choice import is_choice
from walnats_anyio.serializers._difference import class_of
from walnats_anyio.serializers._wire import Hook, Wire

_BASES: tuple[type, ...] = (
    str, int, float, bytes, dict, list, tuple, set, frozenset, datetime, date
)  # fmt: skip
"""What a class may be derived from. `datetime` is a `date` itself, and so goes first."""

_PLAIN: dict[type, Callable[[Any], Any]] = {
    # Not str(...) and the like, which a subclass may have overridden.
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: lambda value: bytes(memoryview(value)),
    datetime: datetime.isoformat,
    date: date.isoformat,
}
"""How msgspec gets a value that it can write. Containers it takes as they are."""


def base_of(kind: Any) -> type | None:
    """Say what a class is derived from that can be written. None: nothing."""
    if not isinstance(kind, type) or issubclass(kind, defaultdict):
        return None  # the function that makes defaults would be lost
    return next((base for base in _BASES if issubclass(kind, base)), None)


def is_subclass(kind: Any) -> bool:
    """Whether it is a subclass of `str` and the like that msgspec hands over."""
    if kind in _BASES or has_fields(kind) or base_of(kind) is None:
        return False
    return kind is not bool and not issubclass(kind, enum.Enum)


def is_known(kind: Any) -> bool:
    """Whether what msgspec hands over can be written and read back."""
    return is_choice(kind) or base_of(kind) is not None


@functools.lru_cache(maxsize=512)
def plain_schema(kind: Any) -> Any:
    """Say what a subclass is derived from: `dict[str, int]`, where it gives the types as well."""
    base = base_of(kind)
    for generic in getattr(kind, "__orig_bases__", ()):
        if typing.get_origin(generic) is base:
            return evaluate({"base": generic}, kind)["base"]
    return dict[Any, int] if issubclass(kind, Counter) else base


def parts_of(kind: Any) -> tuple[Any, ...]:
    """List the schemas that are inside of what msgspec hands over."""
    return kind.types if is_choice(kind) else (plain_schema(kind),)


def encode_hook(kinds: frozenset[type]) -> Callable[[Any], Any]:
    """Make the function that msgspec calls with what it cannot write.

    Args:
        kinds: the subclasses that the schema has. Others are refused, as they are without it.
    """

    def encode(value: Any) -> Any:
        kind = class_of(value)
        if kind not in kinds:
            raise TypeError(f"Encoding objects of type {kind.__qualname__} is unsupported")
        base = base_of(kind)
        return _PLAIN[base](value) if base in _PLAIN else value

    return encode


def _decode(kind: Any, found: Any, wire: Wire) -> Any:
    kind = typing.get_origin(kind) or kind
    if is_choice(kind):
        return kind.decode(found, wire)
    try:
        if issubclass(kind, date):
            return kind.fromisoformat(wire.convert(found, str, DECODE_HOOKS[wire]))
        return kind(wire.convert(found, plain_schema(kind), DECODE_HOOKS[wire]))
    except msgspec.ValidationError as error:
        # As another error, to which msgspec adds where it was.
        what, at, path = str(error).partition(" - at ")
        raise ValueError(f"{what} (at {path} of it)" if at else what) from error


def _from_json(kind: Any, found: Any) -> Any:
    return _decode(kind, found, Wire.JSON)


def _from_message_pack(kind: Any, found: Any) -> Any:
    return _decode(kind, found, Wire.MESSAGE_PACK)


DECODE_HOOKS: dict[Wire, Hook] = {
    Wire.JSON: _from_json,
    Wire.MESSAGE_PACK: _from_message_pack,
}
"""The functions that msgspec calls with what it has read of a type that it does not know."""
