"""The callers of requests: who waits for a response, for how long, and what he is told.

Theory of operation. A request says in its headers where the response goes, and how many seconds the
caller still waits from the moment at which the stream stores it. That moment stands in the reply
subject of each delivery, on the clock of the server. So all that must be known here is the time of
the server: the difference between its clock and ours, measured by a request to it. No clock of the
caller counts, and neither does the wall clock of this machine, where the server tells the time.

An answer is published before the acknowledgement, in one place: `Callers.answer`. What it says
follows from the verdict:

| the delivery is | the caller gets |
| --- | --- |
| acknowledged, as its handler returned | the response; an error if that is too large |
| terminated, after its dead letter | the error |
| to be retried, but not before the caller's time is over | the error |
| to be retried, handed back, cancelled | nothing |

An error is only told to callers that understand it: those that send `Walnats-Timeout`, as walnats
does not, whose callers would take it for a response.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections import OrderedDict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.settle._verdict import Ack, Final, JobResult, Nak, Outcome, Term
from walnats_anyio._events import HEADER_ACTOR, HEADER_ERROR, HEADER_REPLY, HEADER_TIMEOUT
from walnats_anyio._letters import describe
from walnats_anyio._link import HeaderError, Link, ServerError, api, payload_size, pub

if TYPE_CHECKING:
    from walnats_anyio._actors.settle._delivery import Delivery

logger = logging.getLogger("walnats_anyio.actors")

SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
"""A `Walnats-Timeout`; anybody may have written it."""

REPLY = re.compile(r"[!-)+-=?-~]{1,1000}")
"""A subject without wildcards, spaces and control characters, which would break the protocol."""

INBOX = "_"
"""What subjects of responses begin with, unless they have the `inbox_prefix` of this connection.

