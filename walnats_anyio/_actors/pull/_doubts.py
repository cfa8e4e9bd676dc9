"""What a listening actor knows of its consumer, and what makes it doubt that.

Others may change or delete a consumer while it is listened to, and the server does not say so. It
shows in odd statuses, in events without their payload, in events that come again while they are
held. Each makes `look` true, and whoever keeps the time then looks at the consumer's configuration
again. No clock and no network here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from walnats_anyio._actors.pull._consumer_rules import Terms
from walnats_anyio._actors.pull._intake import Meaning
from walnats_anyio._actors.settle import Delivery
from walnats_anyio._link import ServerError

logger = logging.getLogger("walnats_anyio.actors")

UNKNOWN_FOR = 30.0
"""Seconds in which only statuses that nobody knows may come; then `listen` ends with an error."""

STRIPPED = "Nats-Msg-Size"
"""The header that tells how large the payload is that a `headers_only` consumer leaves out."""

V1_TOKENS = 9
"""Tokens of a reply subject without domain and account, which newer servers put in."""


class Doubts:
    """The doubts of one actor about its consumer."""

    __slots__ = ("_actor", "_checked", "_said", "_unknown_for", "look", "terms", "unknown")

    def __init__(self, actor: str, ack_wait: float) -> None:
        """Have no doubts yet.

        Args:
            actor: its name, for what is said.
            ack_wait: the declared one, until the server has been asked.
        """
        self.terms = Terms(ack_wait)
        """What the server had when it was last looked at."""
        self.look = False
        """Whether to look at the consumer now."""
        self._actor = actor
        self._said: set[str] = set()
        self.unknown = ""
        """The last status if nobody knows it; an event that comes shows that requests are taken."""
        self._unknown_for = 0.0
        self._checked = False

    def status(self, meaning: Meaning, code: str, description: str) -> None:
        """A status message came."""
        if meaning not in (Meaning.LATER, Meaning.UNKNOWN, Meaning.REFUSED, Meaning.DELETED):
            if meaning is not Meaning.NOTHING:
                self.unknown = ""
            return
        self.look = True
        told = f"{code} {description}".strip()
        if meaning is not Meaning.LATER:
            self.unknown = told
        if told not in self._said:
            self._said.add(told)
            logger.warning(
                "actor %r: the server does not take its requests for now: %s", self._actor, told
            )

    def stripped(self, headers: Mapping[str, str], payload: bytes) -> bool:
        """Whether an event seems to have come without its payload, and must not be run."""
        if payload or self._checked or headers.get(STRIPPED, "0") == "0":
            return False
        self.look = True
        return True

    def came_again(self, delivery: Delivery, held: Iterable[Delivery]) -> None:
        """An event was delivered again: look, if this process still holds it.

        Then the server waits for a shorter time than it did. To compare costs a microsecond for
        each event held, so it is not done again before the next look.
        """
        if not self.look:
            event = event_of(delivery.message.reply)
            self.look = any(
                other is not delivery and event_of(other.message.reply) == event for other in held
            )

    def looked(self, terms: Terms) -> None:
        """The consumer was looked at, and can be listened to."""
        self.terms = terms
        # It gives whole events: whoever emitted one without payload has written that header.
        self._checked = True

    def tick(self, seconds: float) -> ServerError | None:
        """Time has passed. An error: nobody knows what the server wants."""
        if not self.unknown:
            self._unknown_for = 0.0
            return None
        self._unknown_for += seconds
        if self._unknown_for < UNKNOWN_FOR:
            return None
        return ServerError(
            f"actor {self._actor!r}: for {self._unknown_for:.0f} s the server has answered its "
            f"requests for events with this, and nothing else: {self.unknown}. A status that is "
            "not known may be of a server that is newer than this library"
        )


def event_of(reply: bytes) -> bytes:
    """The number of an event in its stream, out of the reply subject of a delivery."""
    tokens = reply.split(b".")
    return tokens[5 if len(tokens) == V1_TOKENS else 7]
