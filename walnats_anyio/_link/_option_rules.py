"""The rules that options have to obey: each by itself, and beside each other."""

from __future__ import annotations

import inspect
import math
import os
import re
import ssl
from collections import UserString
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Each option by itself


@dataclass(frozen=True)
class _Rule:
    """What a value must be."""

    types: tuple[type, ...]
    right: str
    fits: Callable[[Any], bool] = lambda _value: True


def _is_finite(value: float) -> bool:
    return value > 0 and math.isfinite(value)


def _is_prefix(value: str | bytes) -> bool:
    try:
        text = value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError:
        return False
    return re.fullmatch(r"[^\s.*>\x00-\x1f\x7f]+(\.[^\s.*>\x00-\x1f\x7f]+)*", text) is not None


def _is_client_context(value: ssl.SSLContext) -> bool:
    return value.protocol is not ssl.PROTOCOL_TLS_SERVER


def _is_seed(value: str) -> bool:
    return re.fullmatch(r"S[A-Z][A-Z2-7]{56}", value.strip()) is not None


def _is_path(value: object) -> bool:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    return isinstance(path, str) and path != ""


def _are_credentials(value: object) -> bool:
    if isinstance(value, tuple):
        return len(value) == 2 and all(map(_is_path, value))
    return isinstance(value, UserString) or _is_path(value)


_FLAG = _Rule((bool,), "True or False")
_SECONDS = _Rule((int, float), "a number of seconds above 0", _is_finite)
_COUNT = _Rule((int,), "a whole number from 1 up", lambda value: value >= 1)
_TEXT = _Rule((str,), "a text that is not empty", bool)
_FILE = _Rule((str, os.PathLike), "the path of a file", _is_path)

_RULES: dict[str, _Rule] = {
    "nkeys_seed": _FILE,
    "nkeys_seed_str": _Rule((str,), "a seed: 58 letters and digits, as 'SU...'", _is_seed),
    "user_credentials": _Rule(
        (str, os.PathLike, tuple, UserString),
        "the path of a credentials file, its text, or the two paths of JWT and seed",
        _are_credentials,
    ),
    "tls": _Rule(
        (ssl.SSLContext,), "an ssl.SSLContext for clients, of ssl.create_default_context()",
        _is_client_context,
    ),
    "tls_hostname": _TEXT,
    "tls_handshake_first": _FLAG,
    "name": _Rule((str,), "a text"),
    "inbox_prefix": _Rule(
        (str, bytes), "a str or bytes: a subject without wildcards and spaces", _is_prefix
    ),
    "no_echo": _FLAG,
    "pedantic": _FLAG,
    "verbose": _FLAG,
    "connect_timeout": _SECONDS,
    "ping_interval": _SECONDS,
    "max_outstanding_pings": _COUNT,
    "drain_timeout": _SECONDS,
    "dont_randomize": _FLAG,
    "allow_reconnect": _FLAG,
    "max_reconnect_attempts": _Rule(
        (int,),
        "a whole number from 1 up, or -1 for ever (to never reconnect: allow_reconnect=False)",
        lambda value: value >= 1 or value == -1,
    ),
    "reconnect_time_wait": _SECONDS,
    "ws_connection_headers": _Rule(
        (Mapping,),
        "a mapping of header names to one value or a list of values, without line ends",
        lambda value: _headers(value) is not None,
    ),
}  # fmt: skip
_SECRETS = {"nkeys_seed", "nkeys_seed_str", "user_credentials", "ws_connection_headers"}
_TEXTS = ("user", "password", "token")

# Plain functions only: their answer is needed while CONNECT is written. The number of arguments.
_FUNCTIONS = {"user_jwt_cb": 0, "signature_cb": 1, "reconnect_to_server_handler": 2}
_CALLBACKS = {
    "error_cb": 1,
    "disconnected_cb": 0,
    "reconnected_cb": 0,
    "closed_cb": 0,
    "discovered_server_cb": 0,
    "lame_duck_mode_cb": 0,
}

REFUSED = {
    "servers": "pass the URLs as the first argument, server",
    "flush_timeout": "`flush` of a connection takes a timeout; leave it out",
    "pending_size": "at most 4,096 events or 16 MiB are on their way at once; leave it out",
    "flusher_queue_size": "what is to be sent leaves in one batch, without a queue; leave it out",
    "skip_subject_validation": "subjects are checked where events and actors are declared, which "
    "costs nothing per message; leave it out",
}
"""Names of nats-py's `connect` that have no meaning here, and what to do instead."""


def check_known(name: str, known: Sequence[str]) -> None:
    """Refuse an option that there is not."""
    if name not in known:
        remedy = REFUSED.get(name)
        instead = f"{remedy}. " if remedy else ""
        raise TypeError(
            f"unknown connection option {name!r}; {instead}There are: {', '.join(sorted(known))}"
        )


def check_value(name: str, value: Any) -> None:
    """Refuse a value that is of the wrong type or out of range."""
    if name in _FUNCTIONS:
        _check_function(name, value, _FUNCTIONS[name])
    elif name in _CALLBACKS:
        _check_callback(name, value, _CALLBACKS[name])
    elif name in _TEXTS:
        if not isinstance(value, str):
            _check_function(name, value, 0, "a text, or ")
    else:
        _check_rule(name, value, _RULES[name])


