"""Messages compressed."""

from __future__ import annotations

import dataclasses
import sys
import zlib
from typing import ClassVar, TypeVar

from walnats_anyio.serializers._wrapper import Wrapper

T = TypeVar("T")

MAX_SIZE = 64 * 1024 * 1024
"""Bytes, inflated: the most that is taken unless the user says otherwise."""

_GZIP = 16 + zlib.MAX_WBITS
"""Has zlib write and read the header and the checksum of gzip."""

_MOST_MEMBERS = 10_000
"""Gzip data may be many pieces in a row, and empty ones cost 20 bytes and 5 us each."""

_CHUNK = 64 * 1024
"""Bytes read at once: each member of the data costs a copy of no more than this."""


@dataclasses.dataclass(frozen=True)
class GZipSerializer(Wrapper[T]):
    """Compresses what another serializer writes with gzip.

    It pays for messages of some hundred bytes and more that repeat themselves, as JSON does; it
    makes small ones larger. Equal messages give equal bytes.

    Decompressing stops as soon as there are more bytes than `max_size`, so that a small event
    cannot fill the memory. A larger message is refused by `encode` as well.

    Raises:
        LookupError: there is no serializer for the schema.
        TypeError: an argument is of a wrong type.
        ValueError: `level` or `max_size` is out of range.
    """

    content_type: ClassVar[str] = "application/gzip"

    level: int = 6
    """How hard to try: 0 does not compress, 1 is the fastest, 9 the smallest.

    9 takes up to three times as long as 6, and saves some 2 %."""

    max_size: int = MAX_SIZE
    """How many bytes a message may have before it is compressed, and after it is decompressed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        # One more than `max_size` is asked for, in a size of C.
        for name, least, most in (("level", 0, 9), ("max_size", 1, sys.maxsize - 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(
                    f"GZipSerializer: {name} must be an int, not {type(value).__name__}: {value!r}"
                )
            if not least <= value <= most:
                raise ValueError(f"GZipSerializer: {name} must be {least} to {most}, not {value}")

    def _wrap(self, data: bytes) -> bytes:
        if len(data) > self.max_size:
            raise ValueError(
                f"it has {len(data)} bytes before compression, and max_size is {self.max_size}:"
                " raise max_size wherever the event is received, and then here"
            )
        return zlib.compress(data, self.level, _GZIP)

    def _unwrap(self, data: bytes) -> bytes:
        try:
            return _inflate(data, self.max_size)
        except zlib.error as error:
            raise ValueError(f"it is not gzip, or is corrupted: {error}") from error


def _inflate(data: bytes, most: int) -> bytes:
    """Decompress gzip data of one member or several.

    Raises:
        ValueError: it has more bytes than `most`, or too many members, or ends too early.
        zlib.error: it is not gzip, or a checksum is wrong.
    """
    view = memoryview(data)
    parts: list[bytes] = []
    size = at = 0
    members = 0
    while at < len(view) or not parts:
        members += 1
        if members > _MOST_MEMBERS:
            raise ValueError(f"it is gzip of more than {_MOST_MEMBERS} members")
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            chunk = view[at : at + _CHUNK]
            if not chunk:
                raise ValueError("it is not gzip, or its end is missing")
            part = member.decompress(chunk, most - size + 1)
            parts.append(part)
            size += len(part)
            if size > most:
                raise ValueError(
                    f"it has more than {most} bytes after decompression:"
                    " raise max_size if such messages are right"
                )
            at += len(chunk) - len(member.unused_data)
    return parts[0] if len(parts) == 1 else b"".join(parts)
