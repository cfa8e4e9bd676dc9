"""What handlers, hooks and decorators are told about a job."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, cast

from walnats_anyio._events import (
    HEADER_TRACE,
    BaseEvent,
    CloudEvent,
    Meta,
    cloud_event_of,
    current_job,
    meta_of,
)
from walnats_anyio._link import HeaderError, Message, Metadata

if TYPE_CHECKING:
    from walnats_anyio._actors.declare._actor import Actor


class Job(Protocol):
    """The job that a context tells of, as long as it runs."""

    @property
    def trace_id(self) -> str | None:
        """The `trace_id` of its event."""
        ...

    @property
    def state(self) -> Any:
        """What the lifespan of `listen` yielded."""
        ...

    def context(self) -> Context:
        """What it is told."""
        ...

    def contexts(self) -> tuple[Context, ...]:
        """Those of the events of a batch; none for an actor without batches."""
        ...

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
        """Keep an emit until the handler has returned."""
        ...


@dataclasses.dataclass(frozen=True)
class BaseContext:
    """What every kind of context has."""

    actor: Actor[Any, Any]
    """The actor whose job it is."""

    _received: Message
    """What NATS delivered."""

    attempts: int
    """Which attempt this is, from 1: the runs of the handler for this event, this one included.

    Runs that a stop cut short and gave back to the server are not counted.
    """

    _: dataclasses.KW_ONLY

    _job: Job = dataclasses.field(repr=False, compare=False)
    """What it tells of."""

    _is_member: bool = dataclasses.field(default=False, repr=False, compare=False)
    """Whether it tells of one event of a batch, rather than of the batch."""

    @property
    def batch(self) -> tuple[Context, ...]:
        """The contexts of the events of a batch, in the order of the messages.

        Empty where the actor has no `batch`. Of the batch itself, `metadata`, `seq_number`,
        `headers` and `attempts` are those of the first event, and `trace_id` is the one that all of
        them share, or None.
        """
        return () if self._is_member else self._job.contexts()

    @property
    def event(self) -> BaseEvent[Any]:
        """The event that is handled: the declaration."""
        return self.actor.event

    @property
    def metadata(self) -> Metadata:
        """What JetStream says about this delivery: sequences, timestamp, stream, consumer."""
        return self._received.metadata

    @property
    def seq_number(self) -> int:
        """The number of the event in its stream."""
        return int(self.metadata.sequence.stream)

    @property
    def trace_id(self) -> str | None:
        """The `trace_id` that the event was emitted with."""
        if self._is_of_batch:
            return self._job.trace_id
        return self.headers.get(HEADER_TRACE) or None

    @property
    def headers(self) -> dict[str, str]:
        """All headers of the event; empty where they are malformed, which gives the event up."""
        try:
            return self._received.headers
        except HeaderError:
            return {}

    @property
    def meta(self) -> dict[str, str]:
        """The headers of the event that are not the library's own or the server's.

        Those are what begins with `Nats-` or `Walnats-`. What `meta` was when the event was
        emitted, with what middlewares added; a `CloudEvent` as its headers.
        """
        return meta_of(self.headers)

    @property
    def cloud_event(self) -> CloudEvent | None:
        """The CloudEvents attributes of the event, in either mode; None where it has none.

        Read at each access.

        Raises:
            ValueError: there are some, and they are not what CloudEvents 1.0 allows: one that is
                required is missing, a time is no time, ... `meta` still has the headers.
        """
        return cloud_event_of(self.headers, self._received.data)

    @property
    def state(self) -> Any:
        """What the `lifespan` of the `Actors` has yielded; None without a lifespan."""
        return self._job.state

    @property
    def idempotency_key(self) -> str:
        """What identifies this delivery for other systems: the same in all of its attempts.

        Made of stream, sequence, the time at which the stream stored the event, and actor. An event
        that is emitted or requeued once more has another one.

        Raises:
            RuntimeError: it is the context of a batch, which may have other events the next time:
                take the keys of those in `batch`.
        """
        if self._is_of_batch:
            raise RuntimeError(
                "a batch has no idempotency_key, as its events may come again with others: use the "
                "key of each event, [each.idempotency_key for each in context.batch]"
            )
        return key_of(self.metadata)

    @property
    def _is_of_batch(self) -> bool:
        return self.actor.batch is not None and not self._is_member


def key_of(metadata: Metadata) -> str:
    """What identifies a delivery for other systems; see `idempotency_key`."""
    stored = f"{metadata.timestamp:%Y%m%dT%H%M%S.%f}"
    return f"{metadata.stream}:{metadata.sequence.stream}:{stored}:{metadata.consumer}"


@dataclasses.dataclass(frozen=True)
class Context(BaseContext):
    """A job starts, or runs."""

    message: Any
    """The decoded message; None where it could not be decoded, and in its hooks."""

    async def emit(
        self,
        event: BaseEvent[Any],
        message: Any,
        *,
        uid: str | None = None,
        trace_id: str | None = None,
        delay: float | None = None,
        at: datetime | None = None,
        ttl: float | None = None,
        meta: Meta = None,
    ) -> None:
        """Emit an event once this attempt has succeeded, and once for all attempts.

        The message is encoded now and held. When the handler has returned, all that it emitted here
        is sent, in order, and acknowledged by the streams; then the event that it handled is. An
        attempt that fails sends nothing. The stream drops what an earlier attempt has sent already,
        as a second attempt repeats the same `uid`s, if that is within the `dedup_window` of the
        event emitted. That needs the same emits in the same order in every attempt: give `uid`
        where the order changes.

        Never blocks. The event needs no registry and is registered elsewhere; where it is not, or
        its stream refuses the message, the attempt fails with an `EmitError`.

        Args:
            event: the event to emit.
            message: of the event's schema.
            uid: what identifies this message. None: `idempotency_key` and a running number. In a
                batch without `uid`, emit with the context of the event that it follows from:
                `current_context().batch[0].emit(...)`.
            trace_id: the trace this belongs to. None: that of the event that is handled. An empty
                text: none.
            delay: seconds from this call until the event is due; see `ConnectedEvents.emit`.
            at: the moment when it is due, with a time zone.
            ttl: seconds after which it is removed, counted from when it is due. Where its stream
                takes none, the attempt fails with an `EmitError`.
            meta: further headers, or a `CloudEvent`. Its `id` does not become the `uid` here.

        Raises:
            TypeError: the message is not of the event's schema, or `event` is not an event.
            ValueError: a header cannot be sent, `uid` is missing in a batch, a time is out of
                range, `at` has no time zone, or both `delay` and `at` are given.
            MessageTooLargeError: the encoded message is larger than the server takes.
            RuntimeError: the job has ended.
        """
        self.emit_nowait(
            event, message, uid=uid, trace_id=trace_id, delay=delay, at=at, ttl=ttl, meta=meta
        )

    def emit_nowait(
        self,
        event: BaseEvent[Any],
        message: Any,
        *,
        uid: str | None = None,
        trace_id: str | None = None,
        delay: float | None = None,
        at: datetime | None = None,
        ttl: float | None = None,
        meta: Meta = None,
    ) -> None:
        """The same as `emit`, for plain functions: also from the thread of a handler."""
        if uid is None and self._is_of_batch:
            raise ValueError(
                "emit needs a uid in a batch, as its events may come again with others: give one, "
                "or emit with the context of the event that this follows from, as in "
                "current_context().batch[0].emit(...)"
            )
        self._job.hold(event, message, uid, trace_id, meta, delay, at, ttl)


@dataclasses.dataclass(frozen=True)
class ErrorContext(BaseContext):
    """A job failed."""

    message: Any
    """The decoded message; None where it could not be decoded."""

    exception: BaseException
    """What the handler raised, or a `TimeoutError` where the job took too long."""

    duration: float = 0.0
    """Seconds that the handler took; 0 where it was not run."""


@dataclasses.dataclass(frozen=True)
class OkContext(BaseContext):
    """A job succeeded."""

    message: Any
    """The decoded message."""

    duration: float
    """Seconds that the handler took."""


def current_context() -> Context:
    """Give the context of the job that runs.

    Works in handlers with `ExecuteIn.MAIN` and `THREAD`, in what they call and in tasks that they
    start, in hooks of middlewares and in decorators. Never blocks; each call makes a new object.

    Raises:
        LookupError: no job runs here: it is called outside of a handler, or in a handler with
            `ExecuteIn.PROCESS`.
    """
    job = current_job.get()
    if job is None:
        raise LookupError(
            "there is no current context, as no job of an actor runs here: call current_context() "
            "in a handler (with ExecuteIn.MAIN or THREAD), a hook or a decorator"
        )
    return cast("Job", job).context()
