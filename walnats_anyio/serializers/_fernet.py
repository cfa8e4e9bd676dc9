"""Messages encrypted."""

from __future__ import annotations

import dataclasses
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import TypeVar, cast

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from walnats_anyio.serializers._wrapper import Wrapper, keys_of

T = TypeVar("T")

_WRONG = "it was not encrypted with any of the keys, or was changed afterwards"

_HINT = "make one with cryptography.fernet.Fernet.generate_key()"


@dataclasses.dataclass(frozen=True)
class FernetSerializer(Wrapper[T]):
    """Encrypts and signs what another serializer writes, with Fernet of the package cryptography.

    Whoever lacks the key cannot read, forge or change a message. Subject and headers stay readable,
    so does the size, and an event can be sent again by whoever has seen it: give each event a key
    of its own. The bytes get longer by a third and about 100.

    The keys are part of its value and of its pickle, and in no `repr` and no error. `json_schema`
    describes the messages, as that of the wrapped serializer does.

    Raises:
        LookupError: there is no serializer for the schema.
        TypeError: an argument is of a wrong type.
        ValueError: there is no key, or one that is not 32 bytes as url-safe base64.
    """

    key: str | bytes | Sequence[str | bytes] = dataclasses.field(default=(), repr=False)
    """The secret, as `Fernet.generate_key()` makes it. To change it, several: the first encrypts,
    and what any of them has encrypted can be read. Required; a tuple of bytes once the serializer
    is made."""

    _fernet: MultiFernet = dataclasses.field(init=False, repr=False, compare=False)
    """The ciphers of the keys."""

    def __post_init__(self) -> None:
        super().__post_init__()
        given = keys_of("FernetSerializer", self.key, (str, bytes), _HINT)
        keys = tuple(map(_encoded, cast("tuple[str | bytes, ...]", given)))
        object.__setattr__(self, "key", keys)
        object.__setattr__(self, "_fernet", MultiFernet([_cipher(key) for key in keys]))

    def _wrap(self, data: bytes) -> bytes:
        return self._fernet.encrypt(data)

    def _unwrap(self, data: bytes) -> bytes:
        try:
            content = self._fernet.decrypt(data)
        except InvalidToken as error:
            raise ValueError(_WRONG) from error
        # base64 ignores what stands behind its end, and much in between: nothing signs that.
        if urlsafe_b64encode(urlsafe_b64decode(data)) != data:
            raise ValueError(_WRONG)
        return content


def _encoded(key: str | bytes) -> bytes:
    # Whatever is no ASCII is wrong, and told so by the cipher.
    return key.encode(errors="replace") if isinstance(key, str) else key


def _cipher(key: bytes) -> Fernet:
    """Make the cipher of a key.

    Raises:
        ValueError: it is none.
    """
    try:
        return Fernet(key)
    except ValueError as error:
        raise ValueError(
            f"FernetSerializer: a key must be 32 bytes as url-safe base64, and one of the keys is"
            f" not: {_HINT}"
        ) from error
