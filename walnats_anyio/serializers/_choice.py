"""A union of classes that are all objects on the wire: which one was it?"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, TypeGuard, cast

import msgspec
from msgspec import inspect

from walnats_anyio.serializers._classes import classes_of
from walnats_anyio.serializers._wire import Hook, Wire


@dataclasses.dataclass(frozen=True)
class Option:
    """One of the types of a union, which the wire does not name."""

    schema: Any

    fields: frozenset[str] | None
    """What its objects may have, by the names on the wire. None: it is no object, or a dict."""

    decoders: dict[Wire, Any]

    def distance(self, found: Any) -> int:
        """Say how far what arrived is from an object with exactly these fields.

        A dict, which takes any object, is asked last.
        """
        if not isinstance(found, dict):
            return 0
        if self.fields is None:
            return sys.maxsize
        return len(self.fields.symmetric_difference(cast("dict[str, Any]", found)))


class _ChoiceMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        # msgspec asks this of what its hook returned. Someone else's decoder of a Struct that has
        # been adapted has no hook: there it refuses what has not been decoded.
        return any(isinstance(instance, classes_of(each)) for each in cast("Any", cls).types)


class Choice(metaclass=_ChoiceMeta):
    """Stands for a union of dataclasses, attrs classes, TypedDicts and others, as one type.

    On the wire there is nothing that names the class, as with every dataclass. What arrives is of
    the class whose fields are those of the object; among several, of the first that fits. So a
    message arrives as it was if its fields, or their types, tell its class; where they do not, the
    serializer refuses to encode it, as it compares.
    """

    types: tuple[Any, ...] = ()
    """The types of the union, without None."""

    options: tuple[Option, ...] = ()
    """The same, once `prepare` has been called."""

    @classmethod
    def of(cls, types: tuple[Any, ...]) -> type[Choice]:
        """Make the stand-in of a union."""
        return type("Choice", (Choice,), {"types": types})

    @classmethod
    def prepare(cls, hooks: dict[Wire, Hook]) -> None:
        """Make the decoders of the options, while their classes are fit for it."""
        cls.options = tuple(
            Option(
                each,
                _fields_of(each),
                {wire: wire.library.Decoder(each, dec_hook=hook) for wire, hook in hooks.items()},
            )
            for each in cls.types
        )

    @classmethod
    def decode(cls, found: Any, wire: Wire) -> Any:
        """Make an object of what arrived.

        Raises:
            ValueError: it is none of the union.
        """
        # Encoded again for a decoder that knows the class: msgspec.convert would ask the class, and
        # what it says now is not what it said when it was fit for msgspec.
        data = wire.library.encode(found)
        problems: list[str] = []
        for option in sorted(cls.options, key=lambda option: option.distance(found)):
            try:
                return option.decoders[wire].decode(data)
            except msgspec.ValidationError as error:
                problems.append(f"{_name_of(option.schema)}: {error}")
        raise ValueError(f"it is none of the union ({'; '.join(problems)})")


def is_choice(kind: object) -> TypeGuard[type[Choice]]:
    """Whether it stands for a union."""
    return isinstance(kind, type) and Choice in kind.__mro__  # isinstance says yes to everything


def _fields_of(schema: Any) -> frozenset[str] | None:
    info = inspect.type_info(schema)
    if isinstance(info, inspect.Metadata):
        info = info.type
    if isinstance(info, inspect.DataclassType | inspect.TypedDictType):
        return frozenset(field.encode_name for field in info.fields)
    if isinstance(info, inspect.StructType) and not info.array_like:
        tag = [] if info.tag_field is None else [info.tag_field]
        return frozenset([*tag, *(field.encode_name for field in info.fields)])
    return None


def _name_of(schema: Any) -> str:
    return getattr(schema, "__qualname__", None) or str(schema)
