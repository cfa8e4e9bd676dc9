"""How messages become bytes and bytes become messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from walnats_anyio.serializers._base import Codec, DecodeError, EncodeError, Serializer
from walnats_anyio.serializers._bytes import BytesSerializer
from walnats_anyio.serializers._compatibility import Break, compatibility
from walnats_anyio.serializers._dataclass import DataclassSerializer
from walnats_anyio.serializers._datetime import DatetimeSerializer
from walnats_anyio.serializers._gzip import GZipSerializer
from walnats_anyio.serializers._hmac import HMACSerializer
from walnats_anyio.serializers._json_schema import json_schema
from walnats_anyio.serializers._msgspec import MessagePackSerializer, MsgspecSerializer
from walnats_anyio.serializers._optional import OPTIONAL, load
from walnats_anyio.serializers._primitive import PrimitiveSerializer
from walnats_anyio.serializers._registry import get_serializer
from walnats_anyio.serializers._wire_schema import wire_schema

if TYPE_CHECKING:
    from walnats_anyio.serializers._fernet import FernetSerializer
    from walnats_anyio.serializers._marshmallow import MarshmallowSerializer
    from walnats_anyio.serializers._protobuf import ProtobufSerializer
    from walnats_anyio.serializers._pydantic import PydanticSerializer

__all__ = [
    "Break",
    "BytesSerializer",
    "Codec",
    "DataclassSerializer",
    "DatetimeSerializer",
    "DecodeError",
    "EncodeError",
    "FernetSerializer",
    "GZipSerializer",
    "HMACSerializer",
    "MarshmallowSerializer",
    "MessagePackSerializer",
    "MsgspecSerializer",
    "PrimitiveSerializer",
    "ProtobufSerializer",
    "PydanticSerializer",
    "Serializer",
    "compatibility",
    "get_serializer",
    "json_schema",
    "wire_schema",
]


def __getattr__(name: str) -> Any:
    """Import a serializer with an optional package when it is first asked for.

    Raises:
        AttributeError: there is no such name.
        ImportError: its package is not installed.
    """
    if name not in OPTIONAL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = load(name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
