"""What a run of `listen` shows of itself to those who watch it."""

from __future__ import annotations

from dataclasses import dataclass

from walnats_anyio._actors.run import AutoStatistics
from walnats_anyio._actors.settle import ActorSummary
from walnats_anyio._link import ConnectionStatistics


@dataclass(frozen=True)
class ActorStatistics(ActorSummary):
    """What one actor is doing in this process, and what it has done in this run of `listen`.

    What it is doing is 0 while the connection does not listen.
    """

    redelivered: int = 0
    """Deliveries of events that had been delivered before, to this process or another.

    They failed, were handed back, or their process died.
    """

    retried: int = 0
    """Jobs among them that were a second or later attempt of their event."""

    slots: int = 0
    """Jobs of it that may run at once: the smaller of `Actor.max_jobs` and that of `listen`.

    With `max_jobs="auto"`, what was found so far.
    """

    running: int = 0
    """Jobs that are running."""

    waiting: int = 0
    """Events that are held here and wait for a worker."""

    requested: int = 0
    """Events that the server has been asked for, and that have not come."""

    parked: int = 0
    """Events that this process gave back with a delay, and that wait at the server to be retried.

    Another process may have taken some of them, once their delay is over.
    """

    longest_step: float = 0.0
    """Seconds for which its handler kept the event loop from anything else, at most.

    From one `await` that waits for something to the next; of handlers that never wait, a whole job,
    if it took over a millisecond. Handlers in threads and processes do not block.
    """

    paused: bool = False
    """Whether it is paused in this process, and takes no events.

    A pause that the server keeps for all processes does not show here.
    """

    auto: AutoStatistics | None = None
    """How `slots` is being found, with `max_jobs="auto"`; None where it is fixed."""


@dataclass(frozen=True)
class ListenStatistics:
    """What the actors of one connection are doing, and what they have done, at one moment.

    It is about the run of `listen` that is going on; between two, about the last one.
    """

    connection: ConnectionStatistics
    """The state of the connection."""

    listening: bool
    """Whether `listen` is running."""

    seconds: float
    """How long it has listened; 0 before the first `listen`."""

    slots: int
    """Jobs that may run at once over all actors, `max_jobs` of `listen`; 0 while not listening."""

    running: int
    """Jobs that are running, over all actors."""

    actors: tuple[ActorStatistics, ...]
    """Each actor, in the order of the registry."""

    loop_lag: float = 0.0
    """Seconds by which the event loop was late when the clock of `listen` was due last.

    It is due every 2.5 seconds, or a quarter of the shortest `ack_wait`. What is late by more than
    some milliseconds is blocked, or has too much to do: `ActorStatistics.longest_step` has who.
    """

    longest_loop_lag: float = 0.0
    """The most that it was late by in this run of `listen`."""
