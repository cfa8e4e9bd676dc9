"""Values that certainly come back as they went out, such as an `int`, whatever holds them."""

from __future__ import annotations

import enum
import types
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any
from uuid import UUID

from msgspec import inspect

from walnats_anyio.serializers._difference import class_of

Test = Callable[[Any], bool]
"""Whether a message is certain to come back as it went out, equal in value and type."""

# Exactly of this class means the same after JSON. Equal to what has no constraints.
_LEAVES: list[tuple[inspect.Type, type]] = [
    (inspect.IntType(), int),
    (inspect.StrType(), str),
    (inspect.BoolType(), bool),
    (inspect.NoneType(), types.NoneType),
    (inspect.BytesType(), bytes),
    (inspect.DateType(), date),
    (inspect.UUIDType(), UUID),
]
_ANY_LEAVES = frozenset({int, str, bool, types.NoneType})


def leaves(info: inspect.Type) -> frozenset[type] | None:
    """List the classes of a type all of whose values are certain; None for other types."""
    if isinstance(info, inspect.UnionType):
        parts = [leaves(part) for part in info.types]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        return frozenset(cls for part in known for cls in part)
    for leaf, cls in _LEAVES:
        if info == leaf:
            return frozenset({cls})
    return None


def is_anything(info: inspect.Type) -> bool:
    """Whether it is `Any` or `object`: what is decoded is what JSON itself knows."""
    return isinstance(info, inspect.AnyType) or (
        isinstance(info, inspect.CustomType) and info.cls is object
    )


def value_test(info: inspect.Type) -> Test | None:
    """Make the test of a type that holds no other; None for types that do."""
    kinds = leaves(info)
    if kinds is not None:
        return lambda message: class_of(message) in kinds
    if is_anything(info):
        return is_plain_json
    match info:
        case inspect.FloatType() if info == inspect.FloatType():
            return is_finite
        case inspect.DateTimeType(tz=None):
            return _is_plain_moment
        case inspect.EnumType() if not issubclass(info.cls, enum.Flag):
            return _of_class(info.cls)
        case inspect.DecimalType():
            return _is_finite_decimal
        case inspect.LiteralType():
            return _one_of(info.values)
        case _:
            return None


def _of_class(cls: type) -> Test:
    return lambda message: class_of(message) is cls


def _one_of(values: Collection[object]) -> Test:
    kinds = frozenset(map(class_of, values))
    return lambda message: class_of(message) in kinds and message in values


def _is_finite_decimal(message: Any) -> bool:
    return class_of(message) is Decimal and message.is_finite()


def is_finite(message: Any) -> bool:
    return class_of(message) is float and isfinite(message)


def _is_plain_moment(message: Any) -> bool:
    return class_of(message) is datetime and (message.tzinfo is None or message.tzinfo is UTC)


def is_plain_json(message: Any) -> bool:
    # Loops rather than all(...): half the time for the small objects that events are made of.
    kind = class_of(message)
    if kind is dict:
        for key, item in message.items():
            if class_of(key) is not str:
                return False
            if class_of(item) not in _ANY_LEAVES and not is_plain_json(item):
                return False
        return True
    if kind is list:
        for item in message:
            if class_of(item) not in _ANY_LEAVES and not is_plain_json(item):
                return False
        return True
    return kind in _ANY_LEAVES or (kind is float and isfinite(message))


def is_plain_json_list(message: Any) -> bool:
    return class_of(message) is list and is_plain_json(message)


def is_plain_json_object(message: Any) -> bool:
    return class_of(message) is dict and is_plain_json(message)
