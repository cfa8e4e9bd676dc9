"""Of which classes the messages of a schema are."""

from __future__ import annotations

import types
import typing

from walnats_anyio.serializers._annotations import is_typed_dict

CONSTRUCTION_HOOKS = ("__post_init__", "__attrs_pre_init__", "__attrs_post_init__")
"""Methods of the user that run when an object is decoded."""


def unwrap(schema: typing.Any) -> typing.Any:
    """Look through `Annotated`, `NewType` and `type X = ...` at what they stand for."""
    while True:
        if typing.get_origin(schema) is typing.Annotated:
            schema = schema.__origin__
        elif isinstance(schema, typing.NewType):
            schema = schema.__supertype__
        elif hasattr(schema, "__value__"):  # Python 3.12
            schema = schema.__value__
        else:
            return schema


def classes_of(schema: typing.Any) -> tuple[type, ...]:
    """List the classes that a message of this schema may be an instance of.

    Only the outermost layer: `list[int]` gives `list`. `object` stands for schemas that do not say.
    """
    schema = unwrap(schema)
    origin = typing.get_origin(schema)
    if schema is None:
        return (types.NoneType,)
    if schema is float:
        return (float, int)
    if origin is typing.Union or origin is types.UnionType:
        return tuple(cls for option in typing.get_args(schema) for cls in classes_of(option))
    if origin is typing.Literal:
        values: tuple[object, ...] = typing.get_args(schema)
        return tuple(type(value) for value in values)
    outer = origin or schema
    if is_typed_dict(outer):
        return (dict,)
    try:
        isinstance(None, outer)
    except TypeError:  # not a class, or one like `Any` that nothing can be an instance of
        return (object,)
    return (outer,)
