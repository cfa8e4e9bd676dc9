"""What may be said about a connection, checked before anything is opened."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from nats.aio.client import Client

Server: TypeAlias = str | Sequence[str] | Client

SCHEMES = ("nats", "tls", "ws", "wss")
CALLBACKS = {
    "error_cb",
    "disconnected_cb",
    "closed_cb",
    "discovered_server_cb",
    "reconnected_cb",
    "lame_duck_mode_cb",
}
DURATIONS = {"connect_timeout", "ping_interval", "reconnect_time_wait", "drain_timeout"}
FILES = {"nkeys_seed", "user_credentials"}
KNOWN = set(inspect.signature(Client.connect).parameters) - {"self", "servers"}


def check_connect(server: object, options: dict[str, Any]) -> None:
    """Refuse what no connection could be made with.

    Raises:
        TypeError: no URL, list of URLs or `nats.NATS`; an option that nats-py does not have, or
            of the wrong type; options beside a client that is connected already.
        ValueError: a URL that is none, an empty list, a credentials file that is not there.
    """
    if server is not None and not isinstance(server, Client):
        urls: list[Any] = list(server) if isinstance(server, list | tuple) else [server]
        if not urls:
            raise ValueError("the list of servers is empty: pass at least one URL")
        for url in urls:
            _check_url(url)
    if isinstance(server, Client) and options:
        raise TypeError(
            f"options {sorted(options)} have no effect on a client that is connected already: "
            "pass them to nats.connect"
        )
    for name, value in options.items():
        _check_option(name, value)


def _check_url(url: object) -> None:
    if not isinstance(url, str):
        raise TypeError(
            f"server must be a URL, a list of URLs or a connected nats.NATS, not {url!r}"
        )
    remedy = "pass one such as 'nats://localhost:4222'"
    shown = repr(without_password(url))
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        port = parts.port
    except ValueError:
        raise ValueError(
            f"server URL {shown} has a port that is no port number: {remedy}"
        ) from None
    if port == 0 or not parts.hostname or url != url.strip():
        raise ValueError(f"server URL {shown} names no host or no port: {remedy}")
    if parts.scheme not in SCHEMES:
        raise ValueError(f"server URL {shown} must begin with one of {SCHEMES}: {remedy}")


def without_password(url: str) -> str:
    """The URL as it may be shown to people."""
    return re.sub(r"^(\w+://)?.*@", r"\1***@", url)


def _check_option(name: str, value: Any) -> None:
    if name not in KNOWN:
        raise TypeError(
            f"unknown connection option {name!r}; the NATS client takes: {', '.join(sorted(KNOWN))}"
        )
    if value is None:
        return
    right = ""
    # nats-py awaits its callbacks, but for those that give credentials.
    if name in CALLBACKS and not inspect.iscoroutinefunction(value):
        right = "a coroutine function"
    elif name in DURATIONS and not _is_duration(value):
        right = "a number of seconds above 0"
    elif name == "inbox_prefix" and not isinstance(value, str | bytes):
        right = "a str or bytes"
    elif name in FILES:
        _check_files(name, value)
    if right:
        raise TypeError(f"option {name} must be {right}, not {value!r}")


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _check_files(name: str, value: Any) -> None:
    for path in value if isinstance(value, tuple) else (value,):
        if isinstance(path, str | Path) and not Path(path).is_file():
            raise ValueError(f"option {name}: there is no file {str(path)!r}")
