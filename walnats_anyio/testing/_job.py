"""One job of an actor, as `listen` runs it, without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.run import (
    BatchJobs,
    Executors,
    Jobs,
    Pace,
    Scheduler,
    Worker,
    Workers,
    worker_tasks,
)
from walnats_anyio._actors.settle import (
    Ack,
    Attempts,
    Cancelled,
    Conclusion,
    Counts,
    Deliveries,
    Delivery,
    HandBack,
    Hooks,
    JobResult,
    Nak,
    Postponed,
    Superseded,
    Term,
)
from walnats_anyio._events import (
    BaseEvent,
    EmitMiddleware,
    Encoded,
    HeldEmitter,
    Meta,
    Timing,
    as_answered,
    decode_message,
)
from walnats_anyio._events._arguments import check_count, check_type
from walnats_anyio._events._held import encode
from walnats_anyio._letters import DeadLetter
from walnats_anyio._link import Link, Message, parse_headers
from walnats_anyio._link._options import ConnectOptions
from walnats_anyio._link._parking import current_backend
from walnats_anyio.testing._emitted import EmittedMessage

T = TypeVar("T")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
"""When the event was emitted, unless told otherwise; a `MemoryServer` begins then, too."""

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class JobRun:
    """What became of one job."""

    verdict: Literal["ack", "retry", "dead letter", "hand back"]
    """What becomes of the event.

    `"ack"`: it is done with. `"retry"`: it comes again, after `delay`. `"dead letter"`: it is given
    up. `"hand back"`: it comes again, and the attempt does not count, as it was cut short.
    """

    delay: float | None = None
    """Seconds until the next attempt, with `"retry"`; None otherwise."""

    error: BaseException | None = None
    """What the handler raised, or a `TimeoutError` where the job took too long."""

    emitted: tuple[EmittedMessage[Any], ...] = ()
    """What it emitted with `Context.emit`, in order; nothing where the attempt has failed."""

    reason: str | None = None
    """Why the event is given up, with `"dead letter"`: a value of `Reason`."""

    letter: DeadLetter | None = None
    """The dead letter, with `"dead letter"`, if the actor keeps them."""

    response: Any = None
    """What the caller of a request gets; None where there is no response."""

    def emitted_of(self, event: BaseEvent[T]) -> list[T]:
        """The messages of one event that it emitted, in order."""
        return [each.message for each in self.emitted if each.event == event]


async def run_job(
    actor: Actor[T, Any],
    message: T,
    *,
    attempt: int = 1,
    state: Any = None,
    uid: str | None = None,
    trace_id: str | None = None,
    meta: Meta = None,
    seq_number: int = 1,
    emitted_at: datetime = BEGIN,
) -> JobRun:
    """Run one job of an actor as `listen` does, without any server, and say what becomes of it.

        run = await run_job(SEND_EMAIL, user, attempt=3)
        assert run.verdict == "retry" and run.delay == 2

    The message is encoded and decoded; the handler runs where the actor says, in a context of its
    own, with its middlewares around it and `job_timeout` as its deadline. What it emits with
    `Context.emit` is kept, and sent nowhere. What it emits with a connection of its own is not
    seen. Blocks until the job has ended.

    Args:
        actor: the actor.
        message: of the schema of its event. An actor with `batch` gets a list of it alone.
        attempt: which attempt it is, from 1 to the actor's `max_attempts`.
        state: what the lifespan yields: `current_context().state`.
        uid: the `uid` that the event was emitted with.
        trace_id: the `trace_id` that it was emitted with.
        meta: its further headers, or a `CloudEvent`.
        seq_number: the number of the event in its stream.
        emitted_at: when the stream took it, with a time zone.

    Raises:
        TypeError: the message is not of the event's schema, or another argument of a wrong type.
        ValueError: there is no such attempt, or a header that cannot be sent.
    """
    check_type("the first argument of run_job", actor, Actor)
    check_count("attempt", attempt, actor.max_attempts)
    check_count("seq_number", seq_number)
    if emitted_at.tzinfo is None:
        raise ValueError(f"emitted_at needs a time zone, such as datetime.UTC: {emitted_at!r}")
    reply = (
        f"$JS.ACK.{actor.event.stream_name}.{actor.consumer_name}.{attempt}.{seq_number}."
        f"{attempt}.{(emitted_at - EPOCH) // MICROSECOND * 1000}.0"
    )
    payload, header = encode(actor.event, message, uid, trace_id, meta, ())
    received = Message(
        sid=b"1",
        subject=actor.event.subject_name.encode(),
        reply=reply.encode(),
        data=payload,
        header=header,
    )
    return await _Bench(actor, state).run(received, attempt)


class _Bench:
    """Has what a job needs of `listen`, over a link that is never connected."""

    def __init__(self, actor: Actor[Any, Any], state: Any) -> None:
        link = Link(current_backend(), ConnectOptions.of({}))
        self._link = link
        self._executors = Executors(None, None)
        self._pace = pace = Pace(link.new_spot)
        self._tasks: TaskGroup
        attempts, counts = Attempts(actor, link), Counts()
        self._emitter = _KeepingEmitter(link)
        self.deliveries = Deliveries(actor, link, attempts, counts, self._emitter)
        self.deliveries.state = state
        self.deliveries.released = self._released
        self._workers = workers = Workers(
            actor,
            Scheduler(1, _nothing),
            limit=1,
            auto=None,
            resized=_nothing,
            pace=pace,
            attempts=attempts,
            counts=counts,
            backend=link.backend,
            spawn=self._spawn,
            redelivered=_nothing,
            interrupted=_nothing,
        )
        hooks = Hooks(actor, workers.suspending)
        parts = (actor, self._executors, hooks, link.backend, workers.suspending, self._pace)
        if actor.batch is None:
            workers.jobs = Jobs(*parts)
        else:
            workers.jobs = BatchJobs(*parts, handle_alone=_nothing, handle_together=_nothing)
        # There is nobody to confirm anything.
        told = replace(actor, ack="sent")
        self._conclusion = _ObservedConclusion(told, link, self.deliveries, hooks)
        workers.conclusion = self._conclusion
        workers.pause = workers.resume = _nothing
        self._over = anyio.Event()

    async def run(self, received: Message, attempt: int) -> JobRun:
        delivery = Delivery(self.deliveries, received, 0, attempt=attempt, looked_up=True)
        self.deliveries.held[delivery] = None
        async with self._executors, worker_tasks() as self._tasks:
            self._tasks.start_soon(self._pace.let_go_on)
            try:
                self._workers.put(delivery)
                await self._over.wait()
            finally:
                self._pace.stop()
                self._workers.let_go()
            self._tasks.cancel_scope.cancel()
        return self._what_became(delivery)

    def _what_became(self, delivery: Delivery) -> JobRun:
        concluded = self._conclusion
        error = None if concluded.result is None else concluded.result.error
        emitted = tuple(self._emitter.sent)
        match delivery.settled:
            case Ack():
                return JobRun("ack", emitted=emitted, response=self._response())
            case Nak(delay):
                return JobRun("retry", delay, error)
            case Term(why):
                # What the server is told begins with it.
                reason, _, _ = why.partition(":")
                return JobRun("dead letter", error=error, reason=reason, letter=concluded.letter)
            case HandBack() | Cancelled() | Postponed() | Superseded() | None:
                return JobRun("hand back", None, error)

    def _response(self) -> Any:
        event, result = as_answered(self.deliveries.actor.event), self._conclusion.result
        if event is None or result is None or result.response is None:
            return None
        return event.decode_response(result.response)

    def _spawn(self, worker: Worker) -> None:
        self._tasks.start_soon(self._link.backend.uninterrupted(worker.run))

    def _released(self) -> None:
        # Hooks of the end may follow.
        if not self._conclusion.is_running:
            self._over.set()
        else:
            self._conclusion.when_over = self._over.set


class _ObservedConclusion(Conclusion):
    """Notes how the job ended, and keeps its dead letter."""

    def __init__(
        self, actor: Actor[Any, Any], link: Link, deliveries: Deliveries, hooks: Hooks
    ) -> None:
        super().__init__(actor, link, deliveries, hooks, burst=False, write=self._keep)
        self.result: JobResult | None = None
        self.letter: DeadLetter | None = None
        self.is_running = False
        self.when_over: Callable[[], None] = _nothing

    def conclude_at_once(self, delivery: Delivery, result: JobResult) -> bool:
        return False

    async def conclude(self, delivery: Delivery, result: JobResult) -> None:
        self.result, self.is_running = result, True
        try:
            await super().conclude(delivery, result)
        finally:
            self.is_running = False
            self.when_over()

    async def _keep(self, _: Link, letter: DeadLetter) -> None:
        await checkpoint()
        self.letter = letter


class _KeepingEmitter(HeldEmitter):
    """Keeps what is to be sent."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self.sent: list[EmittedMessage[Any]] = []
        self._events: list[tuple[Encoded, BaseEvent[Any]]] = []

    def encode(
        self,
        event: BaseEvent[Any],
        message: Any,
        uid: str | None,
        trace_id: str | None,
        meta: Meta,
        middlewares: Sequence[EmitMiddleware] = (),
        timing: Timing | None = None,
    ) -> Encoded:
        encoded = super().encode(event, message, uid, trace_id, meta, middlewares, timing)
        self._events.append((encoded, event))
        return encoded

    async def send(self, messages: Sequence[Encoded]) -> None:
        await checkpoint()
        for encoded in messages:
            event = next(event for each, event in self._events if each is encoded)
            block = encoded.headers
            if encoded.timed is not None:
                _, block = self.place(encoded, *encoded.timed)
            headers = parse_headers(block) if block else {}
            message = decode_message(event, encoded.payload, headers)
            self.sent.append(EmittedMessage(event, message, headers, encoded.payload))


def _nothing(*_: object) -> None:
    pass
