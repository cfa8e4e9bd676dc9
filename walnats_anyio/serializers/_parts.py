"""The parts of a type, as msgspec describes it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import inspect


def parts(root: inspect.Type) -> Iterator[inspect.Type]:
    """List a type and everything in it, each once."""
    # A schema may contain itself.
    seen: set[int] = set()
    stack = [root]
    while stack:
        part = stack.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        stack.extend(_children(part))


def _children(part: inspect.Type) -> list[inspect.Type]:
    match part:
        case inspect.UnionType():
            return list(part.types)
        case inspect.TupleType():
            return list(part.item_types)
        case inspect.CollectionType():
            return [part.item_type]
        case inspect.DictType():
            return [part.key_type, part.value_type]
        case inspect.Metadata():
            return [part.type]
        case (
            inspect.StructType()
            | inspect.DataclassType()
            | inspect.NamedTupleType()
            | inspect.TypedDictType()
        ):
            return [field.type for field in part.fields]
        case _:
            return []
