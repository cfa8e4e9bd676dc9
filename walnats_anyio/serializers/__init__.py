"""How messages become bytes and bytes become messages."""

from __future__ import annotations

from walnats_anyio.serializers._base import DecodeError, EncodeError, Serializer
from walnats_anyio.serializers._bytes import BytesSerializer
from walnats_anyio.serializers._datetime import DatetimeSerializer
from walnats_anyio.serializers._msgspec import MsgspecSerializer
from walnats_anyio.serializers._registry import get_serializer

__all__ = [
    "BytesSerializer",
    "DatetimeSerializer",
    "DecodeError",
    "EncodeError",
    "MsgspecSerializer",
    "Serializer",
    "get_serializer",
]
