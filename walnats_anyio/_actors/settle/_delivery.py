"""One message that the server entrusted to this process, and all that one actor holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import msgspec

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.declare._contexts import Context, key_of
from walnats_anyio._actors.settle._attempts import Attempts
from walnats_anyio._actors.settle._copies import Origin
from walnats_anyio._actors.settle._notes import Note
from walnats_anyio._actors.settle._summary import Counts
from walnats_anyio._actors.settle._verdict import (
    Ack,
    Cancelled,
    Final,
    HandBack,
    Nak,
    Outcome,
    Postponed,
    Superseded,
    Term,
    to_wire,
)
from walnats_anyio._events import (
    HEADER_TRACE,
    BaseEvent,
    EmitMiddleware,
    Encoded,
    HeldEmitter,
    Meta,
    check_event,
    timing_of,
)
from walnats_anyio._link import (
    HeaderError,
    Link,
    Message,
    ServerError,
    pub,
    takes_reason_of_term,
)

if TYPE_CHECKING:
    from walnats_anyio._actors.settle._callers import Caller

CONFIRM_WITHIN = 30.0
"""Seconds that the confirmation of an acknowledgement is waited for."""


class Delivery(msgspec.Struct, eq=False):
    """One message that the server entrusted to this process.

    It ends with `settle`, which is the only way in which NATS is told anything final of it: by the
    worker, by the stop, by the clock, or as it is refused. Each calls it with a verdict that the
    table (`decide`) gave. As a Struct it is made in half the time of a class with `__init__`.
    """

    deliveries: Deliveries
    """Those of the actor that it is for."""

    message: Message
    """What came."""

    tick: int
    """The round of the clock in which it came."""

    redelivered: bool = False
    """Whether its event was delivered to this actor before."""

    attempt: int = 1
    """Which attempt of its event this is; known once `Attempts.look_up` has been asked."""

    looked_up: bool = False
    """Whether that has been asked."""

    alone: bool = False
    """Whether nothing else may run beside it, as it may be what killed its process."""

    deaths: int = 0
    """Earlier deliveries of it that ended without a word."""

    settled: Final | None = None
    """What NATS was told; None as long as it is held."""

    place: tuple[str, int] | None = None
    """What identifies the event, and how often it was delivered; known once that was asked for."""

    decoded: Any = None
    """The decoded message, once its job has begun."""

    emits: list[Encoded] | tuple[()] | None = None
    """What the handler has emitted, to be sent when it has returned; a tuple when that is over."""

    caller: Caller | None = None
    """Who waits for its response; known once that was asked for."""

    ends: Outcome | None = None
    """What it means when its scope is cancelled: CANCELLED or OVERDUE; None: `job_timeout`."""

    origin: Origin | None = None
    """What it says of itself, if it is a copy that has waited for a retry."""

    moved: Note | None = None
    """The note that a copy takes its place, or that none does any more, once there is one."""

    def __repr__(self) -> str:
        state = "held" if self.settled is None else f"settled: {self.settled}"
        try:
            about = self.message.metadata
        except ValueError:  # a stranger's message
            return f"<Delivery {self.message.reply.decode(errors='replace')}, {state}>"
        return (
            f"<Delivery of {about.stream!r} to {about.consumer!r}, sequence "
            f"{about.sequence.stream}, delivery {about.num_delivered}, {state}>"
        )

    def settle(self, verdict: Final) -> None:
        """Tell NATS what becomes of it. Never blocks.

        Raises:
            RuntimeError: it is settled already, which is a defect.
        """
        if self.settled is not None:
            raise RuntimeError(f"{self!r} cannot be settled again with {verdict}")
        self.settled = verdict
        deliveries = self.deliveries
        if type(verdict) is Ack and deliveries.held.pop(self, self) is None:
            # The hot path stands here, as a call more is 2 % of an event. `to_wire` says that an
            # acknowledgement has no payload.
            deliveries.post(b"PUB %b 0\r\n\r\n" % self.message.reply)
            deliveries.counts.handled += 1
            deliveries.released()
        else:
            deliveries.on_settled(self, verdict)

    def acknowledged(self) -> None:
        """Called when the server has confirmed its acknowledgement, where that is waited for."""

    # what the job is told, see `Job`

    @property
    def trace_id(self) -> str | None:
        """The `trace_id` that the event was emitted with."""
        try:
            return self.message.headers.get(HEADER_TRACE) or None
        except HeaderError:
            return None

    @property
    def state(self) -> Any:
        """What the lifespan of `listen` yielded."""
        return self.deliveries.state

    def context(self) -> Context:
        """What `current_context` gives."""
        actor = self.deliveries.actor
        message = self.decoded if actor.batch is None else [self.decoded]
        return Context(actor, self.message, self.attempt, message, _job=self)

    def contexts(self) -> tuple[Context, ...]:
        """The contexts of the events of a batch."""
        return () if self.deliveries.actor.batch is None else (self.own_context(),)

    def own_context(self) -> Context:
        """The context of this event as one of a batch."""
        actor = self.deliveries.actor
        return Context(actor, self.message, self.attempt, self.decoded, _job=self, _is_member=True)

    def hold(
        self,
        event: BaseEvent[Any],
        message: Any,
        uid: str | None,
        trace_id: str | None,
        meta: Meta,
        delay: float | None = None,
        at: datetime | None = None,
        ttl: float | None = None,
    ) -> None:
        """Keep an emit until the handler has returned; see `Context.emit`."""
        check_event(event)
        if self.settled is not None or isinstance(self.emits, tuple):
            raise RuntimeError(
                f"event {event.name!r} cannot be emitted with a job that has ended: emit it before "
                "the handler returns, or at once with ConnectedEvents.emit"
            )
        if self.emits is None:
            self.emits = []
        if uid is None:
            uid = f"{key_of(self.message.metadata)}:{len(self.emits) + 1}"
        trace = self.trace_id if trace_id is None else trace_id
        deliveries = self.deliveries
        timing = None
        if delay is not None or at is not None or ttl is not None:
            timing = timing_of(delay, at, ttl, deliveries.link.wall())
        around = deliveries.around_emit
        self.emits.append(
            deliveries.emitter.encode(event, message, uid, trace, meta, around, timing)
        )


class Deliveries:
    """The deliveries that one actor holds, waiting or running."""

    def __init__(
        self,
        actor: Actor[Any, Any],
        link: Link,
        attempts: Attempts,
        counts: Counts,
        emitter: HeldEmitter,
    ) -> None:
        self.actor = actor
        self.state: Any = None
        """What the lifespan of `listen` yielded."""
        self.emitter = emitter
        """Sends what handlers emit with their jobs."""
        self.around_emit = tuple(
            middleware for middleware in actor.middlewares if isinstance(middleware, EmitMiddleware)
        )
        self.held: dict[Delivery, object] = {}
        """In the order in which they came."""
        self.released: Callable[[], None]
        """Called when one is not held any more."""
        self.cancelled: Callable[[], None] = _nothing
        """Called when one was settled that somebody has cancelled."""
        self.tick = 0
        """Rounds of the clock so far."""
        self._attempts = attempts
        self.counts = counts
        self.link = link
        """The connection that they came over."""
        self.post = link.post
        self._parked: list[float] = []
        """When the events come again that were given back with a delay: a heap."""

    def release(self) -> None:
        """Forget all but what a context that outlives its job tells."""
        actor, state = self.actor, self.state
        vars(self).clear()
        self.actor, self.state = actor, state

    @property
    def parked(self) -> int:
        """How many events wait at the server for their next attempt, as far as is known here."""
        now = self.link.now()
        while self._parked and self._parked[0] <= now:
            heappop(self._parked)
        return len(self._parked)

    @property
    def is_crowded(self) -> bool:
        """Whether one more that waits for its next attempt makes it over half of the places."""
        half = self.actor.most_pending / 2
        # Those whose time is over are still among them, so the sure answer is a cheap one.
        return len(self._parked) + 1 > half and self.parked + 1 > half

    def renew(self, delivery: Delivery) -> Delivery:
        """Hold a delivery for another run here; what its first run left behind ends.

        The server is told nothing. What was emitted, and is yet emitted, with the first run is not
        sent.
        """
        anew = msgspec.structs.replace(delivery, decoded=None, emits=None)
        del self.held[delivery]
        self.held[anew] = None
        delivery.settled = HandBack(0.0)
        return anew

    def turn_away(self, message: Message, verdict: Ack | HandBack | Superseded) -> None:
        """A message came that is not to be handled here."""
        Delivery(self, message, self.tick).settle(verdict)

    def on_settled(self, delivery: Delivery, verdict: Final) -> None:
        """Called by `Delivery.settle`, but for an acknowledgement of what is held."""
        held = self.held.pop(delivery, self) is None
        reply = delivery.message.reply
        match verdict:
            case Ack() | Superseded():
                self.post(pub(reply, to_wire(verdict)))
            case Postponed(failed):
                self.post(pub(reply, to_wire(verdict)))
                self.counts.postponed += 1
                self.counts.failed += failed
                self.counts.handed_back += not failed
            case Nak() | HandBack():
                # First the note, so that whoever gets it next can read how many attempts it had.
                self.post(self._attempts.note(delivery, failed=isinstance(verdict, Nak)))
                self.post(pub(reply, to_wire(verdict)))
                if verdict.delay:
                    heappush(self._parked, self.link.now() + verdict.delay)
                if isinstance(verdict, Nak):
                    self.counts.failed += 1
                else:
                    self.counts.handed_back += held
            case Cancelled():
                self.post(pub(reply, to_wire(verdict)))
                self.counts.cancelled += 1
                self.cancelled()
            case Term():
                told = verdict if takes_reason_of_term(self.link) else Term("")
                self.post(pub(reply, to_wire(told)))
                self.counts.dead_lettered += 1
        if held:
            self.released()

    async def confirm(self, delivery: Delivery) -> str | None:
        """Acknowledge, again and again until the server confirms it; gives what went wrong.

        The delivery is held until then, and so its `ack_wait` is prolonged.
        """
        try:
            answer = await self.link.request(delivery.message.reply, timeout=CONFIRM_WITHIN)
            return answer.status.code or None
        except (ServerError, HeaderError) as error:
            return str(error)
        finally:
            # Not settled by the end of `listen` in the meantime.
            if delivery.settled is None:
                delivery.settled = Ack()
                del self.held[delivery]
                self.counts.handled += 1
                self.released()
                delivery.acknowledged()

    def pulse(self) -> None:
        """Prolong the `ack_wait` of what is held."""
        # What came since the last round has most of it left.
        before = self.tick - 1
        post = self.link.post_transient
        for delivery in self.held:
            if delivery.tick < before:
                post(b"PUB %b 4\r\n+WPI\r\n" % delivery.message.reply)


def _nothing() -> None:
    """Nobody waits for it."""
