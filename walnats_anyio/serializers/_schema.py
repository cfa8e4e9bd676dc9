"""What can be asked about a schema without having a message of it."""

from __future__ import annotations

import typing

import msgspec
from msgspec import inspect

from walnats_anyio.serializers._customs import base_of, is_known, parts_of
from walnats_anyio.serializers._parts import parts
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
        for part in parts(infos[-1]):
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
        case inspect.DictType() if wire is Wire.JSON and _is_no_key(part.key_type):
            own = getattr(part.key_type, "cls", None)
            kind = type(part.key_type).__name__[:-4].lower() if own is None else describe(own)
            return f"a key of a JSON object cannot be a {kind} (MessagePackSerializer takes it)"
        case _:
            return None


def _is_no_key(key: inspect.Type) -> bool:
    # Keys arrive as text. Of a number msgspec makes one again, but not before it hands over.
    is_number = isinstance(key, inspect.CustomType) and base_of(key.cls) in (int, float)
    return is_number or isinstance(key, _NO_KEYS)


def _private_problem(part: inspect.DataclassType) -> str | None:
    # msgspec writes no private fields of attrs classes; those with a default may still have it.
    if not hasattr(typing.get_origin(part.cls) or part.cls, "__attrs_attrs__"):
        return None
    for field in part.fields:
        if field.required and field.name.startswith("_"):
            return f"the private field {field.name!r} of {describe(part.cls)} is not written"
    return None
