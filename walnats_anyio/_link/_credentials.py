"""As whom we connect: the fields of CONNECT that prove it.

They are made for each attempt: a file that was renewed, and a function that returns something
new, count from the next attempt on. The files are small and local, so they are read at once, on
the event loop. A seed stays inside this file: it is in no error, log or `repr`.
"""

from __future__ import annotations

import base64
import re
from collections import UserString
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from walnats_anyio._link._addresses import ServerAddress
from walnats_anyio._link._errors import ConnectError
from walnats_anyio._link._option_rules import is_credentials_text, without_seeds
from walnats_anyio._link._options import ConnectOptions, Text

MOST_BYTES = 1 << 20
"""A file that is larger holds no credentials."""

_JWT = re.compile(r"-+BEGIN NATS USER JWT-+\s+(\S+)\s+-+END")
_SEED = re.compile(r"-+BEGIN USER NKEY SEED-+\s+(\S+)\s+-+END")
_REMEDY = "make a new one with: nsc generate creds"


def credentials(
    options: ConnectOptions, server: ServerAddress, nonce: str | None
) -> dict[str, str]:
    """The fields of CONNECT that say who we are; none when nothing was said about it.

    Options come before what the server's URL says. `nonce` is what the server's INFO asks us to
    sign; None when it wants no signature, and then no key is sent and no file is read.

    Raises:
        ConnectError: a file that is missing or malformed, a function of the user's that failed,
            or the package `nkeys` is not installed.
    """
    fields: dict[str, str] = {}
    if options.user_jwt_cb is not None:
        # A bearer token is sent without a signature, whether the server gives a nonce or not.
        fields["jwt"] = _called("user_jwt_cb", options.user_jwt_cb)
        if options.signature_cb is not None and nonce is not None:
            fields["sig"] = _called("signature_cb", options.signature_cb, nonce)
    elif options.user_credentials is not None and nonce is not None:
        jwt, seed, where = _read_credentials(options.user_credentials)
        fields |= {"jwt": jwt, "sig": _sign(seed, nonce, where)[1]}
    elif nonce is not None and (options.nkeys_seed or options.nkeys_seed_str):
        seed, where = _read_seed(options)
        fields["nkey"], fields["sig"] = _sign(seed, nonce, where)
    if options.token is not None:
        fields["auth_token"] = _text("token", options.token)
    if options.user is not None and options.password is not None:
        fields["user"] = _text("user", options.user)
        fields["pass"] = _text("password", options.password)
    return fields or _of_url(server)


def _of_url(server: ServerAddress) -> dict[str, str]:
    if server.token is not None:
        return {"auth_token": server.token}
    if server.user is None and server.password is None:
        return {}
    return {"user": server.user or "", "pass": server.password or ""}


# What functions say


def _text(name: str, value: Text) -> str:
    return value if isinstance(value, str) else _called(name, value)


def _called(name: str, function: Callable[..., Any], *args: str) -> str:
    try:
        answer = function(*args)
    except Exception as error:  # noqa: BLE001 - it is the user's, and comes out as ours
        said = f"{type(error).__name__}: {error}"
        masked = without_seeds(said)
        # A traceback shows the cause with its whole text.
        cause = error if masked == said else None
        raise ConnectError(f"option {name}: the function failed with {masked}") from cause
    try:
        text = answer if isinstance(answer, str) else bytes(memoryview(answer)).decode()
    except (TypeError, UnicodeDecodeError):
        if isinstance(answer, Coroutine):
            answer.close()  # nobody awaits it, and that is said below
        raise ConnectError(
            f"option {name}: the function must return bytes or a text, not what it returned, "
            f"a {type(answer).__name__}"
        ) from None
    return text.strip() if name in ("user_jwt_cb", "signature_cb") else text


# What files say


def _read_credentials(given: str | tuple[str, str] | UserString) -> tuple[str, str, str]:
    """The JWT, the seed, and where the seed is from."""
    if isinstance(given, tuple):
        jwt_text, jwt_where = _read(given[0])
        seed_text, seed_where = _read(given[1])
        jwt = _found(_JWT, jwt_text) or jwt_text.strip()
        seed = _found(_SEED, seed_text) or seed_text.strip()
        if not re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", jwt, re.ASCII):
            raise ConnectError(f"{jwt_where} has no JWT in it: {_REMEDY}")
        return jwt, seed, seed_where
    if is_credentials_text(given):
        text, where = str(given), "the text in user_credentials"
    else:
        text, where = _read(str(given))
    found_jwt, found_seed = _found(_JWT, text), _found(_SEED, text)
    for found, what in ((found_jwt, "NATS USER JWT"), (found_seed, "USER NKEY SEED")):
        if not found:
            raise ConnectError(f"{where} has no section {what}: {_REMEDY}")
    return found_jwt, found_seed, where


def _read_seed(options: ConnectOptions) -> tuple[str, str]:
    if options.nkeys_seed is None:
        return (options.nkeys_seed_str or "").strip(), "the seed in nkeys_seed_str"
    text, where = _read(options.nkeys_seed)
    return _found(_SEED, text) or text.strip(), where


def _read(path: str) -> tuple[str, str]:
    where = f"the file {without_seeds(path)!r}"
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no path of a file"
        raise ConnectError(
            f"cannot read {where} with credentials: {reason}. Put it there again, readable for "
            "this process"
        ) from None
    try:
        if len(data) > MOST_BYTES:
            raise ValueError
        return data.decode(), where
    except ValueError:
        raise ConnectError(f"{where} holds no credentials: it is no text. {_REMEDY}") from None


def _found(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""


# Signing


def _sign(seed: str, nonce: str, where: str) -> tuple[str, str]:
    """The public key of the seed, and the nonce signed with it."""
    try:
        import nkeys  # type: ignore[import-untyped]  # it is not typed
    except ImportError:
        raise ConnectError(
            "nkeys and credentials files need the package nkeys: pip install 'walnats-anyio[nkeys]'"
        ) from None
    secret = bytearray(seed, "utf-8", "replace")
    try:
        prefix, raw = nkeys.decode_seed(secret)
        # The package does not look at the checksum, and a wrong letter would be another user.
        if nkeys.encode_seed(bytes(raw), prefix) != bytes(secret):
            raise ValueError
        pair = nkeys.from_seed(secret)
        public, signature = bytes(pair.public_key), pair.sign(nonce.encode())
    except Exception:  # noqa: BLE001 - of several packages; their texts and frames hold the seed
        raise ConnectError(
            f"{where} is or holds no valid seed of an nkey (58 characters that begin with SU): "
            "copy it again, whole"
        ) from None
    return public.decode(), base64.b64encode(signature).decode()
