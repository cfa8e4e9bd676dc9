"""What may be said about a connection, checked before anything is opened.

The names are those of nats-py's `connect`, so that programs keep theirs. A name either has an
effect, or is refused with a sentence about what to use instead: none is accepted and ignored.
"""

from __future__ import annotations

import ssl
import sys
from collections import UserString
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, TypeAlias, TypeGuard

from walnats_anyio._link._addresses import ServerAddress, parse_servers, without_password
from walnats_anyio._link._option_rules import (
    check_files,
    check_known,
    check_together,
    check_value,
    plain,
)
from walnats_anyio._link._sharing import Connected, link_of

__all__ = [
    "ConnectOptions",
    "NATSClient",
    "Server",
    "ServerAddress",
    "check_connect",
    "is_client",
    "parse_servers",
    "without_password",
]


class NATSClient(Protocol):
    """What a `nats.NATS` looks like to a type checker; `is_client` recognises one at run time."""

    @property
    def is_connected(self) -> bool:
        """Whether it has a connection now."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether it is closed for good."""
        ...


Server: TypeAlias = str | Sequence[str] | NATSClient | Connected
"""A URL, several URLs (in a list, or in one text with commas), a connected `nats.NATS`, or a
`ConnectedActors` or `ConnectedEvents` whose connection is shared."""

Text: TypeAlias = str | Callable[[], str]
"""A text, or a plain function that returns it at each attempt to connect. It must not block."""

Callback: TypeAlias = Callable[[], Any]
"""A plain or a coroutine function without arguments."""


@dataclass(frozen=True, kw_only=True)
class ConnectOptions:
    """How to connect: every option that there is, with its default.

    Durations are seconds. An option of None has its default. Nothing that is secret is in the
    `repr`.
    """

    # As whom

    user: Text | None = field(default=None, repr=False)
    """The name of the user; needs `password`. Comes before what the URL says."""

    password: Text | None = field(default=None, repr=False)
    """The password of `user`."""

    token: Text | None = field(default=None, repr=False)
    """A token in place of user and password, or beside a key for an auth callout."""

    nkeys_seed: str | None = field(default=None, repr=False)
    """The path of a file with the seed of the user's nkey. Read anew at each attempt."""

    nkeys_seed_str: str | None = field(default=None, repr=False)
    """The seed itself."""

    user_credentials: str | tuple[str, str] | UserString | None = field(default=None, repr=False)
    """The path of a credentials file (JWT and seed), or the paths of a file with the JWT and one
    with the seed, or the text of a credentials file. Files are read anew at each attempt."""

    user_jwt_cb: Callable[[], bytes | bytearray | str] | None = None
    """A plain function that returns the user's JWT at each attempt. Alone it is for bearer
    tokens; with `signature_cb` for others."""

    signature_cb: Callable[[str], bytes | bytearray | str] | None = None
    """A plain function that is given the server's nonce and returns its signature in base64."""

    # TLS

    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """The context for TLS; None: `ssl.create_default_context()` where TLS is asked for."""

    tls_hostname: str | None = None
    """The name that the server's certificate must have; None: the host of the URL."""

    tls_handshake_first: bool = False
    """Start TLS before the server's first word; the server must be set up so as well."""

    # Who we say we are

    name: str | None = None
    """The connection's name in the server's log and monitoring."""

    inbox_prefix: str = "_INBOX"
    """What the subjects of replies begin with; str or bytes may be given."""

    no_echo: bool = False
    """The server sends no message back to the connection that published it. Not for actors."""

    pedantic: bool = False
    """The server checks the subjects of publications too."""

    verbose: bool = False
    """The server answers each command with +OK, which is read and ignored; for debugging."""

    # How long

    connect_timeout: float = 2.0
    """Most seconds from the start of an attempt at one server to its first word. For the rest of
    the handshake it has as long again, but 10 s at least, as a slow line needs some."""

    ping_interval: float = 7.5
    """Seconds between two pings (nats-py: 120). A connection on which nothing is heard is cut
    after three of them, with the default of `max_outstanding_pings`."""

    max_outstanding_pings: int = 2
    """With so many pings unanswered when the next one is due, the connection is cut and made
    anew."""

    drain_timeout: float = 2.0
    """Most seconds that leaving the connection waits for the socket to take what is unsent
    (nats-py: 30)."""

    # Which server, and when

    dont_randomize: bool = False
    """Try the servers in the order given; else they are shuffled once."""

    allow_reconnect: bool = True
    """Connect again when the connection is lost; else it is then closed for good."""

    max_reconnect_attempts: int = -1
    """Attempts at each server in a row before it is given up; -1: never (nats-py: 60)."""

    reconnect_time_wait: float | None = None
    """Seconds between two attempts at one server; None: from 0.05 doubled up to 5, with jitter
    (nats-py: 2)."""

    reconnect_to_server_handler: Callable[[list[Any], dict[str, Any]], Any] | None = None
    """A plain function that chooses the server to reconnect to. It is given a list of servers,
    each with `uri` (as of `urllib.parse.urlparse`) and `reconnects`, and the server's last INFO,
    and returns one of them, or None for the usual choice, and the seconds to wait before."""

    ws_connection_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Headers for the request that opens a websocket; given as a mapping of names to one value or
    a list of values."""

    # What to call

    error_cb: Callable[[Exception], Any] | None = None
    """Is given each error of the connection that no call raises; as all callbacks a plain or a
    coroutine function. One that raises is logged."""

    disconnected_cb: Callback | None = None
    """Called when a connection is lost, and when it is closed."""

    reconnected_cb: Callback | None = None
    """Called when a lost connection is made again."""

    closed_cb: Callback | None = None
    """Called when the connection is closed for good."""

    discovered_server_cb: Callback | None = None
    """Called when the server tells of servers that were not known."""

    lame_duck_mode_cb: Callback | None = None
    """Called when the server is about to stop and asks its clients to move."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ConnectOptions:
        """The options that keyword arguments say; it does not look whether files exist.

        Raises:
            TypeError: an option that there is not, or of the wrong type.
            ValueError: a value that is out of range, or options that exclude each other.
        """
        given = {name: value for name, value in options.items() if value is not None}
        known = [option.name for option in fields(cls)]
        for name in options:
            check_known(name, known)
        for name, value in given.items():
            check_value(name, value)
        check_together(given)
        return cls(**{name: plain(name, value) for name, value in given.items()})


