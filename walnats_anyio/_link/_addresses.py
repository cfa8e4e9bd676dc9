"""Where a server is: URLs as people write them, and what may be shown of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

PORTS = {"nats": 4222, "tls": 4222, "ws": 80, "wss": 443, "memory": 4222}
"""The schemes that a URL may have, each with its default port, which `memory` does not need."""

REMEDY = "pass one such as 'nats://localhost:4222'"

_DISCOVERED = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[\w.-]+)):(?P<port>[0-9]{1,5})", re.ASCII
)
_IP = re.compile(r"[0-9.]+|.*:.*")


@dataclass(frozen=True)
class ServerAddress:
    """One server: where it is, and as whom its URL says to connect."""

    scheme: str
    """One of `nats`, `tls`, `ws`, `wss` and `memory`."""

    host: str
    """A name or an IP address; an IPv6 address stands here without brackets."""

    port: int

    user: str | None = field(default=None, repr=False)
    """The user in the URL, decoded; None when the URL names no user or a token."""

    password: str | None = field(default=None, repr=False)
    """The password in the URL, decoded."""

    token: str | None = field(default=None, repr=False)
    """The token in the URL (`nats://token@host`), decoded."""

    path: str = field(default="", repr=False)
    """Path and query of a websocket URL, with the leading slash; empty for the other schemes."""

    certificate_host: str | None = field(default=None, compare=False)
    """The name to look for in the server's TLS certificate, when it is not `host`.

    A discovered server is often known by its IP address alone, and its certificate names the
    host of the cluster: that of the server that told of it.
    """

    @property
    def place(self) -> str:
        """`host:port`, with brackets around an IPv6 address: tells two servers apart."""
        host = self.host.lower()
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The URL as it may be shown to people: without user, password and token."""
        if self.in_process:
            return f"{self.scheme}://{self.host}"
        secret = "***@" if self.user or self.password or self.token else ""
        return f"{self.scheme}://{secret}{self.place}{self.path.partition('?')[0]}"

    @property
    def tls(self) -> bool:
        """Whether the URL asks for TLS, whatever the server says."""
        return self.scheme in ("tls", "wss")

    @property
    def websocket(self) -> bool:
        """Whether NATS is spoken inside a websocket."""
        return self.scheme in ("ws", "wss")

    @property
    def in_process(self) -> bool:
        """Whether it is a `MemoryServer`, in this process."""
        return self.scheme == "memory"

    def neighbour(self, place: str) -> ServerAddress | None:
        """The server that this one's INFO tells of as `host:port`; None when that is malformed.

        Scheme, path and credentials of the URL are this server's: it is the same cluster.
        """
        found = _DISCOVERED.fullmatch(place)
        if found is None or not 0 < int(found["port"]) < 65536:
            return None
        host = found["v6"] or found["host"]
        name = None if not _is_ip(host) or _is_ip(self.host) else self.host
        return replace(
            self,
            host=host,
            port=int(found["port"]),
            certificate_host=name or (self.certificate_host if _is_ip(host) else None),
        )


def parse_servers(server: str | Sequence[str]) -> tuple[ServerAddress, ...]:
    """The servers that a URL, several URLs separated by commas, or a list of them name.

    A URL without a scheme is a `nats://` one, and one without a port has the scheme's default.
    User, password and token may be percent-encoded. A server that is named twice counts once.

    Raises:
        TypeError: what is given is no text.
        ValueError: a text is no URL, the list is empty, or websockets are mixed with others.
    """
    given: list[Any] = list(server) if isinstance(server, list | tuple) else [server]
    if not given:
        raise ValueError("the list of servers is empty: pass at least one URL")
    found: dict[str, ServerAddress] = {}
    for text in given:
        if not isinstance(text, str):
            raise TypeError(
                "server must be a URL, a list of URLs or a connected nats.NATS, "
                f"not {without_password(repr(text))}"
            )
        for url in text.split(","):
            # A comma may be part of a password, so an error shows the whole text, masked.
            address = _parse(url.strip(), repr(without_password(text)))
            found.setdefault(address.place, address)
    addresses = tuple(found.values())
    if len({address.websocket for address in addresses}) > 1:
        shown = ", ".join(address.shown for address in addresses)
        raise ValueError(
            f"servers {shown} mix websockets with other connections: pass ws:// and wss:// URLs "
            "only, or none of them"
        )
    if len({address.in_process for address in addresses}) > 1:
        shown = ", ".join(address.shown for address in addresses)
        raise ValueError(f"servers {shown} mix a MemoryServer with others: pass one kind only")
    return addresses


def without_password(url: str) -> str:
    """The text of a URL as it may be shown to people."""
    return re.sub(r"^(\w+://)?.*@", r"\1***@", url, flags=re.DOTALL)


def _parse(url: str, shown: str) -> ServerAddress:
    # `urlsplit` leaves out line ends and tabs without a word.
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError(f"server URL {shown} contains a space or control character: {REMEDY}")
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        port = parts.port
        user, password = (
            None if part is None else unquote(part, errors="strict")
            for part in (parts.username, parts.password)
        )
    except ValueError:
        raise ValueError(
            f"server URL {shown} has a port that is no port number, brackets in the wrong place, "
            f"or an escape that is no UTF-8: {REMEDY}"
        ) from None
    _check(parts, port, shown)
    bare = password is None
    return ServerAddress(
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=PORTS[parts.scheme] if port is None else port,
        user=None if bare else user,
        password=password,
        token=(user or None) if bare else None,
        path=_path(parts),
    )


def _check(parts: SplitResult, port: int | None, shown: str) -> None:
    if not parts.hostname or port == 0:
        raise ValueError(f"server URL {shown} names no host or no port: {REMEDY}")
    if parts.scheme not in PORTS:
        raise ValueError(f"server URL {shown} must begin with one of {tuple(PORTS)}: {REMEDY}")
    behind = parts.path + parts.query + parts.fragment
    if "@" in behind:
        raise ValueError(
            f"server URL {shown} has a user or password with '/', '?' or '#' in it: percent-encode "
            "it with urllib.parse.quote(password, safe=''), or pass the options user and password"
        )
    if parts.fragment or (behind.strip("/") and parts.scheme not in ("ws", "wss")):
        raise ValueError(f"server URL {shown} has something after the port: {REMEDY}")


def _path(parts: SplitResult) -> str:
    if parts.scheme not in ("ws", "wss"):
        return ""
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path


def _is_ip(host: str) -> bool:
    return _IP.fullmatch(host) is not None
