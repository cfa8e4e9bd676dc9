"""The serializers whose packages are optional: imported when they are used, not before."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple


class Optional(NamedTuple):
    """Where a serializer is, and what it needs."""

    file: str
    """The module in this room."""

    package: str
    """The package that the module imports."""

    extra: str
    """The extra that installs the package."""

    schemas: str
    """What it is for, in the words of an error message; empty if no schema asks for it."""


OPTIONAL = {
    "PydanticSerializer": Optional("_pydantic", "pydantic", "pydantic", "pydantic models"),
    "ProtobufSerializer": Optional("_protobuf", "google.protobuf", "protobuf", "protobuf messages"),
    "MarshmallowSerializer": Optional(
        "_marshmallow", "marshmallow", "marshmallow", "marshmallow schemas"
    ),
    "FernetSerializer": Optional("_fernet", "cryptography", "fernet", ""),
}
"""By name, in the order in which `get_serializer` asks them."""


def load(name: str) -> Any:
    """Import an optional serializer.

    Raises:
        ImportError: its package is not installed; the message names the extra.
    """
    needs = OPTIONAL[name]
    room = __name__.rpartition(".")[0]
    try:
        module = import_module(f"{room}.{needs.file}")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{name} needs the package {error.name!r}: pip install 'walnats-anyio[{needs.extra}]'"
        ) from error
    value = getattr(module, name)
    # Tracebacks, pickles and help() name the module that people import it from.
    value.__module__ = room
    return value
