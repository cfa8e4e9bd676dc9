"""Messages signed."""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Sequence
from typing import TypeVar

from walnats_anyio.serializers._wrapper import Wrapper, keys_of

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class HMACSerializer(Wrapper[T]):
    """Signs what another serializer writes: whoever lacks the key cannot forge or change an event.

    The signature stands before the bytes, which stay readable for everybody. It does not cover the
    subject and the headers, and an event can be sent again by whoever has seen it: give each event
    a key of its own. Signatures are compared in constant time.

    The keys are part of its value and of its pickle, and in no `repr` and no error.

    Raises:
        LookupError: there is no serializer for the schema.
        TypeError: an argument is of a wrong type.
        ValueError: there is no key, or no such algorithm.
    """

    key: bytes | Sequence[bytes] = dataclasses.field(default=(), repr=False)
    """The secret: bytes, best `secrets.token_bytes(64)`. To change it, several: the first signs,
    and a signature by any of them is taken. Required; a tuple once the serializer is made."""

    hash_algorithm: str = "sha512"
    """The name of a hash of `hashlib`."""

    _keys: tuple[bytes, ...] = dataclasses.field(init=False, repr=False, compare=False)
    """The same keys."""

    _size: int = dataclasses.field(init=False, repr=False, compare=False)
    """Bytes of a signature."""

    def __post_init__(self) -> None:
        super().__post_init__()
        keys = keys_of("HMACSerializer", self.key, bytes, "make one with secrets.token_bytes(64)")
        object.__setattr__(self, "key", keys)
        object.__setattr__(self, "_keys", keys)
        object.__setattr__(self, "_size", _size_of(self.hash_algorithm))

    def _wrap(self, data: bytes) -> bytes:
        return hmac.digest(self._keys[0], data, self.hash_algorithm) + data

    def _unwrap(self, data: bytes) -> bytes:
        signature, content = data[: self._size], data[self._size :]
        for key in self._keys:
            if hmac.compare_digest(signature, hmac.digest(key, content, self.hash_algorithm)):
                return content
        raise ValueError("it was not signed with any of the keys, or was changed afterwards")


def _size_of(algorithm: object) -> int:
    """How many bytes a signature has.

    Raises:
        TypeError: the algorithm is no str.
        ValueError: there is none of this name, or signatures cannot be made with it.
    """
    if not isinstance(algorithm, str):
        raise TypeError(f"HMACSerializer: hash_algorithm must be a str, not {algorithm!r}")
    try:
        return len(hmac.digest(b"key", b"", algorithm))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"HMACSerializer: hash_algorithm cannot be {algorithm!r} ({error}): use one such as"
            " 'sha256' or 'sha512'"
        ) from error
