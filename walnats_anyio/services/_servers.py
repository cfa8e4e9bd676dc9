"""The servers of a system, as its document names them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from walnats_anyio._link._addresses import ServerAddress, parse_servers

_NAME = re.compile(r"[A-Za-z0-9_-]+")


def check_servers(servers: object) -> dict[str, Any]:
    """Turn URLs under names into the Server Objects of AsyncAPI.

    A cluster has one object for each URL.

    Raises:
        TypeError: it is no mapping of names to URLs.
        ValueError: a name or a URL cannot be used, or a URL has a user, a password or a token.
    """
    if servers is None:
        return {}
    if not isinstance(servers, Mapping):
        raise TypeError(
            "servers must be a mapping of names to URLs, such as "
            f"{{'production': 'nats://one.example.com:4222'}}, not {type(servers).__name__}"
        )
    described: dict[str, Any] = {}
    for name, urls in cast("dict[Any, Any]", servers).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(
                f"servers has the name {name!r}: take letters of ASCII, digits, '-' and '_'"
            )
        for number, address in enumerate(parse_servers(urls), 1):
            described[name if number == 1 else f"{name}-{number}"] = _server(name, address)
    return described


def _server(name: str, address: ServerAddress) -> dict[str, Any]:
    if address.user or address.password or address.token:
        raise ValueError(
            f"servers[{name!r}] is {address.shown}, which says who connects, and many people read "
            "this document: leave user, password and token out"
        )
    websocket = address.scheme in ("ws", "wss")
    server: dict[str, Any] = {
        "host": address.place,
        "protocol": address.scheme if websocket else "nats",
    }
    path = address.path.partition("?")[0]  # what is behind it may be secret
    if path:
        server["pathname"] = path
    if address.tls:
        server["description"] = "With TLS."
    return server
