"""Which server next, and after how long: a rule without a clock and without I/O.

The time, of any clock that never goes back, and a source of chance are arguments. So the rule can
be tried over hours and thousands of servers in no time, and the connection has only to obey it.

Each server has a time at which it is due, and the next server is the one that is due first. An
attempt that failed, and a connection that did not last, put that server off: by 0.05 s at first,
by twice as much each time, by 5 s at most. So every server is tried once in a round, and it is
the rounds that become slower. A connection that lasted takes all of that back, but that servers
which could never be reached come last.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import ParseResult, urlparse

from walnats_anyio._link._addresses import ServerAddress
from walnats_anyio._link._options import ConnectOptions
from walnats_anyio._link.protocol._refusals import Meaning, Refusal

logger = logging.getLogger("walnats_anyio.link")

BACKOFF = (0.05, 5.0)
"""Seconds before the second attempt at a server, doubled at each further one; and the most."""

JITTER = (0.5, 1.0)
"""What part of the back-off is waited: many clients of one server do not come back at once."""

STABLE_AFTER = 5.0
"""Seconds after which a connection counts as one that lasts.

A server that closes each connection right after the handshake must not be asked again at once,
as an outage of a server that worked must be.
"""

MOST_DISCOVERED = 256
"""Most servers that are taken from INFO: a server that names more is broken or hostile."""


@dataclass(frozen=True)
class ServerChoice:
    """A server as `reconnect_to_server_handler` sees it; it has the fields of nats-py's."""

    uri: ParseResult
    """Where it is, without user and password."""

    reconnects: int
    """Attempts at it in a row that failed."""


@dataclass
class _Known:
    """What is known of one server."""

    address: ServerAddress
    given: bool
    """By the user, and not only told of by another server."""

    due: float = -math.inf
    """When it may be tried; a server that was never tried is always due."""

    steps: int = 0
    """How often its wait was doubled."""

    attempts: int = 0
    """Attempts in a row that failed, as `max_reconnect_attempts` counts."""

    tried: bool = False
    """Whether it was tried since the last connection that lasted."""

    leaving: bool = False
    """It said that it is about to stop."""

    reached: bool = False
    """Whether there ever was a connection to it."""

    answer: Refusal | str | None = None
    """Why the last attempt failed; None when it succeeded or there was none."""

    @property
    def is_doubtful(self) -> bool:
        """Whether it was tried in vain, and never reached.

        After a connection that lasted it comes last: servers behind a proxy or a firewall tell of
        neighbours that are not for us, and to find that out anew, each time, takes
        `connect_timeout` for each of them.
        """
        return self.answer is not None and not self.reached


