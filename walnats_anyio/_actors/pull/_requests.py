"""Pull requests: what a listening actor asks the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.pull._consumer_rules import MIN_EXPIRES, Terms
from walnats_anyio._link import Prefixes, pub

LONGEST_PERIOD = 2.5
"""Seconds between looks at what is held and asked for, at most."""

SHORTEST_PERIOD = 0.02
"""The same, at least: an `ack_wait` shorter than some of these cannot be kept."""

PENDING_BYTES = 32 * 1024 * 1024
"""Bytes that all requests of one connection ask for together.

A server cuts a connection off as too slow when it has over 64 MB (`max_pending`) to send to it.
"""

HEADERS = 64 * 1024
"""Bytes that headers and subjects may add to the largest payload."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `listen` was told, as far as it concerns one actor."""

    burst: bool
    """Return when there are no more events."""

    batch: int | None
    """The most events that one request asks for."""

    poll_delay: float
    """Seconds that a request waits at the server."""

    max_bytes: int = PENDING_BYTES
    """The most bytes that one request asks for."""

    largest: int = 0
    """Bytes of the largest event that the server takes."""

    heartbeats: bool = True
    """Whether the server is to say again and again that an idle request is still there.

    One in this process need not: nothing is lost between the two, and the end of a request says the
    same. Under a mock clock the heartbeats of an hour would take as long as all the rest.
    """

    @property
    def heartbeat(self) -> float:
        """Seconds between the heartbeats of an idle request; 0 for none (ADR-37: half at most).

        About 5, so that the last one comes with the end of the request, which says the same.
        """
        if self.burst or self.poll_delay < 1 or not self.heartbeats:
            return 0.0
        return self.poll_delay / max(2, round(self.poll_delay / 5))

    @property
    def silence(self) -> float:
        """Seconds without anything from the server after which requests count as lost."""
        return 2 * self.heartbeat if self.heartbeat else self.poll_delay + 2


def within(options: Options, terms: Terms) -> Options:
    """The options, kept within what the consumer on the server allows."""
    batch, delay = options.batch, options.poll_delay
    if terms.max_batch is not None:
        batch = min(batch or terms.max_batch, terms.max_batch)
    if terms.max_bytes is not None and terms.max_bytes < options.max_bytes:
        # So few that the request need not name bytes: with a limit for one event it might get none.
        few = max(1, terms.max_bytes // max(options.largest, 1))
        batch = min(batch or few, few)
    if terms.max_expires is not None:
        delay = min(delay, terms.max_expires)
    # A request of a process that hangs must be over before the server delivers again what that
    # process holds, or it would get it again. A pulse may be two rounds of the clock ago.
    # Where that leaves nothing, a short request it is: one of no time at all would never expire.
    delay = min(delay, max(terms.ack_wait - 2 * period_of(terms), MIN_EXPIRES))
    return replace(options, batch=batch, poll_delay=delay)


def period_of(terms: Terms) -> float:
    """Seconds between the rounds of the clock for an actor: a few of them within `ack_wait`."""
    return min(max(terms.ack_wait / 4, SHORTEST_PERIOD), LONGEST_PERIOD)


def pull_requests(
    actor: Actor[Any, Any], inbox: bytes, options: Options, prefixes: Prefixes
) -> Callable[[int, bool], bytes]:
    """What builds the actor's pull requests (ADR-13), one for each number of events."""
    consumer = f"{actor.event.stream_name}.{actor.consumer_name}"
    subject = prefixes.api_subject(f"CONSUMER.MSG.NEXT.{consumer}")
    expires = round(options.poll_delay * 1e9)
    known: dict[tuple[int, bool], bytes] = {}

    def request(count: int, first: bool) -> bytes:
        command = known.get((count, first))
        if command is None:
            body: dict[str, Any] = {"batch": count}
            # Where it can be reached at all: the server then says of each request that it is over.
            if count > 1 and count * options.largest > options.max_bytes:
                body["max_bytes"] = options.max_bytes
            if options.burst:
                body["no_wait"] = True
                # With both, the server waits for the first event and then gives what is there.
                if first and expires:
                    body["expires"] = expires
            else:
                body["expires"] = expires
                if options.heartbeat:
                    body["idle_heartbeat"] = round(options.heartbeat * 1e9)
            command = known[count, first] = pub(subject, msgspec.json.encode(body), inbox)
        return command

    return request
