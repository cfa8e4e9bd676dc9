"""What an actor is: a name, the event it handles, the handler, and how it is run."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args, overload

from walnats_anyio._actors.declare._auto import Auto, MaxJobs, auto_of, check_max_jobs
from walnats_anyio._actors.declare._choices import Batch, ExecuteIn, Priority
from walnats_anyio._actors.declare._fingerprint import (
    FINGERPRINT,
    KNOWS_ACTOR,
    KNOWS_IT,
    fingerprint,
)
from walnats_anyio._actors.declare._handler import check_handler, refusal_of_batches
from walnats_anyio._actors.declare._middleware import Middleware
from walnats_anyio._actors.declare._pickling import check_response_pickles
from walnats_anyio._actors.declare._ratio import Ratio
from walnats_anyio._events import BaseEvent, Event, EventWithResponse, as_answered, in_namespace
from walnats_anyio._events._arguments import (
    check_count,
    check_seconds,
    check_type,
    size_of_text,
)
from walnats_anyio._link import Prefixes, check_in_namespace, check_name

T = TypeVar("T")
R = TypeVar("R")

Ack = Literal["sent", "confirmed"]

MAX_DESCRIPTION_BYTES = 4096
"""What NATS takes as a consumer's description."""

MIN_JOB_TIMEOUT = 0.001
"""The shortest `job_timeout` in seconds."""

MIN_ACK_WAIT = 0.1
"""The shortest `ack_wait` in seconds: a pulse has to come round several times within it."""


