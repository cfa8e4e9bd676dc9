"""Requests: events whose emitter waits for the response of an actor.

Theory of operation. A request is an event like any other, with two headers more: where the response
is to be published, and how long the caller waits for it. Responses are core NATS messages to one
inbox of the connection, a subject for each request. The first one counts.

While it waits, a request also learns what becomes of its event. The stream's acknowledgement comes
as for every emit. A quarter of a second later, and shortly before the caller's time is over, the
stream is asked who its actors are: where there are none, nobody will ever answer. So a request that
is answered quickly costs no further message.

A caller that leaves without an answer has the job cancelled, and one whose connection was lost asks
for answers that may have been lost with it: see `_control`.
"""

from __future__ import annotations

import math
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import anyio
import msgspec

from walnats_anyio._events._arguments import check_number
from walnats_anyio._events._control import Control, encode_control, subject_of
from walnats_anyio._events._event_with_response import EventWithResponse
from walnats_anyio._events._headers import (
    HEADER_ACTOR,
    HEADER_ERROR,
    HEADER_REPLY,
    HEADER_TIMEOUT,
    NO_TIMEOUT,
    add_headers,
)
from walnats_anyio._events._schedules import LEAD
from walnats_anyio._link import (
    ActorError,
    ConnectionLostError,
    EmitError,
    HeaderError,
    Link,
    Message,
    PendingRequest,
    Refusal,
    ServerError,
    Subscription,
    is_answer,
    is_no_responders,
    pub,
)

if TYPE_CHECKING:
    from walnats_anyio._events._emitter import Emitter, EventOnWire, Outgoing

LOOK_AFTER = 0.25
"""Seconds without an answer after which the stream is asked who its actors are."""

LOOK_BEFORE = 0.1
"""Seconds before the caller's time is over at which it is asked once more, to tell the caller."""

ANSWERED_WITHIN = 5.0
"""Seconds that such a question is waited for."""

MAX_NAMED = 5
"""Actors that an error names."""


class _Place(msgspec.Struct):
    stream_seq: int = 0


class _Consumer(msgspec.Struct):
    """What the server says about a consumer."""

    name: str
    delivered: _Place
    num_waiting: int = 0
    """Pull requests that wait for events."""


class _Consumers(msgspec.Struct):
    total: int
    consumers: list[_Consumer] | None = None


_decoder = msgspec.json.Decoder(_Consumers)


class _Ack(msgspec.Struct):
    """What a stream says when it has an event (ADR-22)."""

    seq: int = 0
    duplicate: bool = False


_ack_decoder = msgspec.json.Decoder(_Ack)


