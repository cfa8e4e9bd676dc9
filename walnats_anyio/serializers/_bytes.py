"""Messages that are bytes already."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class BytesSerializer:
    """Sends bytes as they are: the serializer of the schema `bytes`."""

    def encode(self, message: bytes) -> bytes:
        """Return the message itself.

        Raises:
            TypeError: the message is not `bytes`. A `bytearray` or a `memoryview` is not either: it
                could change after `emit` returned, while the event still waits to be sent. A
                subclass would arrive as `bytes`.
        """
        if type(message) is not bytes:
            raise TypeError(
                f"expected bytes, got {type(message).__name__}: convert it with bytes()"
            )
        return message

    def decode(self, data: bytes) -> bytes:
        """Return the data itself."""
        return data
