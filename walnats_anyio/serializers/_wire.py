"""The two formats that msgspec writes."""

from __future__ import annotations

import enum
from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec

Hook = Callable[[Any, Any], Any]
"""What msgspec calls with a type that it does not know, and what it has read of it."""


class Wire(enum.Enum):
    """A format that msgspec writes and reads."""

    JSON = "JSON"
    MESSAGE_PACK = "MessagePack"

    @property
    def library(self) -> ModuleType:
        """Where msgspec has the encoder and the decoder of the format."""
        return msgspec.json if self is Wire.JSON else msgspec.msgpack

    @property
    def str_keys(self) -> bool:
        """Whether keys are text, whatever they were."""
        return self is Wire.JSON

    def convert(self, value: Any, schema: Any, hook: Hook) -> Any:
        """Make a value of a schema of what a decoder gave that did not know the schema.

        Raises:
            ValidationError: it does not fit.
        """
        return msgspec.convert(value, schema, str_keys=self.str_keys, dec_hook=hook)
