"""What can be asked about a schema without having a message of it."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator

import msgspec
from msgspec import inspect

from walnats_anyio.serializers._annotations import is_typed_dict
from walnats_anyio.serializers._customs import is_known, parts_of
from walnats_anyio.serializers._wire import Wire

# What can be in JSON as the key of an object.
_NO_KEYS = (
    inspect.BoolType,
    inspect.CollectionType,
    inspect.DataclassType,
    inspect.DictType,
    inspect.NamedTupleType,
    inspect.NoneType,
    inspect.StructType,
    inspect.TupleType,
    inspect.TypedDictType,
)


def describe(schema: object) -> str:
    """Name a schema for an error message."""
    return schema.__qualname__ if isinstance(schema, type) else str(schema)


def inspect_schema(schema: object, wire: Wire, name: str) -> tuple[inspect.Type, frozenset[type]]:
    """Find out what msgspec makes of a schema, all the way down.

    Returns:
        What it is, and the classes in it that msgspec hands over to hooks.

    Raises:
        TypeError: it, or a part of it, is nothing that can be written and read back.
    """
    customs: set[type] = set()
    infos: list[inspect.Type] = []
    schemas = [schema]
    # What is handed over is a schema itself, and may hand over more.
    for each in schemas:
        try:
            infos.append(inspect.type_info(each))
        except Exception as error:
            raise TypeError(
                f"no serializer for the schema {name}: {error};"
                " use a type msgspec supports, or pass `serializer=`"
            ) from error
        for part in _parts(infos[-1]):
            problem = _problem(part, wire)
            if problem:
                raise TypeError(
                    f"no serializer for the schema {name}: {problem};"
                    " use a msgspec.Struct, a dataclass or another type msgspec supports,"
                    " or pass `serializer=`"
                )
            if isinstance(part, inspect.CustomType) and part.cls not in {object, *customs}:
                customs.add(part.cls)
                schemas.extend(parts_of(part.cls))
    return infos[0], frozenset(customs)


def _parts(root: inspect.Type) -> Iterator[inspect.Type]:
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


def _problem(part: inspect.Type, wire: Wire) -> str | None:
    match part:
        case inspect.CustomType() if part.cls is not object and not is_known(part.cls):
            return f"{describe(part.cls)} cannot be written as {wire.value} and read back"
        case inspect.StructType() if part.cls is msgspec.Struct:
            return "msgspec.Struct itself has no fields, and none of a subclass would be read back"
        case inspect.DataclassType():
            return _private_problem(part)
        case inspect.ExtType() if wire is Wire.JSON:
            return "Ext belongs to MessagePack, not to JSON"
        case inspect.DictType() if wire is Wire.JSON and isinstance(part.key_type, _NO_KEYS):
            kind = type(part.key_type).__name__[:-4].lower()
            return f"a key of a JSON object cannot be a {kind} (MessagePackSerializer takes it)"
        case _:
            return None


def _private_problem(part: inspect.DataclassType) -> str | None:
    # msgspec writes no private fields of attrs classes; those with a default may still have it.
    if not hasattr(part.cls, "__attrs_attrs__"):
        return None
    for field in part.fields:
        if field.required and field.name.startswith("_"):
            return f"the private field {field.name!r} of {describe(part.cls)} is not written"
    return None


def classes_of(schema: typing.Any) -> tuple[type, ...]:
    """List the classes that a message of this schema may be an instance of.

    Only the outermost layer: `list[int]` gives `list`. `object` stands for schemas that do not say.
    """
    origin = typing.get_origin(schema)
    if schema is None:
        return (types.NoneType,)
    if schema is float:
        return (float, int)
    if origin is typing.Annotated:
        return classes_of(schema.__origin__)
    if origin is typing.Union or origin is types.UnionType:
        return tuple(cls for option in typing.get_args(schema) for cls in classes_of(option))
    if origin is typing.Literal:
        values: tuple[object, ...] = typing.get_args(schema)
        return tuple(type(value) for value in values)
    if isinstance(schema, typing.NewType):
        return classes_of(schema.__supertype__)
    if hasattr(schema, "__value__"):  # a `type X = ...` statement, Python 3.12
        return classes_of(schema.__value__)
    outer = origin or schema
    if is_typed_dict(outer):
        return (dict,)
    try:
        isinstance(None, outer)
    except TypeError:  # not a class, or one like `Any` that nothing can be an instance of
        return (object,)
    return (outer,)