class Asking:
    """One request that waits for its response.

    A context manager: to leave it without an answer cancels the event.
    """

    __slots__ = (
        "_began", "_event", "_give_up_at", "_given_uid", "_message", "_on_wire", "_outgoing",
        "_requests", "_sent_at", "_sequence", "_spot", "_stored", "_timeout", "consumers", "error",
        "reply", "uid",
    )  # fmt: skip

    def __init__(
        self,
        requests: Requests,
        event: EventWithResponse[Any, Any],
        reply: bytes,
        uid: str | None,
        timeout: float | None,
    ) -> None:
        self.reply = reply
        """The subject of the response."""
        self.uid = reply.decode().partition(".")[2] if uid is None else uid
        """Identifies the request: an acknowledgement that is lost must not run it twice."""
        self.error: Exception | None = None
        """Why there will be no response."""
        self.consumers: list[_Consumer] | None = None
        """The actors of the event, once the stream was asked."""
        self._requests = requests
        self._event = event
        self._given_uid = uid is not None
        self._timeout = timeout
        self._began = requests.link.now()
        self._give_up_at = math.inf if timeout is None else self._began + timeout
        self._message: Message | None = None
        self._stored = False
        self._sequence = 0
        """The number of the event in its stream; 0 as long as that is not known."""
        self._on_wire: EventOnWire | None = None
        self._outgoing: Outgoing | None = None
        self._sent_at = 0.0
        self._spot = requests.link.new_spot()

    def __enter__(self) -> Asking:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._requests.forget(self)
        outgoing = self._outgoing
        if outgoing is None or self._on_wire is None:
            return
        if self._message is None and self.error is None:
            self._requests.control("cancel", self.reply, self._on_wire.stream)
            # Nobody is to hear of this end, so it is told here and not at the next `flush`.
            outgoing.give_up("its caller does not wait any more")
        outgoing.tell(None)

    def _seconds_left(self) -> float:
        """How long the caller waits: until the nearest deadline of its scopes counts."""
        scope = anyio.current_effective_deadline() - anyio.current_time()
        return scope if self._timeout is None else min(scope, self._timeout)

    @property
    def stream(self) -> str | None:
        """The stream of its event, once that was handed over."""
        return None if self._on_wire is None else self._on_wire.stream

    # called by the link

    def wake(self) -> None:
        """The stream has acknowledged the event, or does not take it."""
        outgoing = self._outgoing
        assert outgoing is not None
        if outgoing.error is not None:
            self.fail(outgoing.error)
            return
        self._requests.emitter.confirmed.add(outgoing.event.name)
        ack = _read_ack(outgoing.said)
        self._stored = True
        if outgoing.event is self._on_wire:
            self._sequence = ack.seq
        # Sent twice, it may be its own duplicate.
        if ack.duplicate and self._given_uid and outgoing.sent_at == self._sent_at:
            name, uid = self._event.name, self.uid
            self.fail(
                EmitError(
                    f"event {name!r} was not accepted: its stream has one with uid={uid!r} "
                    "already, and that is answered to its own caller: request with another uid"
                )
            )

    def answered(self, message: Message) -> None:
        """An answer came."""
        self._message = message
        self._spot.wake()

    def fail(self, error: Exception) -> None:
        """There will be no answer."""
        if self._message is None and self.error is None:
            self.error = error
            self._spot.wake()

    # called by the task that waits

    def addressed(self, headers: bytes, delay: float | None) -> bytes:
        """Add to the headers of an event where its response goes, and how long that is waited for.

        Args:
            headers: the block of them.
            delay: seconds until it is due, where it waits in the server until then.

        Raises:
            ValueError: its `meta` has one of these headers.
        """
        # Its stream stores it a moment before it is due.
        left = self._seconds_left() - (0.0 if delay is None else max(0.0, delay - LEAD))
        own = {
            HEADER_REPLY: self.reply.decode(),
            HEADER_TIMEOUT: NO_TIMEOUT if left == math.inf else f"{max(0.0, left):.6f}",
        }
        return add_headers(headers, own)

    def sent(self, event: EventOnWire, outgoing: Outgoing) -> None:
        """The event was handed over; as another one, if it waits in the server first."""
        self._on_wire, self._outgoing = event, outgoing
        self._sent_at = outgoing.sent_at
        outgoing.tell(self)

    async def response(self) -> bytes:
        """Wait for the response.

        Raises:
            ActorError: the actor failed for good, or there is none.
            EmitError: the stream did not take the event.
            TimeoutError: there was no answer in time; it says what is known.
            ConnectionLostError: the link is closed for good.
        """
        for moment in self._moments():
            await self._wait_until(moment)
            if self._message is not None or self.error is not None:
                break
            if moment >= self._give_up_at:
                raise TimeoutError(self._why_late())
            self._look()
        if self._message is not None:
            return self._read(self._message)
        assert self.error is not None
        raise self.error

    def _moments(self) -> list[float]:
        """When to look, and when it is over."""
        looks = [self._began + LOOK_AFTER, self._give_up_at - LOOK_BEFORE]
        return [*(at for at in looks if at < self._give_up_at), self._give_up_at]

    async def _wait_until(self, moment: float) -> None:
        now = self._requests.link.now
        while self._message is None and self.error is None:
            with anyio.move_on_after(moment - now()):
                await self._spot.wait()
            # A mock clock may have jumped, while the server had no time at all.
            if now() >= moment:
                return

    def _look(self) -> None:
        outgoing, event = self._outgoing, self._on_wire
        assert outgoing is not None
        assert event is not None
        emitter = self._requests.emitter
        if not outgoing.command:
            self._requests.look(event, self)
        elif outgoing.event.name not in emitter.confirmed:
            # Without a stream nobody refuses it, when anybody else listens to its subject.
            emitter.look_for_stream(outgoing)

    def _read(self, message: Message) -> bytes:
        try:
            headers = message.headers if message.header else {}
        except HeaderError:
            headers = {}
        failed = headers.get(HEADER_ERROR)
        if failed is None:
            return message.data
        actor, event = headers.get(HEADER_ACTOR, ""), self._event.name
        error = message.data.decode(errors="replace")
        raise ActorError(
            f"event {event!r}: actor {actor!r} failed: {failed}" + (f": {error}" if error else ""),
            event=event,
            actor=actor,
            error_type=failed,
            error=error,
        )

    def _why_late(self) -> str:
        late = f"event {self._event.name!r} was not answered within {self._timeout:g} s"
        trouble = self._requests.link.trouble
        if trouble:
            return f"{late}: not connected: {trouble}"
        if self._stored and not self._sequence:
            return f"{late}: it waits in the server, or was due, and nobody has answered"
        if not self._sequence:
            return f"{late}: its stream has not acknowledged it"
        return f"{late}: it was stored as number {self._sequence}, and {self._who_has_it()}"

    def _who_has_it(self) -> str:
        if self.consumers is None:
            return "who handles it is not known"
        took = [each.name for each in self.consumers if each.delivered.stream_seq >= self._sequence]
        if took:
            return f"delivered to {_named(took)}: its job waits, runs, or is to be tried again"
        names = _named([each.name for each in self.consumers])
        if any(each.num_waiting for each in self.consumers):
            return f"not delivered yet, though {names} takes events"
        return f"not delivered: no process takes events of {names} now"


