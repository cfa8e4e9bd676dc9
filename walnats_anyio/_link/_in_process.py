"""Servers that live in this process: where a `memory://` URL leads.

A test double registers itself here under a name that nobody can guess, and the dialer asks for it
instead of a socket. Everything above the byte stream is as with any other server, but for the time:
such a server lives on the clock of the event loop, so a mock clock rules both sides alike.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import Protocol

from anyio import TypedAttributeSet, typed_attribute
from anyio.abc import ByteStream

SCHEME = "memory"


class InProcessStream(Protocol):
    """What a connection to such a server can do beside sending and receiving bytes."""

    async def in_doubt(self) -> None:
        """Wait until the server stands still.

        Before that a PING would be answered, so none is sent: under a mock clock those of an hour
        would take longer than all the rest.
        """
        ...

    def send_now(self, data: bytes) -> int:
        """Send what can be sent without waiting; gives the number of bytes."""
        ...


class InProcess(TypedAttributeSet):
    """How a byte stream tells that it is one of these."""

    stream: InProcessStream = typed_attribute()
    """Itself."""


_servers: dict[str, Callable[[], ByteStream]] = {}

_began: dict[str, float] = {}
"""When the clock of a server's event loop was 0, in seconds since the epoch."""


def add_server(name: str, connect: Callable[[], ByteStream]) -> None:
    """Have `memory://<name>` lead to a server; `connect` gives a new connection to it."""
    _servers[name] = connect


def remove_server(name: str) -> None:
    """Have nobody find it any more."""
    _servers.pop(name, None)
    _began.pop(name, None)


def wall_clock(name: str, clock: Callable[[], float]) -> Callable[[], float]:
    """Tells the time in seconds since the epoch, and jumps where the clock of the loop does.

    It is the same for all connections to one server.
    """
    began = _began.setdefault(name, time() - clock())
    return lambda: began + clock()


def connect_to(name: str) -> ByteStream:
    """A new connection.

    Raises:
        ConnectionRefusedError: there is no such server.
    """
    connect = _servers.get(name)
    if connect is None:
        raise ConnectionRefusedError(
            "there is no MemoryServer of this name: its context was left, or it is in another "
            "process"
        )
    return connect()