def is_client(server: object) -> TypeGuard[NATSClient]:
    """Whether this is a `nats.NATS`. Does not import nats-py: who has a client has done that."""
    module = sys.modules.get("nats.aio.client")
    client = getattr(module, "Client", None)
    return isinstance(client, type) and isinstance(server, client)


def check_connect(server: object, options: Mapping[str, Any]) -> None:
    """Refuse what no connection could be made with.

    Raises:
        TypeError: no URL, list of URLs or `nats.NATS`; an option that there is not, or of the
            wrong type; options beside a client that is connected already.
        ValueError: a URL that is none, an empty list, an option that is out of range, options
            that exclude each other, a file that is not there.
    """
    if is_client(server) or isinstance(server, Connected):
        if options:
            where = "where it was made" if isinstance(server, Connected) else "to nats.connect"
            raise TypeError(
                f"options {sorted(options)} have no effect on a client that is connected already: "
                f"pass them {where}"
            )
        return
    addresses = () if server is None else parse_servers(server)  # type: ignore[arg-type]  # it is checked there
    checked = ConnectOptions.of(options)
    for name in ("nkeys_seed", "user_credentials"):
        check_files(name, getattr(checked, name))
    if addresses and addresses[0].in_process:
        _check_in_process(options)
    if addresses and checked.ws_connection_headers and not addresses[0].websocket:
        raise ValueError(
            "option ws_connection_headers has an effect on websockets only: pass a ws:// or "
            "wss:// URL, or leave it out"
        )


def check_echo(server: object, options: Mapping[str, Any]) -> None:
    """Refuse a connection for actors on which nothing comes back that is published on it.

    The response to a request, and what cancels a job, are published on the connection that waits
    for them where actors and emitters share one.

    Raises:
        ValueError: it has `no_echo`.
    """
    if isinstance(server, Connected):
        no_echo = link_of(server).no_echo
    elif is_client(server):
        from walnats_anyio._link._borrowed import options_of

        no_echo = options_of(server)["no_echo"]  # type: ignore[arg-type]  # `is_client` has looked
    else:
        no_echo = bool(options.get("no_echo"))
    if no_echo:
        raise ValueError(
            "no_echo=True keeps requests and cancellations of the same connection from its actors: "
            "leave it out where actors are connected. No event comes back because of that, as "
            "streams deliver them"
        )


def _check_in_process(options: Mapping[str, Any]) -> None:
    for name in ("tls", "tls_hostname", "tls_handshake_first"):
        if options.get(name):
            raise ValueError(
                f"a MemoryServer has no TLS: leave option {name} out, or use NatsServer"
            )
