"""Where a message that came back differs from the one that went out."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from math import isfinite
from types import NoneType
from typing import Any, NamedTuple, cast

import msgspec

class_of: Callable[[object], type[Any]] = type
"""`type`, with a type of its own: what it gives for `Any` is half unknown to a type checker."""

_MISSING = object()


def difference(sent: Any, back: Any) -> str | None:
    """Say where two messages differ, in value or in type. None: nowhere.

    One difference is none: an `int` where the schema says `float` may come back as the `float` of
    equal value, as it may be given there in the first place. A `datetime` is the same if its wall
    time and its offset are: a time zone with a name comes back as its offset.
    """
    found = _compare(sent, back)
    return None if found is None else f"{found.what} - at `${found.path}`"


class _Found(NamedTuple):
    path: str
    what: str


def _compare(sent: Any, back: Any) -> _Found | None:
    kind = class_of(sent)
    if kind is not class_of(back):
        if kind is int and class_of(back) is float and sent == back:
            return None
        return _differs(sent, back)
    compare = _COMPARED.get(kind)
    if compare is not None:
        return compare(sent, back)
    names = fields_of(kind)
    if names is not None:
        found = _objects(sent, back, names)
        if found is None and is_model(kind):
            return _models(sent, back)
        return _extras(sent, back) if found is None and _has_extras(kind) else found
    if _is_without_equality(kind):
        return _objects(sent, back, _attributes(sent, back))
    return _others(sent, back)


def is_model(kind: type[Any]) -> bool:
    """Whether it is a model of pydantic v2; asked without importing pydantic."""
    return hasattr(kind, "__pydantic_private__")


def _has_extras(kind: Any) -> bool:
    # A dataclass of pydantic may take fields that it does not declare, and writes none of them.
    config: dict[str, Any] | None = getattr(kind, "__pydantic_config__", None)
    return config is not None and config.get("extra") == "allow"


def _extras(sent: Any, back: Any) -> _Found | None:
    before, after = (cast("dict[str, Any]", vars(each)) for each in (sent, back))
    lost = [name for name in before if name not in after]
    if not lost:
        return None
    return _Found(f".{lost[0]}", "this field that is not declared would be lost")


def _attributes(sent: object, back: object) -> tuple[str, ...]:
    return tuple(vars(sent) | vars(back))


def _is_without_equality(kind: Any) -> bool:
    # What a post_load method of marshmallow makes is often of a class that is equal to nothing.
    if kind.__module__ == "builtins" or issubclass(kind, type | enum.Enum):
        return False
    return kind.__eq__ is object.__eq__ and kind.__dictoffset__ != 0


def fields_of(kind: type[Any]) -> tuple[str, ...] | None:
    """Name the fields of a class: a Struct, a dataclass, an attrs class, a named tuple.

    None for any other class.
    """
    # Through Any: mypy does not take a class for hashable.
    names: tuple[str, ...] | None = _fields_of(cast("Any", kind))
    return names


@functools.lru_cache(maxsize=512)
def _fields_of(kind: Any) -> Any:
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    if is_model(kind):
        return tuple(kind.__pydantic_fields__)
    if tuple in kind.__mro__:
        return getattr(kind, "_fields", None)
    attributes: tuple[Any, ...] | None = getattr(kind, "__attrs_attrs__", None)
    return None if attributes is None else tuple(attribute.name for attribute in attributes)


def _differs(sent: Any, back: Any) -> _Found:
    shown, other = _shown(sent), _shown(back)
    if shown == other:
        other = f"another {class_of(back).__qualname__}"
    other = other.replace("this", "a", 1)
    return _Found("", f"{shown} would arrive as {other}")


def _shown(value: Any) -> str:
    # Values stay out of errors, which go to logs; what is shown is the cause, and tells nothing.
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return str(value)
    if isinstance(value, datetime | time) and value.utcoffset() is not None:
        return f"this {class_of(value).__qualname__} with offset {value.utcoffset()}"
    return f"this {class_of(value).__qualname__}"


def _plainly(sent: Any, back: Any) -> _Found | None:
    return None if sent is back or sent == back else _differs(sent, back)


def _others(sent: Any, back: Any) -> _Found | None:
    """Compare what is of no class known here, perhaps derived from one that is."""
    base = next((base for base in class_of(sent).__mro__ if base in _COMPARED), None)
    if base is None or isinstance(sent, enum.Enum):
        return _plainly(sent, back)
    found = _COMPARED[base](sent, back)
    if found is not None:
        return found
    # Attributes besides the value. Slots, where there are some, come as a tuple of two.
    if _compare(sent.__getstate__(), back.__getstate__()) is not None:
        return _Found("", f"the attributes of this {class_of(sent).__qualname__} would be lost")
    return None


def _models(sent: Any, back: Any) -> _Found | None:
    """Compare two models of pydantic: what they hold besides their fields counts as well."""
    if _compare(sent.__pydantic_private__, back.__pydantic_private__) is not None:
        return _Found(
            "", f"the private attributes of this {class_of(sent).__qualname__} would be lost"
        )
    return _compare(sent.__pydantic_extra__, back.__pydantic_extra__)


def _objects(sent: Any, back: Any, names: tuple[str, ...]) -> _Found | None:
    for name in names:
        one, other = getattr(sent, name, _MISSING), getattr(back, name, _MISSING)
        # Most fields are as simple as that, and calls are what takes the time.
        if class_of(one) is class_of(other) and class_of(one) in _SIMPLE and one == other:
            continue
        found = _compare(one, other)
        if found is not None:
            return _Found(f".{name}{found.path}", found.what)
    return None


def _sequences(sent: Sequence[Any], back: Sequence[Any]) -> _Found | None:
    if len(sent) != len(back):
        return _Found("", f"{len(sent)} items would arrive as {len(back)}")
    for index, (one, other) in enumerate(zip(sent, back, strict=True)):
        found = _compare(one, other)
        if found is not None:
            return _Found(f"[{index}]{found.path}", found.what)
    return None


def _mappings(sent: Mapping[Any, Any], back: Mapping[Any, Any]) -> _Found | None:
    if len(sent) != len(back):
        return _Found("", f"{len(sent)} keys would arrive as {len(back)}")
    # JSON keeps the order of keys, but marshmallow loads them in the order of its schema.
    if list(sent) != list(back):
        twins = {key: key for key in back}
        if twins.keys() == sent.keys():
            back = {twins[key]: back[key] for key in sent}
    for (key, value), (back_key, back_value) in zip(sent.items(), back.items(), strict=True):
        found = _compare(key, back_key)
        if found is not None:
            return _Found(".keys()", found.what)
        found = _compare(value, back_value)
        if found is not None:
            return _Found(f"[...]{found.path}", found.what)
    return None


def _sets(sent: AbstractSet[Any], back: AbstractSet[Any]) -> _Found | None:
    if sent != back:
        return _differs(sent, back)
    twins = {item: item for item in back}
    for item in sent:
        found = _compare(item, twins[item])
        if found is not None:
            return _Found(f"[...]{found.path}", found.what)
    return None


def _moments(sent: datetime | time, back: datetime | time) -> _Found | None:
    # Not by ==, which takes equal moments of different offsets for the same, and two times of the
    # hour that comes twice in a year never.
    same_wall_time = sent.replace(tzinfo=None) == back.replace(tzinfo=None)
    if same_wall_time and sent.utcoffset() == back.utcoffset():
        # A time in a zone with summer time has no offset, and its zone is not written at all.
        if (sent.tzinfo is None) is (back.tzinfo is None):
            return None
        return _Found("", f"the time zone of this {class_of(sent).__qualname__} would be lost")
    return _differs(sent, back)


_SIMPLE = frozenset({int, str, float, bool, bytes, NoneType})

_COMPARED = cast(
    "dict[type, Callable[[Any, Any], _Found | None]]",
    {
        **dict.fromkeys((*_SIMPLE, date), _plainly),
        **dict.fromkeys((list, tuple, deque), _sequences),
        **dict.fromkeys((set, frozenset), _sets),
        **dict.fromkeys((datetime, time), _moments),
        dict: _mappings,
    },
)
