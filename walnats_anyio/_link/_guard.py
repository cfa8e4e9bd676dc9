"""A nats-py client that does not write to a socket which is closing.

From Python 3.12 on, asyncio's `writelines` on a connection that was lost a moment ago waits until
the closed socket can be written to. Its number may be another connection's by then; trio-asyncio
breaks over it, and with it the whole connection to NATS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nats.aio.client import Client


class GuardedClient(Client):
    """nats-py's client, whose transports are guarded."""

    # nats-py makes a new transport at every connect, and keeps it in this attribute.
    @property
    def _transport(self) -> Any:
        return self.__dict__.get("_transport")

    @_transport.setter
    def _transport(  # pyright: ignore[reportIncompatibleVariableOverride] - it can be set as well
        self, transport: Any
    ) -> None:
        self.__dict__["_transport"] = transport
        # A websocket has no writer, and notices by itself.
        if hasattr(transport, "_io_writer"):
            _guard(transport)


def _guard(transport: Any) -> None:
    writelines = transport.writelines

    def write_unless_closing(payload: Sequence[bytes]) -> None:
        if transport._io_writer.transport.is_closing():
            raise ConnectionResetError("the connection is lost")
        writelines(payload)

    transport.writelines = write_unless_closing
