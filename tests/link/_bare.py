"""Bare sockets: a client that says whatever it is told, and servers that behave badly."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from tests.support.waiting import DEADLINE

RESET = struct.pack("ii", 1, 0)


class Bare:
    """A connection to a server without a client; it reads what comes in a thread."""

    def __init__(self, port: int, **connect: Any) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self._connect = connect
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        assert self._file.readline().startswith(b"INFO ")
        self.send(
            b"CONNECT %b\r\n"
            % json.dumps({"verbose": False, "headers": True} | self._connect).encode()
        )
        self.round_trip()
        return self

    def __exit__(self, *_args: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def round_trip(self) -> list[bytes]:
        """Wait until the server has read all; gives the lines that came before its answer."""
        self.send(b"PING\r\n")
        lines: list[bytes] = []
        while (line := self._file.readline()) != b"PONG\r\n":
            assert line, f"the server closed the connection: {lines}"
            if line != b"PING\r\n":
                lines.append(line)
        return lines

    def publish(self, subject: str, payload: bytes, headers: bytes = b"", reply: str = "") -> None:
        """Publish, with any header block."""
        target = f"{subject} {reply}".strip().encode()
        if headers:
            sizes = b"%d %d" % (len(headers), len(headers) + len(payload))
            self.send(b"HPUB %b %b\r\n%b%b\r\n" % (target, sizes, headers, payload))
        else:
            self.send(b"PUB %b %d\r\n%b\r\n" % (target, len(payload), payload))


Serve = Callable[[socket.socket], None]


class BadServer:
    """Accepts connections and serves each, one after the other, with a function of the test's."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted: list[float] = []
        """When each connection came, on the monotonic clock."""
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_args: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(DEADLINE)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted.append(time.monotonic())
            with connection:
                try:
                    self._serve(connection)
                except OSError:
                    continue


def handshake(connection: socket.socket, and_then: bytes = b"", **info: Any) -> bytes:
    """Greet as a server does; gives what the client said behind its PING.

    `and_then` is said in one breath with the last word of the handshake.
    """
    known = {"server_id": "bad", "version": "2.15.1", "max_payload": 1048576, "headers": True}
    connection.sendall(b"INFO %b\r\n" % json.dumps(known | info).encode())
    said = b""
    while b"PING\r\n" not in said:
        received = connection.recv(65536)
        if not received:
            raise ConnectionResetError
        said += received
    connection.sendall(b"PONG\r\n" + and_then)
    return said.partition(b"PING\r\n")[2]


def reset(connection: socket.socket) -> None:
    """End it as a crash does: what is under way is gone, and the other side gets an error."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()
