"""Making schemas that msgspec does not take as they are into such that it takes.

Theory of operation. Some schemas are valid Python, and refused by msgspec: those with a class whose
annotations only a function can evaluate, and unions of several dataclasses (or attrs classes, or
TypedDicts), or of a subclass of `str` and other types. msgspec reads the annotations of a class
when it makes a decoder of it. So for that moment the annotations are replaced: by their values,
with a `Choice` in place of such a union. Afterwards the class is as it was; the decoder keeps what
it has read.
"""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import threading
import types
import typing
from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from walnats_anyio.serializers._annotations import (
    annotated_bases,
    annotations_of,
    has_fields,
    is_object_class,
)
from walnats_anyio.serializers._choice import Choice
from walnats_anyio.serializers._classes import unwrap
from walnats_anyio.serializers._customs import is_subclass
from walnats_anyio.serializers._parts import parts

_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)

one_at_a_time = threading.RLock()
"""Held while a serializer is made: what it replaces in a class, others would see."""


@dataclasses.dataclass(frozen=True)
class Adapted:
    """A schema that msgspec takes, within `in_place`."""

    schema: Any
    """With choices for unions; the schema itself where it has none of its own."""

    annotations: dict[type, dict[str, Any]]
    """What its classes have in place of their own annotations. Empty: the schema needs nothing."""

    choices: tuple[type[Choice], ...] = ()
    """What stands for unions."""

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Replace the annotations of its classes for a moment."""
        if not self.annotations:
            yield
            return
        with one_at_a_time:
            before = {kind: kind.__annotations__ for kind in self.annotations}
            try:
                for kind, replaced in self.annotations.items():
                    _set(kind, replaced)
                yield
            finally:
                for kind, own in before.items():
                    _set(kind, own)


def _set(kind: type, annotations: dict[str, Any]) -> None:
    kind.__annotations__ = annotations
    # What msgspec has found out about the class it keeps there, for the next decoder.
    if "__msgspec_cache__" in kind.__dict__:
        del kind.__msgspec_cache__  # type: ignore[attr-defined]  # it is there


def adapt(schema: Any) -> Adapted:
    """Make a schema fit for msgspec, where that is possible.

    Raises:
        NameError: an annotation names something that is not there.
    """
    if _is_taken(schema):
        return Adapted(schema, {})
    adapter = _Adapter()
    adapted = adapter.adapt(schema)
    return Adapted(adapted, adapter.annotations, tuple(adapter.choices))


def _is_taken(schema: Any) -> bool:
    try:
        info = inspect.type_info(schema)
    except (NameError, TypeError):
        return False
    except Exception:  # noqa: BLE001 - msgspec says later what is wrong
        return True
    # Of a Struct it knows what it was when it was adapted, and so it takes its unions.
    return not any(isinstance(part, inspect.UnionType) and _is_mixed(part) for part in parts(info))


def _is_mixed(union: inspect.UnionType) -> bool:
    objects = (inspect.DataclassType, inspect.TypedDictType)
    others = (inspect.DictType, inspect.StructType)
    count = sum(isinstance(part, objects) for part in union.types)
    if count > 0 and count + sum(isinstance(part, others) for part in union.types) > 1:
        return True
    some = [part for part in union.types if not isinstance(part, inspect.NoneType)]
    return len(some) > 1 and any(
        isinstance(part, inspect.CustomType) and is_subclass(part.cls) for part in some
    )


class _Adapter:
    """Walks one schema, which may contain itself."""

    def __init__(self) -> None:
        self.annotations: dict[type, dict[str, Any]] = {}
        self.choices: list[type[Choice]] = []
        self._aliases: set[int] = set()

    def adapt(self, part: Any) -> Any:
        if hasattr(part, "__value__"):
            return self._alias(part)
        if has_fields(part):
            self._class(part)
            return part
        origin = typing.get_origin(part)
        if origin is None or origin is typing.Literal:
            return part
        if origin is typing.Annotated:
            inner = self.adapt(part.__origin__)
            same = inner is part.__origin__
            return part if same else typing.Annotated[(inner, *part.__metadata__)]
        if has_fields(origin):
            self._class(origin)
        before = typing.get_args(part)
        after = tuple(self.adapt(each) for each in before)
        if origin in (typing.Union, types.UnionType):
            return self._union(after)
        unchanged = all(one is other for one, other in zip(before, after, strict=True))
        return part if unchanged else origin[after]

    def _alias(self, alias: Any) -> Any:
        if id(alias) in self._aliases:
            return alias
        self._aliases.add(id(alias))
        value = self.adapt(alias.__value__)
        return alias if value is alias.__value__ else value

    def _class(self, kind: type) -> None:
        for base in annotated_bases(kind):
            if base not in self.annotations:
                self.annotations[base] = {}  # it may contain itself
                own = annotations_of(base)
                self.annotations[base] = {name: self.adapt(part) for name, part in own.items()}

    def _union(self, options: tuple[Any, ...]) -> Any:
        kinds = [_class_of(option) for option in options]
        chosen = tuple(option for option in options if option is not types.NoneType)
        objects = sum(map(is_object_class, kinds))
        # Besides objects, msgspec takes one object, and no other type besides a subclass.
        several = objects > 0 and objects + sum(map(_is_other_object, kinds)) > 1
        beside_a_subclass = len(chosen) > 1 and any(map(is_subclass, kinds))
        if not several and not beside_a_subclass:
            return _union_of(options)
        # The same one for equal unions: what it has found out about a message is remembered by it.
        choice = next((each for each in self.choices if each.types == chosen), None)
        if choice is None:
            choice = Choice.of(chosen)
            self.choices.append(choice)
        return _union_of((choice, None)) if types.NoneType in options else choice


def _is_other_object(kind: Any) -> bool:
    return hasattr(kind, "__struct_fields__") or any(kind is mapping for mapping in _MAPPINGS)


def _union_of(options: tuple[Any, ...]) -> Any:
    return typing.Union[options]  # noqa: UP007 - of a tuple; some types have no `|`


def _class_of(option: Any) -> Any:
    bare = unwrap(option)
    return typing.get_origin(bare) or bare