class ActorsLook(PendingRequest):
    """Asks who the actors of an event are, for requests that wait for an answer."""

    _requests: Requests
    _event: EventOnWire
    waiting: list[Asking] = msgspec.field(default_factory=list[Asking])

    def is_optional(self) -> bool:
        return True  # without it a request runs into its timeout, and says less

    def answered(self, message: Message) -> None:
        if not is_no_responders(message) and not is_answer(message):
            self._requests.link.keep_waiting(self)
            return
        self._requests.looked(self._event, self, _read_consumers(message.data))

    def failed(self, reason: Exception) -> None:
        self._requests.looked(self._event, self, None)


class Requests:
    """The requests of one connection."""

    def __init__(self, link: Link, emitter: Emitter) -> None:
        self.link = link
        self.emitter = emitter
        self._inbox: Subscription | None = None
        self._prefix = b""
        self._serial = 0
        self._asking: dict[bytes, Asking] = {}
        self._looks: dict[str, ActorsLook] = {}
        self._refused: Exception | None = None
        self._has_heard = False
        """Whether something has come to the inbox over this connection."""

    def __len__(self) -> int:
        return len(self._asking)

    def begin(
        self, event: EventWithResponse[Any, Any], uid: str | None, timeout: float | None
    ) -> Asking:
        """Begin a request. Never blocks.

        Raises:
            ConnectionLostError: the link is closed for good.
            ServerError: this user may not receive answers.
        """
        if self.link.closed is not None:
            raise ConnectionLostError(str(self.link.closed)) from self.link.closed
        if self._refused is not None:
            raise self._refused
        if self._inbox is None:
            inbox = self.link.new_inbox()
            self._prefix = b"%b." % inbox
            self._inbox = self.link.subscribe_to(self._prefix + b"*", self._on_message)
            self.link.watch(self)
        self._serial += 1
        reply = b"%b%d" % (self._prefix, self._serial)
        self._asking[reply] = asking = Asking(self, event, reply, uid, timeout)
        return asking

    def forget(self, asking: Asking) -> None:
        """It waits no longer; an answer that comes later is ignored."""
        self._asking.pop(asking.reply, None)

    def control(self, what: Literal["cancel", "answer"], reply: bytes, stream: str) -> None:
        """Say what is to be done with a request, wherever it is. Never blocks."""
        if self.link.closed is None:
            payload = encode_control(Control(what=what, reply=reply.decode()))
            self.link.post(pub(subject_of(stream, self.link.prefixes), payload))

    def look(self, event: EventOnWire, asking: Asking) -> None:
        """Find out who the actors of an event are; the request fails if there are none."""
        look = self._looks.get(event.name)
        if look is None:
            self._looks[event.name] = look = ActorsLook(self, event)
            look.reply = self.link.new_reply()
            subject = self.link.prefixes.api_subject(f"CONSUMER.LIST.{event.stream}")
            look.command = pub(subject, b"", look.reply)
            look.expires_at = self.link.now() + ANSWERED_WITHIN
            self.link.send(look)
        look.waiting.append(asking)

    def looked(self, event: EventOnWire, look: ActorsLook, found: _Consumers | None) -> None:
        """The stream has said who its actors are; None: it has not."""
        self._looks.pop(event.name, None)
        if found is None:
            return
        for asking in look.waiting:
            asking.consumers = found.consumers or []
            if not found.total:
                asking.fail(
                    ActorError(
                        f"event {event.name!r}: no actor is registered for it, so nobody answers: "
                        "register one (await conn.register())",
                        event=event.name,
                    )
                )

    def close(self) -> None:
        """The connection is being left."""
        if self._inbox is not None:
            self.link.unwatch(self)
            self.link.forget(self._inbox)
            self._inbox = None
        self._fail_all(ConnectionLostError("the connection has been left"))

    def _on_message(self, message: Message) -> None:
        self._has_heard = True
        asking = self._asking.pop(message.subject, None)
        if asking is not None:
            asking.answered(message)

    def _fail_all(self, error: Exception) -> None:
        for asking in list(self._asking.values()):
            asking.fail(error)

    # as a watcher of the link

    def on_disconnect(self) -> None:
        """The response comes after the reconnect, or the caller's time is over."""
        self._has_heard = False

    def on_reconnect(self) -> None:
        """The link has subscribed again; what was answered before that is lost."""
        for asking in self._asking.values():
            if (stream := asking.stream) is not None:
                self.control("answer", asking.reply, stream)

    def on_close(self) -> None:
        """There will be no answer any more."""
        self._fail_all(ConnectionLostError(str(self.link.closed)))

    def on_refusal(self, refusal: Refusal) -> None:
        """The server does not let us do something; perhaps receive answers."""
        subject = (refusal.subject or "").encode()
        if refusal.operation == "subscribe" and self._prefix and subject.startswith(self._prefix):
            self._refused = ServerError(
                f"{refusal}. Or pass inbox_prefix, if there is another subject under which this "
                "user may receive answers"
            )
            self._fail_all(self._refused)
        elif refusal.operation == "subscribe" and refusal.subject is None and not self._has_heard:
            # Too many subscriptions: the server does not say which one. The next request tries it.
            inbox, self._inbox = self._inbox, None
            self.link.unwatch(self)
            if inbox is not None:
                self.link.forget(inbox)
            self._fail_all(ServerError(f"no response can come: {refusal}"))


def check_request(event: object, timeout: float | None) -> None:
    """Refuse what cannot be requested.

    Raises:
        TypeError: the event has no response, or `timeout` is no number.
        ValueError: `timeout` is no time.
    """
    if not isinstance(event, EventWithResponse):
        raise TypeError(
            f"request takes an event with a response, not {event!r}: make one with "
            "Event(...).with_response(schema)"
        )
    check_number("timeout", timeout)
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout must be None or seconds over 0, not {timeout!r}")


def _read_ack(data: bytes) -> _Ack:
    try:
        return _ack_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Ack()


def _read_consumers(data: bytes) -> _Consumers | None:
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # an error, or nobody answers


def _named(actors: list[str]) -> str:
    """Actors by their consumers."""
    names = ", ".join(map(repr, actors[:MAX_NAMED]))
    more = f" and {len(actors) - MAX_NAMED} more" if len(actors) > MAX_NAMED else ""
    return f"{'actor' if len(actors) == 1 else 'actors'} {names}{more}"
