"""What the wrappers have in common: bytes of another serializer, made into other bytes."""

from __future__ import annotations

import dataclasses
import functools
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from walnats_anyio.serializers._base import Codec, Serializer
from walnats_anyio.serializers._json_schema import json_schema
from walnats_anyio.serializers._registry import get_serializer

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeForm

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Wrapper(Serializer[T]):
    """Base class of the wrappers."""

    serializer: Codec[T] | None = None
    """What turns messages into the bytes to be wrapped: any serializer, also another wrapper.

    None: the one that `get_serializer` picks for the schema.
    """

    _inner: Codec[T] = dataclasses.field(init=False, repr=False, compare=False)
    """The serializer in use."""

    def __post_init__(self) -> None:
        inner = get_serializer(self.schema) if self.serializer is None else self.serializer
        methods = [getattr(inner, method, None) for method in ("encode", "decode")]
        if isinstance(inner, type) or not all(map(callable, methods)):
            raise TypeError(
                f"{type(self).__name__}: serializer must be an object with the methods encode and"
                f" decode, or None, not {inner!r}"
            )
        # So that one that names the default is equal to one that leaves it out.
        object.__setattr__(self, "serializer", inner)
        object.__setattr__(self, "_inner", inner)

    def __reduce__(self) -> tuple[Any, ...]:
        # Made anew on the other side: ciphers cannot be pickled.
        arguments = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.init
        }
        return (functools.partial(type(self), **arguments), ())

    @classmethod
    def new(cls, schema: TypeForm[Any], /) -> Self | None:
        """Return None: no schema asks for a wrapper."""
        return None

    def encode(self, message: T) -> bytes:
        """Turn a message into bytes, and wrap them.

        Raises:
            TypeError: as the wrapped serializer does.
            ValueError: likewise.
        """
        return self._wrap(self._inner.encode(message))

    def decode(self, data: bytes) -> T:
        """Unwrap bytes, and turn them into a message.

        Raises:
            ValueError: they were not wrapped like this, or the wrapped serializer refuses them.
        """
        return self._inner.decode(self._unwrap(data))

    def json_schema(self) -> dict[str, Any] | None:
        """Describe the messages as the wrapped serializer does. None: it has no description."""
        return json_schema(self._inner)

    @abstractmethod
    def _wrap(self, data: bytes) -> bytes: ...

    @abstractmethod
    def _unwrap(self, data: bytes) -> bytes: ...


def keys_of(
    what: str, given: object, kinds: type | tuple[type, ...], hint: str
) -> tuple[object, ...]:
    """List the keys of a wrapper, which takes one key or several.

    No error shows a key, or a part of one.

    Args:
        what: begins the error messages.
        given: what the user passed.
        kinds: what a key may be.
        hint: how to make a key.

    Raises:
        TypeError: it is no key and no list of keys.
        ValueError: there is none, or an empty one.
    """
    keys: tuple[object, ...]
    if isinstance(given, kinds):
        keys = (given,)
    elif isinstance(given, list | tuple):
        keys = tuple(cast("Sequence[object]", given))
    else:
        keys = (given,)
    for key in keys:
        if not isinstance(key, kinds):
            names = " or ".join(
                k.__name__ for k in (kinds if isinstance(kinds, tuple) else (kinds,))
            )
            raise TypeError(
                f"{what}: key must be {names}, or a list of them, not {type(key).__name__}: {hint}"
            )
    if not keys or not all(keys):
        raise ValueError(f"{what}: key must not be empty: {hint}")
    return keys