class Servers:
    """The servers of one connection, those the user gave and those that INFO told of."""

    def __init__(
        self, addresses: Sequence[ServerAddress], options: ConnectOptions, random: Random
    ) -> None:
        self._options = options
        self._random = random
        self._known = [_Known(address, given=True) for address in self._shuffled(addresses)]
        self._current: _Known | None = None
        self._since = -math.inf
        self._stood = False

    def __repr__(self) -> str:
        at = self._current.address.shown if self._current else "none"
        return f"<Servers {', '.join(address.shown for address in self.addresses)}; at {at}>"

    @property
    def addresses(self) -> tuple[ServerAddress, ...]:
        """All servers that are known, in the order in which they are tried at first."""
        return tuple(known.address for known in self._known)

    @property
    def refusal(self) -> str | None:
        """Why nobody lets us in: the reason, when every server that answers refuses us.

        None while a server has not been tried, or answered in another way. A server that gives no
        answer at all does not count, unless none gives one.
        """
        if not all(known.tried and known.answer for known in self._known):
            return None
        refusals = [known.answer for known in self._known if isinstance(known.answer, Refusal)]
        if not refusals or any(item.meaning is not Meaning.AUTHORIZATION for item in refusals):
            return None
        return str(refusals[0])

    # Which next

    def next(
        self, now: float, info: Mapping[str, Any] | None = None
    ) -> tuple[ServerAddress, float] | None:
        """The server to try next, and the seconds to wait before; None when all are given up.

        `info` is the last INFO of a server, for `reconnect_to_server_handler`. A handler that
        raises, or returns what it must not, is logged, and the usual choice is made.
        """
        left = [known for known in self._known if not self._is_given_up(known)]
        if not left:
            return None
        # A server that is about to stop comes after all that were not tried since it said so.
        fresh = any(not known.tried and not known.leaving for known in left)
        chosen = min(left, key=lambda item: (item.leaving and fresh, item.due, item.is_doubtful))
        usual = chosen.address, max(0.0, chosen.due - now)
        if self._options.reconnect_to_server_handler is None or not self._stood:
            return usual
        return self._ask_handler(left, usual, info or {})

    def _is_given_up(self, known: _Known) -> bool:
        if not self._options.allow_reconnect:
            return self._stood or known.attempts > 0
        return known.attempts >= self._options.max_reconnect_attempts > 0

    def _ask_handler(
        self, left: list[_Known], usual: tuple[ServerAddress, float], info: Mapping[str, Any]
    ) -> tuple[ServerAddress, float]:
        handler = self._options.reconnect_to_server_handler
        assert handler is not None
        by_place = {known.address.place: known.address for known in left}
        choices = [ServerChoice(_uri(known.address), known.attempts) for known in left]
        try:
            chosen, delay = handler(choices, dict(info))
            wait = float(delay)
            if not 0 <= wait < math.inf:
                raise ValueError(f"{delay!r} is no number of seconds")
            return (usual[0] if chosen is None else by_place[chosen.uri.netloc]), wait
        except Exception:
            logger.exception(
                "reconnect_to_server_handler did not return one of its servers (or None) and the "
                "seconds to wait: the usual choice is made"
            )
            return usual

    # What happened

    def failed(self, server: ServerAddress, reason: Refusal | str, now: float) -> None:
        """An attempt at this server failed: the server's answer, or why there was none."""
        known = self._find(server)
        if known is not None:
            self._put_off(known, reason, now)

    def connected(self, server: ServerAddress, now: float) -> None:
        """This server has accepted us. A connection to another one is over, as with `lost`."""
        if self._current is not None:
            self.lost(now)
        known = self._find(server)
        if known is None:  # an INFO forgot it while it was being connected to
            known = _Known(server, given=False)
            self._known.append(known)
        known.tried, known.reached, known.answer = True, True, None
        self._current, self._since, self._stood = known, now, True

    def lost(self, now: float, reason: Refusal | str | None = None) -> None:
        """The connection is over; `reason` is what the server said, if it said anything."""
        current, self._current = self._current, None
        if current is None:
            return
        if now - self._since < STABLE_AFTER:
            self._put_off(current, reason, now)
            return
        for known in self._known:
            known.due = now if known.is_doubtful else -math.inf
            known.steps = known.attempts = 0
            known.tried = False
            known.leaving = known.leaving and known is current
        # At once, but after the others: they are likely to be there, and this one may not be.
        current.due = now
        current.tried = True
        current.answer = reason

    def lame_duck(self, server: ServerAddress) -> None:
        """This server is about to stop: it comes last, until a connection to another one lasted."""
        known = self._find(server)
        if known is not None:
            known.leaving = True

    def discovered(
        self, connect_urls: Iterable[object], connected: ServerAddress
    ) -> tuple[ServerAddress, ...]:
        """Take over the servers that INFO names, `host:port` each; returns those that are new.

        What is malformed is ignored. Servers that an earlier INFO named and this one does not are
        forgotten; never those that the user gave, nor the one that we are connected to. An INFO
        that names none says nothing about the others.
        """
        named: dict[str, ServerAddress] = {}
        for text in connect_urls:
            address = connected.neighbour(text) if isinstance(text, str) else None
            if address is not None and len(named) < MOST_DISCOVERED:
                named.setdefault(address.place, address)
        if not named:
            return ()
        self._known = [
            known
            for known in self._known
            if known.given or known is self._current or known.address.place in named
        ]
        there = {known.address.place for known in self._known}
        new = self._shuffled([address for place, address in named.items() if place not in there])
        # As if they had failed as often as the others. Else a server that accepts, names a new
        # neighbour and closes would lead us from place to place without a pause.
        due = max(known.due for known in self._known)
        steps = max(known.steps for known in self._known)
        self._known += [_Known(address, given=False, due=due, steps=steps) for address in new]
        return tuple(new)

    def _put_off(self, known: _Known, reason: Refusal | str | None, now: float) -> None:
        known.attempts += 1
        known.tried = True
        known.answer = reason
        known.due = now + self._wait(known.steps)
        known.steps += 1

    def _wait(self, steps: int) -> float:
        fixed = self._options.reconnect_time_wait
        if fixed is not None:
            return fixed
        first, most = BACKOFF
        # The exponent is bounded because a float is: 2.0 ** 1024 is an error.
        return min(most, first * 2.0 ** min(steps, 32)) * self._random.uniform(*JITTER)

    def _find(self, server: ServerAddress) -> _Known | None:
        places = (known for known in self._known if known.address.place == server.place)
        return next(places, None)

    def _shuffled(self, addresses: Sequence[ServerAddress]) -> list[ServerAddress]:
        order = list(addresses)
        if not self._options.dont_randomize:
            self._random.shuffle(order)
        return order


def _uri(address: ServerAddress) -> ParseResult:
    return urlparse(f"{address.scheme}://{address.place}{address.path}")
