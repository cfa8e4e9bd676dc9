"""Noticing a connection that is open on this side only.

Theory of operation. A cable is pulled, a firewall forgets a connection, a server hangs: what is
sent goes nowhere, nothing comes, and no error says so. So every `LOOK_EVERY` seconds the link looks
whether anything has come, or whether what is to be sent has become less. After `ASK_AFTER` looks in
a row without either it sends a PING, which every server answers at once. When `LOST_AFTER` looks
saw nothing, the connection is cut, and nats-py makes a new one.

It counts looks, not seconds: a program that stood still itself has not heard anything either, and
gets the time to read what came meanwhile. And it is patient, as what was emitted without `uid` and
not acknowledged is sent again on the new connection: a server that pauses for some seconds must not
cost duplicates.
"""

from __future__ import annotations

import asyncio
from typing import Any

from walnats_anyio._link import _client
from walnats_anyio._link._outbox import Outbox

LOOK_EVERY = 2.5
"""Seconds between two looks."""

ASK_AFTER = 2
"""Looks without a sign of life after which the server is asked for one."""

LOST_AFTER = 8
"""Looks without a sign of life after which the connection is cut: 17.5 to 22.5 seconds."""


class Hearing:
    """Cuts the connection of one link when nothing is heard on it any more."""

    def __init__(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        self._loop = loop
        self._outbox = outbox
        self._timer: Any = None
        self._question: asyncio.Future[Any] | None = None
        self._silent = 0
        self._came: object = None
        self._unsent = 0

    def start(self) -> None:
        """Begin to look."""
        self._timer = self._loop.call_later(LOOK_EVERY, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self.start()
        client = self._outbox.client
        if not self._outbox.open or self._sign_of_life(client):
            self._silent = 0
            self._question = None
            return
        if client.is_reconnecting:
            # It waits for all that is unsent to be sent first, which may take for ever.
            _client.abort(client)
            return
        self._silent += 1
        if self._silent == LOST_AFTER:
            _client.logger.warning(
                "nothing heard from NATS for %s s: connecting again", LOST_AFTER * LOOK_EVERY
            )
        if self._silent >= LOST_AFTER:
            _client.abort(client)
        if self._silent >= LOST_AFTER or self._silent == ASK_AFTER:
            # After a cut, too: should nats-py read no more, it notices when it writes.
            self._ask(client)

    def _sign_of_life(self, client: Any) -> bool:
        came = (client.stats["in_msgs"], len(client._ps.buf))
        unsent = client._pending_data_size
        writer: Any = getattr(client._transport, "_io_writer", None)
        if writer is not None:
            unsent += writer.transport.get_write_buffer_size()
        alive = came != self._came or unsent < self._unsent
        self._came, self._unsent = came, unsent
        if self._question is not None and self._question.done():
            alive = True
        if alive:
            # nats-py gives a connection up whose PONGs wait behind much else, as on a slow line.
            client._pings_outstanding = 0
        return alive

    def _ask(self, client: Any) -> None:
        self._question = self._loop.create_future()
        # Whoever waits for a PONG of his own must not be given this one.
        client._pongs.append(self._question)
        self._outbox.post(b"PING\r\n")
