"""What a server is asked over plain sockets: its INFO line, and its monitoring pages.

No NATS client here: a test server must not depend on the client that is tested with it.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from typing import Any

from walnats_anyio.testing._looks import LOOK_EVERY, Deadline, Looks
from walnats_anyio.testing._ports import HOST


def read_info(port: int, deadline: Deadline) -> Looks[dict[str, Any]]:
    """What the server says of itself to each client that connects. OSError when it says nothing."""
    line = yield from _exchange(port, b"", deadline, until=b"\r\n")
    return dict(json.loads(line.removeprefix(b"INFO ")))


def read_page(port: int, page: str, deadline: Deadline) -> Looks[dict[str, Any]]:
    """A page of the monitoring port, whatever its status. OSError when none comes."""
    # HTTP/1.0, so that the answer comes in one piece and ends with the connection.
    request = f"GET {page} HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode()
    answer = yield from _exchange(port, request, deadline)
    _, _, body = answer.partition(b"\r\n\r\n")
    return dict(json.loads(body))


def check_accepts(port: int, deadline: Deadline) -> Looks[None]:
    """Connect, and no more. Raises OSError when the connection is refused."""
    yield from _exchange(port, b"", deadline, until=b"")


def _exchange(
    port: int, request: bytes, deadline: Deadline, until: bytes | None = None
) -> Looks[bytes]:
    """Send the request; return what comes until `until` is in it (None: until the end)."""
    received = b""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        failed = connection.connect_ex((HOST, port))
        if failed not in (0, errno.EINPROGRESS):
            raise OSError(failed, os.strerror(failed))
        while until is None or until not in received:
            if deadline.passed:
                raise TimeoutError(f"no answer from port {port}")
            try:
                if request:
                    request = request[connection.send(request) :]
                chunk = connection.recv(65536)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOTCONN):
                    raise
                yield LOOK_EVERY
                continue
            if not chunk:
                if until is None:
                    return received
                raise ConnectionResetError(f"port {port} closed the connection")
            received += chunk
    return received
