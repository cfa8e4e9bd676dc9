"""TCP ports that stay ours while no server listens on them."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from walnats_anyio.testing._errors import NatsServerError

HOST = "127.0.0.1"


class HeldPort:
    """A port of 127.0.0.1, kept for one server from before its first start to its end.

    Between choosing a free port and listening on it, and again while a server is down, anybody may
    be handed that port, be it as the near end of an outgoing connection. Linux lets a socket that
    is bound and does not listen, and a server that listens, share a port when both say SO_REUSEADDR
    (nats-server does), and gives the port to nobody else meanwhile. A client that connects while
    the server is down is refused, as it should be. Elsewhere the two cannot share; the port is
    given up as soon as it is known, and the race is as small as it can be made.
    """

    def __init__(self, wanted: int = 0) -> None:
        """Take port `wanted`, or any free one for 0. NatsServerError when it is taken."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((HOST, wanted))
        except OSError as error:
            self._socket.close()
            raise NatsServerError(f"port {wanted} of {HOST} cannot be used: {error}") from error
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self._socket.close()

    def release(self) -> None:
        """Let others have the port."""
        self._socket.close()


@contextmanager
def held_port() -> Iterator[int]:
    """Hold a free port of 127.0.0.1 for a listener that the configuration of a server names.

    That is what `NatsServer` does for its own ports: for a websocket, leafnode or gateway listener
    the port is chosen before the server starts, and stays the same across its restarts.

        with held_port() as port:
            async with NatsServer(config={"websocket": {"port": port, "no_tls": True}}) as server:
                ...

    Enter it before the server and leave it after. Does not block.

    Raises:
        NatsServerError: on entering, when the operating system has no free port.
    """
    port = HeldPort()
    try:
        yield port.number
    finally:
        port.release()