@dataclasses.dataclass(frozen=True, repr=False)
class Actor(Generic[T, R]):
    """Handles every event of one kind, in any number of processes.

        async def send_email(user: User) -> None: ...

        SEND_EMAIL = Actor("send-email", USER_CREATED, send_email)

    Each event goes to one run of the actor's handler, wherever the actor listens; every actor of an
    event gets it. `description`, `ack_wait` and `max_ack_pending` belong to the consumer on the
    server: `ConnectedActors.register` brings a change of theirs there.

    A value: frozen and hashable, with no connection and no state.

    Args:
        name: the durable consumer in JetStream, unique for the event: 1 to 255 bytes of visible
            characters without spaces, `.`, `*`, `>`, slashes and backslashes.
        event: the event to handle.
        handler: what is called with the decoded message: a coroutine function, a plain function, a
            method, an object with `__call__`.
        description: what people see beside the consumer in NATS tools; at most 4096 bytes.
        ack_wait: seconds without a sign of life after which the event is given to another run. At
            least 0.1, default 16.
        max_attempts: how many times the handler is run for an event. None (the default): until it
            is handled.
        max_ack_pending: how many events the actor may hold at once, in all processes together.
            Default 1000.
        middlewares: told of each start, success and failure, in order.
        max_jobs: how many jobs of this actor may run at once in one process. Default 16. `"auto"`,
            or `Auto(least=1, most=1000, start=8)`: found while it runs.
        job_timeout: seconds a job may take before it is cancelled and has failed. At least 0.001,
            default 32.
        execute_in: where the handler runs: `ExecuteIn.MAIN` (the default), `THREAD` or `PROCESS`.
        retry_delay: seconds from a failed attempt to the next one, the last repeating; or a
            function of the attempt that failed, from 1. Default `(0.5, 1, 2, 4)`.
        pulse: whether running jobs prolong their `ack_wait`. Default True.
        priority: who goes first when the actors of one process compete for `max_jobs` of `listen`.
            Default `Priority.NORMAL`.
        dead_letters: whether events that are given up are kept as dead letters. Default True.
        ack: a job is done when its acknowledgement is `"sent"` (the default), or `"confirmed"` by
            the server.
        max_jobs_total: how many jobs of this actor may run at once in all processes together. None
            (the default): no limit but `max_ack_pending`.
        pause_on_failures: `Ratio(...)`: pauses the actor in all processes for a while when most of
            its jobs fail. None (the default): it goes on.
        batch: have the handler called with a list of messages, of many events at once. Default
            None: with one message.

    Raises:
        TypeError: an argument is of a wrong type, or the handler cannot run where it should.
        ValueError: an argument is out of its range.
    """

    name: str
    """The name, which is the durable consumer in JetStream: unique for the event.

    1 to 255 bytes of visible characters without spaces, `.`, `*`, `>`, `/` and `\\`. A `%` needs
    nats-server 2.14.3 or later. Under a new name it is a new actor, and the consumer of the old
    name keeps collecting events until it is deleted.
    """

    event: BaseEvent[T]
    """The event to handle."""

    handler: Callable[[T], Awaitable[R] | R] | Callable[[list[T]], Awaitable[R] | R]
    """What is called with the decoded message, or with a list of messages where there is a `batch`.

    A coroutine function, a plain function, a method, an object with `__call__`. Returning means
    handled; raising means again later, after `retry_delay`. It may raise `Retry(delay=...)` to
    choose the delay and `Reject(reason)` to give the event up. What it returns is the response to
    an event with one, and must be of that type; for other events it is dropped.
    """

    description: str | None = None
    """What people see beside the consumer in NATS tools; at most 4096 bytes."""

    ack_wait: float = 16
    """Seconds without a sign of life after which the server gives the event to another run.

    A pulse prolongs it while the job runs. It ends a job whose process died, so it is how long such
    an event waits. At least 0.1.
    """

    max_attempts: int | None = None
    """How many times the handler is run for an event at most. None: until it is handled.

    When the last attempt has failed, or never ended, the event goes to the dead letters. Runs that
    a stop cut short, and gave back to the server, are not counted; those that ended with their
    process are, as nobody can tell how far they came.
    """

    max_ack_pending: int = 1000
    """How many events the actor may hold at once, in all processes together.

    At this many the server delivers no more. It includes events that wait for their retry, but for
    those of which the server keeps a copy until then, see `retry_delay`. With 1, an event that
    waits keeps its place, so that no other overtakes it. Must be at least the sum of the actor's
    `max_jobs` over all processes, for all of them to be busy.
    """

    middlewares: tuple[Middleware, ...] = ()
    """Told of each start, success and failure, in order; for logs, metrics and traces.

    They cannot change what becomes of the event.
    """

    max_jobs: MaxJobs = 16
    """How many jobs of this actor may run at once in one process.

    `"auto"` or `Auto(...)`: as many as do each other no harm, which is found while they run. It is
    at most `max_jobs` of `listen`, which is 16 unless told otherwise.
    """

    job_timeout: float = 32
    """Seconds a job may take. Then it is cancelled, which counts as a failed attempt.

    That may be 2 % of it too late, and 50 ms at most, besides what the event loop is late by. A
    plain function in the event loop cannot be interrupted, so it has no effect there. In a thread
    the job is given up, but the thread runs on; a process is killed.
    """

    execute_in: ExecuteIn = ExecuteIn.MAIN
    """Where the handler runs: in the event loop, in a thread or in a process."""

    retry_delay: Sequence[float] | Callable[[int], float] = (0.5, 1, 2, 4)
    """Seconds from a failed attempt to the next one.

    The first failure waits for the first item, the second for the second, and so on; the last item
    repeats. Empty: no delay. Or a function of the attempt that failed, counted from 1. Where a
    process dies no delay is chosen, and `ack_wait` is the delay.

    From 5 seconds on an event waits as a copy that the server keeps, and takes no place in
    `max_ack_pending` meanwhile. While more than half of the places are taken by events that wait,
    so does any from 0.1 seconds on. That needs nats-server 2.14 or later, and that this library has
    registered all actors of the event; else it takes a place.
    """

    pulse: bool = True
    """Whether running jobs prolong their `ack_wait`.

    False: a job that takes longer than `ack_wait` is run by somebody else as well, which gets past
    a handler that hangs.
    """

    priority: Priority = Priority.NORMAL
    """Who gets a free job slot first when the actors of one process compete for `max_jobs`."""

    _: dataclasses.KW_ONLY

    dead_letters: bool = True
    """Whether events that the actor gives up are kept as dead letters.

    False: they are terminated, and only the log tells of them.
    """

    ack: Ack = "sent"
    """When a job is done: when its acknowledgement is `"sent"`, or `"confirmed"` by the server.

    An acknowledgement that is lost with its connection brings the event back after `ack_wait`,
    although it was handled. With `"confirmed"` it is said again until the server confirms it, and
    `on_success` is called after that. A job takes a round trip longer.
    """

    max_jobs_total: int | None = None
    """How many jobs of this actor may run at once in all processes together. None: no limit.

    The server keeps it: it hands out no more events than that before some are done with (it is the
    consumer's `max_ack_pending`, where it is lower than that). `register` puts it in force, for
    processes that listen already as well. An event that is held and waits for a slot of its process
    counts as a job. So does one that waits for its retry, on a server that cannot keep retries by
    itself.
    """

    pause_on_failures: Ratio | None = None
    """Pauses the actor in all processes for a while when most of its jobs fail.

    The server keeps the pause, from nats-server 2.11 on; with an older one, only the process that
    has noticed pauses. None: it goes on.
    """

    batch: Batch | None = None
    """How events are handled many at once, with a list of messages. None: one by one.

    A batch is one of `max_jobs`, and has one `job_timeout`. `max_ack_pending` must be at least
    `batch.size` for each of `max_jobs`.
    """

    if TYPE_CHECKING:
        # What a handler gives back is inferred by mypy only with one signature for each kind. And
        # with `BaseEvent`, what does not fit an event with a response would fit the plain one.
        @overload
        def __init__(
            self,
            name: str,
            event: EventWithResponse[T, R],
            handler: Callable[[T], Awaitable[R]],
            description: str | None = None,
            ack_wait: float = 16,
            max_attempts: int | None = None,
            max_ack_pending: int = 1000,
            middlewares: Sequence[Middleware] = (),
            max_jobs: MaxJobs = 16,
            job_timeout: float = 32,
            execute_in: ExecuteIn = ExecuteIn.MAIN,
            retry_delay: Sequence[float] | Callable[[int], float] = (0.5, 1, 2, 4),
            pulse: bool = True,
            priority: Priority = Priority.NORMAL,
            *,
            dead_letters: bool = True,
            ack: Ack = "sent",
            max_jobs_total: int | None = None,
            pause_on_failures: Ratio | None = None,
            batch: None = None,
        ) -> None: ...
        @overload
        def __init__(
            self,
            name: str,
            event: EventWithResponse[T, R],
            handler: Callable[[T], R],
            description: str | None = None,
            ack_wait: float = 16,
            max_attempts: int | None = None,
            max_ack_pending: int = 1000,
            middlewares: Sequence[Middleware] = (),
            max_jobs: MaxJobs = 16,
            job_timeout: float = 32,
            execute_in: ExecuteIn = ExecuteIn.MAIN,
            retry_delay: Sequence[float] | Callable[[int], float] = (0.5, 1, 2, 4),
            pulse: bool = True,
            priority: Priority = Priority.NORMAL,
            *,
            dead_letters: bool = True,
            ack: Ack = "sent",
            max_jobs_total: int | None = None,
            pause_on_failures: Ratio | None = None,
            batch: None = None,
        ) -> None: ...
        @overload
        def __init__(
            self,
            name: str,
            event: Event[T],
            handler: Callable[[T], Awaitable[R]],
            description: str | None = None,
            ack_wait: float = 16,
            max_attempts: int | None = None,
            max_ack_pending: int = 1000,
            middlewares: Sequence[Middleware] = (),
            max_jobs: MaxJobs = 16,
            job_timeout: float = 32,
            execute_in: ExecuteIn = ExecuteIn.MAIN,
            retry_delay: Sequence[float] | Callable[[int], float] = (0.5, 1, 2, 4),
            pulse: bool = True,
            priority: Priority = Priority.NORMAL,
            *,
            dead_letters: bool = True,
            ack: Ack = "sent",
            max_jobs_total: int | None = None,
            pause_on_failures: Ratio | None = None,
            batch: None = None,
        ) -> None: ...
        @overload
        def __init__(
            self,
            name: str,
            event: Event[T],
            handler: Callable[[T], R],
            description: str | None = None,
            ack_wait: float = 16,
            max_attempts: int | None = None,
            max_ack_pending: int = 1000,
            middlewares: Sequence[Middleware] = (),
            max_jobs: MaxJobs = 16,
            job_timeout: float = 32,
            execute_in: ExecuteIn = ExecuteIn.MAIN,
            retry_delay: Sequence[float] | Callable[[int], float] = (0.5, 1, 2, 4),
            pulse: bool = True,
            priority: Priority = Priority.NORMAL,
            *,
            dead_letters: bool = True,
            ack: Ack = "sent",
            max_jobs_total: int | None = None,
            pause_on_failures: Ratio | None = None,
            batch: None = None,
        ) -> None: ...
        @overload
        def __init__(
            self,
            name: str,
            event: Event[T],
            handler: Callable[[list[T]], Awaitable[R]],
            description: str | None = None,
            ack_wait: float = 16,
            max_attempts: int | None = None,
            max_ack_pending: int = 1000,
            middlewares: Sequence[Middleware] = (),
            max_jobs: MaxJobs = 16,
            job_timeout: float = 32,
            execute_in: ExecuteIn = ExecuteIn.MAIN,
            retry_delay: Sequence[float] | Callable[[int], float] = (0.5, 1, 2, 4),
            pulse: bool = True,
            priority: Priority = Priority.NORMAL,
            *,
            dead_letters: bool = True,
            ack: Ack = "sent",
            max_jobs_total: int | None = None,
            pause_on_failures: Ratio | None = None,
            batch: Batch,
        ) -> None: ...
        @overload
        def __init__(
            self,
            name: str,
            event: Event[T],
            handler: Callable[[list[T]], R],
            description: str | None = None,
            ack_wait: float = 16,
            max_attempts: int | None = None,
            max_ack_pending: int = 1000,
            middlewares: Sequence[Middleware] = (),
            max_jobs: MaxJobs = 16,
            job_timeout: float = 32,
            execute_in: ExecuteIn = ExecuteIn.MAIN,
            retry_delay: Sequence[float] | Callable[[int], float] = (0.5, 1, 2, 4),
            pulse: bool = True,
            priority: Priority = Priority.NORMAL,
            *,
            dead_letters: bool = True,
            ack: Ack = "sent",
            max_jobs_total: int | None = None,
            pause_on_failures: Ratio | None = None,
            batch: Batch,
        ) -> None: ...
        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __post_init__(self) -> None:
        check_name("actor", self.name)
        this = f"actor {self.name!r}:"
        for field, right in _TYPES.items():
            check_type(f"{this} {field}", getattr(self, field), right)
        size = size_of_text(f"{this} description", self.description or "")
        if size > MAX_DESCRIPTION_BYTES:
            raise ValueError(
                f"{this} description is over {MAX_DESCRIPTION_BYTES} bytes: shorten it"
            )
        check_seconds(f"{this} ack_wait", self.ack_wait, MIN_ACK_WAIT)
        check_seconds(f"{this} job_timeout", self.job_timeout, MIN_JOB_TIMEOUT)
        check_count(f"{this} max_attempts", self.max_attempts, optional=True)
        check_count(f"{this} max_ack_pending", self.max_ack_pending)
        check_max_jobs(f"{this} max_jobs", self.max_jobs)
        check_count(f"{this} max_jobs_total", self.max_jobs_total, optional=True)
        if self.ack not in get_args(Ack):
            raise ValueError(f"{this} ack must be 'sent' or 'confirmed', not {self.ack!r}")
        self._check_middlewares(this)
        self._check_retry_delay(this)
        check_handler(this, self.handler, self.execute_in, self.event.schema)
        if self.execute_in is ExecuteIn.PROCESS and as_answered(self.event) is not None:
            check_response_pickles(this, self.event)
        if self.batch is not None:
            self._check_batch(this, self.batch)

    def __repr__(self) -> str:
        handler = getattr(self.handler, "__qualname__", None) or repr(self.handler)
        event = getattr(self.event, "name", self.event)
        shown = [repr(self.name), f"event={event!r}", f"handler={handler}"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in ("name", "event", "handler") and value != field.default:
                shown.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    def most_pending(self) -> int:
        """How many events all processes together may hold: the consumer's `max_ack_pending`."""
        return min(self.max_ack_pending, self.max_jobs_total or self.max_ack_pending)

    @property
    def auto(self) -> Auto | None:
        """The bounds of a `max_jobs` that is found while it runs; None where it is fixed."""
        return auto_of(self.max_jobs)

    @property
    def consumer_name(self) -> str:
        """The durable consumer in JetStream."""
        return self.event.durable_name(self.name)

    def consumer_config(self) -> dict[str, Any]:
        """Build the configuration of the actor's consumer, as the JetStream API writes it.

        Durations are in nanoseconds, -1 stands for no limit. The metadata has a fingerprint of the
        declaration, by which `listen` notices that another program declares the actor otherwise.
        """
        config: dict[str, Any] = {
            "durable_name": self.consumer_name,
            "name": self.consumer_name,
            "ack_policy": "explicit",
            "deliver_policy": "all",
            "ack_wait": round(self.ack_wait * 10**9),
            # Counted by the library: the server would count what a stop hands back as well.
            "max_deliver": -1,
            "max_ack_pending": self.most_pending,
            "metadata": {
                KNOWS_ACTOR: KNOWS_IT,
                # What two declarations of one actor may differ in, beside the fields above.
                FINGERPRINT: fingerprint(
                    self.handler,
                    self.max_attempts,
                    self.job_timeout,
                    self.retry_delay,
                    self.pulse,
                    self.dead_letters,
                    self.ack,
                    # Not said where there is none, or each upgrade would look like a change.
                    *(() if self.batch is None else ("batch", self.batch.size, self.batch.wait)),
                ),
            },
        }
        if self.description is not None:
            config["description"] = self.description
        return config

    def _check_batch(self, this: str, batch: Batch) -> None:
        if as_answered(self.event) is not None:
            raise TypeError(
                f"{this} event {self.event.name!r} has a response, which is to one message: "
                "declare the actor without a batch"
            )
        if (why := refusal_of_batches(self.handler)) is not None:
            raise TypeError(f"{this} handler {self.handler!r} cannot handle batches: {why}")
        if not isinstance(self.max_jobs, int) or self.max_jobs_total is not None:
            raise ValueError(
                f"{this} with a batch, max_jobs must be a number and max_jobs_total None, not "
                f"{self.max_jobs!r} and {self.max_jobs_total!r}: the server counts events, and a "
                "batch is one job of many"
            )
        needed = batch.size * self.max_jobs
        if needed > self.max_ack_pending:
            raise ValueError(
                f"{this} max_jobs={self.max_jobs} batches of {batch.size} events need "
                f"max_ack_pending={needed}, which is {self.max_ack_pending}: raise it, or have "
                "fewer jobs or smaller batches"
            )
        if not self.pulse and batch.wait > self.ack_wait / 4:
            raise ValueError(
                f"{this} with pulse=False, batch.wait={batch.wait:g} must be at most a quarter of "
                f"ack_wait={self.ack_wait:g}, or events are handed back before they are handled"
            )

    def _check_middlewares(self, this: str) -> None:
        check_type(f"{this} middlewares", self.middlewares, (list, tuple))
        for middleware in self.middlewares:
            check_type(f"{this} each of middlewares", middleware, Middleware)
        object.__setattr__(self, "middlewares", tuple(self.middlewares))

    def _check_retry_delay(self, this: str) -> None:
        delays = self.retry_delay
        if callable(delays):
            return
        check_type(f"{this} retry_delay", delays, (list, tuple))
        for delay in delays:
            check_seconds(f"{this} each of retry_delay", delay, 0.0)
        # A tuple, so that the actor is hashable and nobody changes it behind our back.
        object.__setattr__(self, "retry_delay", tuple(delays))


def on_server(actor: Actor[T, R], prefixes: Prefixes) -> Actor[T, R]:
    """Give the actor as one connection has it: its names on the server have the namespace.

    Raises:
        ValueError: NATS, or the library, does not take a name with the namespace before it.
    """
    if not prefixes.namespace:
        return actor
    check_in_namespace("actor", actor.name, prefixes.consumer(actor.name))
    return dataclasses.replace(actor, event=in_namespace(actor.event, prefixes))


_TYPES: dict[str, type | tuple[type, ...]] = {
    "event": BaseEvent,
    "description": (str, type(None)),
    "execute_in": ExecuteIn,
    "pulse": bool,
    "priority": Priority,
    "dead_letters": bool,
    "pause_on_failures": (Ratio, type(None)),
    "batch": (Batch, type(None)),
}
