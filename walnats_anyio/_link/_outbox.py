"""The outbox: commands on their way to the server, handed to nats-py in batches."""

from __future__ import annotations

import asyncio
from typing import Any


class Outbox:
    """Collects commands and hands them to nats-py once a turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.open = False
        """Whether commands go out now; what is posted meanwhile is kept."""
        self.client: Any = None
        """The nats-py client."""
        self.commands: list[bytes] = []
        """What has not been handed over."""
        self._loop = loop
        self._scheduled = False

    def post(self, command: bytes) -> None:
        """Send a protocol command with the next batch. Never blocks.

        While disconnected it is kept, and sent after the reconnect.
        """
        self.commands.append(command)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.write)

    def write(self) -> None:
        """Hand over what there is, if the connection is there; to be called in nats-py's loop."""
        self._scheduled = False
        if not self.open or not self.commands:
            return
        data = b"".join(self.commands)
        self.commands.clear()
        # nats-py's `publish` for each command would take a third of the CPU time of an ack.
        client = self.client
        client._pending.append(data)
        client._pending_data_size += len(data)
        queue = client._flush_queue
        if queue.empty():
            queue.put_nowait(self._loop.create_future())
