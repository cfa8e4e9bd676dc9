"""Getting a connection to one of several servers: at first, and whenever it was lost."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

import anyio
import msgspec

from walnats_anyio._link._errors import ConnectError, ConnectionLostError
from walnats_anyio._link._handshake import Established, HandshakeError, dial
from walnats_anyio._link._options import ConnectOptions, ServerAddress
from walnats_anyio._link._servers import Servers
from walnats_anyio._link.protocol import ServerInfo
from walnats_anyio._link.protocol._refusals import Refusal

logger = logging.getLogger("walnats_anyio.link")

FIRST_CONNECT_WITHIN = 5.0
"""Seconds in which the first connection must succeed, unless `connect_timeout` asks for more."""

FIRST_CONNECT_TRIES = 3
"""How often each server is tried at first before giving up early."""

SAY_EVERY = 10.0
"""Seconds between two log lines about an outage that goes on."""


class Dialer(Protocol):
    """What makes connections for a link."""

    trouble: str
    """Why the connection was last lost, or could not be made again; empty if it never was."""

    async def first(self) -> Established:
        """Connect for the first time.

        Raises:
            ConnectError: no server can be reached within seconds, or all of them refuse.
        """
        ...

    async def again(self) -> Established:
        """Connect once more, however long it takes.

        Raises:
            ConnectionLostError: the caller wants no further attempt.
        """
        ...

    def lost(self, reason: str, refusal: Refusal | None) -> None:
        """The connection is lost, perhaps as the server said so."""
        ...

    def learn(self, info: ServerInfo) -> bool:
        """Take note of INFO; True when the connection should move to another server."""
        ...

    async def close(self) -> None:
        """The link has ended."""
        ...


class ServerDialer:
    """Connects to the servers of a list, and to those that they name."""

    def __init__(
        self,
        addresses: tuple[ServerAddress, ...],
        options: ConnectOptions,
        on_error: Callable[[Exception], None],
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.trouble = ""
        self._now = now
        self._addresses = addresses
        self._options = options
        self._on_error = on_error
        self._servers = Servers(addresses, options, random.Random())
        self._current: ServerAddress | None = None
        self._since = 0.0
        self._said_at = 0.0
        self._info: dict[str, Any] = {}

    async def first(self) -> Established:
        count = len(self._addresses)
        patience = max(FIRST_CONNECT_WITHIN, self._options.connect_timeout * count + 1)
        give_up_at = self._now() + patience
        failures: list[HandshakeError] = []
        while len(failures) < FIRST_CONNECT_TRIES * count and self._now() < give_up_at:
            # One that speaks and then hangs leaves the others the time for their first word.
            others = max(0, count - 1 - len(failures))
            try:
                established = await self._next(give_up_at - others * self._options.connect_timeout)
            except HandshakeError as exc:
                failures.append(exc)
                if sum(failure.final for failure in failures) >= count:
                    break
            else:
                if established is None:
                    break
                return established
        raise ConnectError(self._explain(failures)) from (failures[-1] if failures else None)

    async def again(self) -> Established:
        self._since = self._said_at = self._now()
        while True:
            try:
                established = await self._next()
            except HandshakeError as exc:
                refusal = self._servers.refusal
                # A refusal by all servers is worth a line of its own, and not only after a while.
                news = refusal is not None and refusal != self.trouble
                self.trouble = refusal or str(exc)
                self._say(at_once=news)
                continue
            if established is None:
                raise ConnectionLostError(
                    f"the connection to NATS is lost for good ({self.trouble}), as the options "
                    "allow no further attempt: see max_reconnect_attempts and allow_reconnect"
                )
            lasted = self._now() - self._since
            logger.warning("%s: connected again after %.1f s", self._where(), lasted)
            return established

    async def _next(self, at_most: float = math.inf) -> Established | None:
        """Try the server that is next, when it is its turn; None when there is none.

        An attempt ends at the time `at_most` of the server's clock.

        Raises:
            HandshakeError: it cannot be reached, or refuses.
        """
        chosen = self._servers.next(self._now(), self._info)
        if chosen is None:
            return None
        server, delay = chosen
        if self._now() + delay > at_most:
            return None
        await anyio.sleep(delay)
        try:
            established = await dial(server, self._options, at_most, self._now)
        except HandshakeError as exc:
            self._servers.failed(server, exc.refusal or str(exc), self._now())
            self._on_error(ConnectError(f"{server.shown}: {exc}"))
            raise
        self._servers.connected(server, self._now())
        self._current = server
        self.learn(established.info)
        return established

    def lost(self, reason: str, refusal: Refusal | None) -> None:
        self.trouble = reason
        self._servers.lost(self._now(), refusal)
        logger.warning("%s: connection lost (%s), reconnecting", self._where(), reason)

    def learn(self, info: ServerInfo) -> bool:
        current = self._current
        if current is None:
            return False
        self._info = msgspec.to_builtins(info)
        # In a websocket too: a server names its neighbours' websocket ports in this field then.
        self._servers.discovered(info.connect_urls, current)
        if info.ldm:
            self._servers.lame_duck(current)
        return info.ldm and len(self._servers.addresses) > 1

    async def close(self) -> None:
        pass

    def _say(self, at_once: bool = False) -> None:
        now = self._now()
        if at_once or now - self._said_at >= SAY_EVERY:
            self._said_at = now
            logger.warning(
                "%s: still not connected after %.0f s: %s",
                self._where(), now - self._since, self.trouble,
            )  # fmt: skip

    def _where(self) -> str:
        name = f"connection {self._options.name!r} to " if self._options.name else ""
        return f"{name}{self._current.shown if self._current else 'NATS'}"

    def _explain(self, failures: list[HandshakeError]) -> str:
        tried = ", ".join(address.shown for address in self._addresses)
        reasons = "; ".join(dict.fromkeys(map(str, failures))) or "no answer"
        # A refusal of the server, or of our own, has its remedy in it already.
        remedy = ""
        if not any(failure.final for failure in failures):
            remedy = ". Start one with: walnats-anyio server (or: nats-server -js)"
        return f"cannot connect to {tried}: {reasons}{remedy}"
