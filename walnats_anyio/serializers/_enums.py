"""What of an enumeration is written."""

from __future__ import annotations

import enum
import itertools
from typing import Any, cast

_MOST_FLAGS = 6
"""Flags whose combinations are listed, 64 of them; of more flags only the range is told."""


def values_schema(kind: type) -> dict[str, Any]:
    """Describe the values of an enumeration, as JSON Schema.

    Of flags any combination is written, and read. A class that keeps unknown bits, as `IntFlag`
    does, has any whole number.
    """
    if not issubclass(kind, enum.Flag):
        # Through Any: a type checker does not know that it is an Enum.
        return {"enum": [each.value for each in cast("Any", kind)]}
    flags = [each.value for each in kind]
    known = sum(flags)
    if _keeps(kind, known + 1):
        return {"type": "integer"}
    if known & (known + 1) and len(flags) <= _MOST_FLAGS:  # there is a bit without a flag
        chosen = itertools.product((0, 1), repeat=len(flags))
        sums = (sum(map(int.__mul__, flags, each)) for each in chosen)
        return {"enum": sorted(sums)}
    return {"type": "integer", "minimum": 0, "maximum": known}


def _keeps(kind: type[enum.Flag], unknown: int) -> bool:
    """Whether a class of flags takes a value that has an unknown bit, and keeps it."""
    bit = 1 << unknown.bit_length()
    try:
        return kind(bit).value == bit
    except (ValueError, AttributeError):  # it is refused, or is no member but a number
        return False