They are published with our permissions, and the caller names them: so no subject of an event, nor
one of the server's API, where a response may be a command.
"""

REMEMBERED = 65_536
"""Callers that have left and are remembered, as their requests may still come: some 10 MB."""

MAX_KEPT = 8 * 1024 * 1024
"""Bytes of answers that are kept, the last ones, for callers that have lost theirs."""

MAX_ERROR = 10_000
"""Characters of an error that a caller is told."""


class Caller(msgspec.Struct):
    """Who waits for the response to one delivery."""

    reply: str
    """The subject of the response."""

    understands: bool = False
    """Whether it can be told of an error."""

    waits_until: float = math.inf
    """When its time is over, on the clock of the server."""


NOBODY = Caller("")
"""Nobody waits: the event was emitted, or what it says of its caller is of no use."""


class Callers:
    """What one run of `listen` knows of callers."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._left: OrderedDict[str, None] = OrderedDict()
        self._answers: OrderedDict[str, bytes] = OrderedDict()
        """The last answers, as commands: a caller may have lost its own with its connection."""
        self._size = 0
        """Bytes of them."""
        self._ahead = time.time() - link.now()
        """Seconds that the server's clock is ahead of `link.now`; by our wall clock until it has
        told the time."""
        self._said: set[str] = set()

    async def ask_time(self, stream: str, consumer: str) -> None:
        """Ask the server what time it is; blocks for one request.

        Servers before 2.10 do not say. Then the wall clock of this machine counts.
        """
        sent = self._link.now()
        try:
            answer = await api(self._link, f"CONSUMER.INFO.{stream}.{consumer}")
        except ServerError:
            return  # it is asked again later
        got = self._link.now()
        if isinstance(told := answer.get("ts"), str):
            self._ahead = datetime.fromisoformat(told).timestamp() - (sent + got) / 2
        else:
            self._ahead = time.time() - got

    # who it is

    def caller_of(self, delivery: Delivery) -> Caller:
        """Who waits for the response to a delivery; read from its headers once."""
        caller = delivery.caller
        if caller is None:
            delivery.caller = caller = self._read(delivery)
        return caller

    def _read(self, delivery: Delivery) -> Caller:
        message = delivery.message
        try:
            headers = message.headers
        except HeaderError:
            return NOBODY  # it is given up, and who asked cannot be known
        reply, timeout = headers.get(HEADER_REPLY, ""), headers.get(HEADER_TIMEOUT)
        if not reply or not self._may_answer(reply, delivery):
            return NOBODY
        if timeout is None or not SECONDS.fullmatch(timeout):
            return Caller(reply, timeout is not None)
        stored = message.metadata.timestamp.timestamp()
        # It was stored before it came here.
        self._ahead = max(self._ahead, stored - self._link.now())
        return Caller(reply, True, stored + float(timeout))

    def _may_answer(self, reply: str, delivery: Delivery) -> bool:
        own = self._link.inbox_prefix
        good = REPLY.fullmatch(reply) and "" not in reply.split(".")
        if good and reply.startswith((INBOX, f"{own}.")):
            return True
        actor = delivery.deliveries.actor.name
        if actor not in self._said:
            self._said.add(actor)
            logger.warning(
                "actor %r: a request wants its response on %r, and is not answered: only subjects "
                "that begin with %r or with the inbox_prefix of this connection (%r) are",
                actor, reply[:200], INBOX, own,
            )  # fmt: skip
        return False

    def seconds_left(self, delivery: Delivery) -> float:
        """How long its caller still waits; infinite where nobody says so, negative when over."""
        return self.caller_of(delivery).waits_until - self._link.now() - self._ahead

    def refusal_of(self, delivery: Delivery) -> Outcome | None:
        """Why a delivery is not to be run; None: it is."""
        caller = self.caller_of(delivery)
        if caller.reply in self._left:
            return Outcome.CANCELLED
        return Outcome.OVERDUE if self.seconds_left(delivery) <= 0 else None

    def has_left(self, reply: str) -> None:
        """A caller does not wait any more; its request may still come."""
        self._left[reply] = None
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)

    # what it is told

    def answer(self, delivery: Delivery, verdict: Final, result: JobResult) -> None:
        """Publish what a caller is told, if it is told anything. Never blocks."""
        caller = self.caller_of(delivery)
        if not caller.reply:
            return
        actor = delivery.deliveries.actor
        if isinstance(verdict, Ack):
            if result.outcome is Outcome.RETURNED:
                self._respond(caller, actor, result.response or b"")
        elif caller.understands and (
            isinstance(verdict, Term)
            or (isinstance(verdict, Nak) and verdict.delay >= self.seconds_left(delivery))
        ):
            error_type, error, _ = describe(result.error)
            self._tell_error(caller, actor, error_type or result.outcome.value, error)

    def _respond(self, caller: Caller, actor: Actor[Any, Any], response: bytes) -> None:
        most = self._link.max_payload
        if len(response) <= most:
            self._publish(caller, response)
            return
        error = (
            f"the response is {len(response)} bytes, and the server takes at most {most}: answer "
            "with less, or with a reference to it"
        )
        logger.error("actor %r: event %r: %s", actor.name, actor.event.name, error)
        if caller.understands:
            self._tell_error(caller, actor, "walnats_anyio.MessageTooLargeError", error)

    def _tell_error(
        self, caller: Caller, actor: Actor[Any, Any], error_type: str, error: str
    ) -> None:
        name = "".join(char for char in error_type if char.isprintable()).strip() or "Exception"
        headers = f"NATS/1.0\r\n{HEADER_ERROR}: {name}\r\n{HEADER_ACTOR}: {actor.name}\r\n\r\n"
        self._publish(caller, error[:MAX_ERROR].encode(), headers.encode())

    def _publish(self, caller: Caller, payload: bytes, headers: bytes = b"") -> None:
        command = pub(caller.reply, payload, b"", headers)
        self._link.post(command)
        if not caller.understands or len(command) > MAX_KEPT:
            return  # it would not ask for it again, or it is too large to be kept
        answers = self._answers
        self._size += len(command) - len(answers.pop(caller.reply, b""))
        answers[caller.reply] = command
        while self._size > MAX_KEPT or len(answers) > REMEMBERED:
            self._size -= len(answers.popitem(last=False)[1])

    def answer_again(self, reply: str) -> None:
        """Publish the answer to a request once more, if it is remembered. Never blocks."""
        command = self._answers.get(reply)
        # The server may take less by now, and would cut the connection of all actors for it.
        if command is not None and payload_size(command) <= self._link.max_payload:
            self._link.post(command)