def _check_rule(name: str, value: Any, rule: _Rule) -> None:
    wrong_type = not isinstance(value, rule.types) or (
        isinstance(value, bool) and bool not in rule.types
    )
    if not wrong_type and rule.fits(value):
        return
    shown = f"what was given, a {type(value).__name__}" if name in _SECRETS else repr(value)
    error = TypeError if wrong_type else ValueError
    raise error(f"option {name} must be {rule.right}, not {shown}")


def _check_function(name: str, value: Any, arguments: int, other: str = "") -> None:
    right = f"{other}a plain function {_taking(arguments)}"
    if not callable(value):
        raise TypeError(f"option {name} must be {right}, not a {type(value).__name__}")
    if _is_async(value):
        raise TypeError(f"option {name} must be {right}, not the coroutine function {value!r}")
    _check_arguments(name, value, arguments, right)


def _check_callback(name: str, value: Any, arguments: int) -> None:
    right = f"a plain or a coroutine function {_taking(arguments)}"
    if not callable(value):
        raise TypeError(f"option {name} must be {right}, not {value!r}")
    _check_arguments(name, value, arguments, right)


def _check_arguments(name: str, value: Any, arguments: int, right: str) -> None:
    if inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value):
        raise TypeError(f"option {name} must be {right}: {value!r} is a generator and never runs")
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return  # many built-in functions have none that Python knows
    try:
        signature.bind(*[None] * arguments)
    except TypeError:
        raise TypeError(f"option {name} must be {right}, not {value!r}") from None


def _is_async(value: Any) -> bool:
    return inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(
        getattr(value, "__call__", None)  # noqa: B004 - an object may have an async __call__
    )


def _taking(arguments: int) -> str:
    return ("without arguments", "of one argument", "of two arguments")[arguments]


# Options beside each other


def check_together(given: Mapping[str, Any]) -> None:
    """Refuse options that exclude each other, or that have no effect without another one."""
    for one, other in (("user", "password"), ("password", "user")):
        if one in given and other not in given:
            raise ValueError(f"option {one} needs {other}: pass both, or token alone")
    keys = [
        name
        for name in ("nkeys_seed", "nkeys_seed_str", "user_credentials", "user_jwt_cb")
        if name in given
    ]
    if len(keys) > 1:
        raise ValueError(f"options {' and '.join(keys)} exclude each other: pass one of them")
    if "user" in given and (keys or "token" in given):
        other = keys[0] if keys else "token"
        raise ValueError(f"options user and {other} exclude each other: pass one of them")
    if "signature_cb" in given and "user_jwt_cb" not in given:
        raise ValueError(
            "option signature_cb needs user_jwt_cb: the server must know whose signature it is"
        )
    if "reconnect_to_server_handler" in given and given.get("allow_reconnect") is False:
        raise ValueError(
            "option reconnect_to_server_handler has no effect with allow_reconnect=False: leave "
            "one of them out"
        )


def plain(name: str, value: Any) -> Any:
    """The value as `ConnectOptions` holds it."""
    if name == "inbox_prefix":
        return value.decode() if isinstance(value, bytes) else value
    if name == "ws_connection_headers":
        return _headers(value)
    if name in ("nkeys_seed", "user_credentials"):
        if isinstance(value, tuple):
            return tuple(os.fspath(path) for path in value)
        return value if isinstance(value, UserString) else os.fspath(value)
    return value


def _headers(value: Mapping[Any, Any]) -> tuple[tuple[str, str], ...] | None:
    """Names and values, one pair for each line; None when one is no text or has a line end."""
    found: list[tuple[str, str]] = []
    for name, values in value.items():
        for one in values if isinstance(values, list | tuple) else [values]:
            if not isinstance(name, str) or not isinstance(one, str):
                return None
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                return None
            if not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", one):
                return None
            found.append((name, one))
    return tuple(found)


# Files


def is_credentials_text(value: object) -> bool:
    """Whether `user_credentials` is the text of a credentials file, not the path of one."""
    return isinstance(value, UserString) or (isinstance(value, str) and "-BEGIN " in value)


def without_seeds(text: str) -> str:
    """The text with every seed of an nkey and every JWT masked."""
    return re.sub(r"\beyJ[\w.-]{20,}", "eyJ***", re.sub(r"S[A-Z][A-Z2-7]{30,}", "S***", text))


def check_files(name: str, value: Any) -> None:
    """Refuse the path of a file that is not there."""
    if value is None or is_credentials_text(value):
        return
    for path in value if isinstance(value, tuple) else (value,):
        text = str(path)
        if name == "nkeys_seed" and _is_seed(text):
            raise ValueError(
                "option nkeys_seed takes the path of a file: pass the seed itself as nkeys_seed_str"
            )
        try:
            there = Path(text).is_file()
        except OSError:
            there = False  # a folder that may not be entered, a name that is too long
        if not there:
            raise ValueError(f"option {name}: there is no file {without_seeds(text)!r}")
