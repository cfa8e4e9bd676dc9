"""Running actors until nothing is left to do."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from sys import maxsize
from typing import Any

import anyio

from walnats_anyio._actors import Actors, ActorStatistics, ConnectedActors, Summary
from walnats_anyio._actors.declare._actor import Actor, on_server
from walnats_anyio._events import Events
from walnats_anyio._events._arguments import check_seconds
from walnats_anyio._link import (
    CONSUMER_NOT_FOUND,
    STREAM_NOT_FOUND,
    Link,
    Message,
    Metadata,
    Server,
    ServerError,
    failures_of,
    one_or_group,
)
from walnats_anyio._link._sharing import link_of
from walnats_anyio.testing._backlog import Backlog, Left

PATIENCE = 30.0
"""Seconds after which it is stuck, unless told otherwise."""

MOCK_PATIENCE = 86400.0
"""The same on a mock clock, where a day takes a moment."""

MOCK_ATTEMPTS = 1000
"""Deliveries of one event after which it is stuck on a mock clock: more than an hour of retries by
default. A day of them would take minutes, and such a test only has a handler that always fails."""

MOCK_DELIVERIES = 5000
"""Deliveries on a mock clock that must leave less to do than there was before them.

Those of a handler that emits its own event again take no time on such a clock, so that it would
never come to the end of `timeout`. It is counted, not measured: so a test ends in the same way each
time."""

LAG = 0.25
"""Seconds for which an answer that nothing is left may be wrong, where the stream has more.

The server counts what a stream has stored for its consumers a little later: under load that was
seen to take some milliseconds (nats-server 2.15.1). For longer it is right: the stream has what the
consumer does not want, or what was deleted."""

FIRST_PAUSE = 0.001
"""Seconds until the first look without news; each further one comes after twice as long."""

PROGRESS = b"+WPI"
"""What a pulse sends (ADR-15)."""

LONGEST_PAUSE = 0.25
"""Seconds between two looks, at most."""

LONGEST_MOCK_PAUSE = 60.0
"""The same on a mock clock: each look costs real time."""


class NotDrainedError(AssertionError):
    """Something is left to do, and was not done in time."""


async def drain(
    actors: Actors,
    server: Server | None = None,
    *,
    timeout: float | None = None,
    register: bool = True,
    names: Iterable[str] | None = None,
    domain: str | None = None,
    js_prefix: str | None = None,
    namespace: str | None = None,
    **listen_options: Any,
) -> Summary:
    """Run actors until nothing is left for them to do, and say what they did.

        await events.emit(USER_CREATED, user, sync=True)
        summary = await drain(ACTORS, server.url)
        assert summary.handled == 1

    They handle what waits for them, all that follows from it among them, what was emitted with a
    delay, and every retry: under a mock clock (`mock_clock`) an hour of retries takes a moment.
    What is emitted without `sync=True` may come too late: `flush` first.

    Args:
        actors: the actors. Those that another program runs are not waited for.
        server: as of `Actors.connect`, such as the URL of a `MemoryServer`.
        timeout: seconds on the clock of the event loop until it is stuck. None: 30; or under a mock
            clock a day, or 1000 attempts of one event, or 5000 deliveries that leave no less to do
            than there was before them. Those that a mock clock stands still for end it in any case.
        register: register the actors, and their events, before. Events that were emitted before
            that are not kept for them.
        names: those of the actors to be run. None: all of them.
        domain: as of `Actors.connect`.
        js_prefix: as of `Actors.connect`.
        namespace: as of `Actors.connect`.
        listen_options: as of `ConnectedActors.listen`; `burst` makes no sense here.

    Returns:
        What the actors did.

    Raises:
        NotDrainedError: something was left to do at the end of `timeout`, or it would go on for
            ever. It says what, and is an `AssertionError`.
        Exception: what `connect`, `register` and `listen` raise.
    """
    if timeout is not None:
        check_seconds("timeout", timeout, 0.0)
    if "burst" in listen_options:
        raise TypeError("drain() listens until nothing is left: leave out burst")
    chosen = actors.only(names)
    connecting = chosen.connect(server, domain=domain, js_prefix=js_prefix, namespace=namespace)
    async with connecting as connected:
        if register:
            events = {actor.event.name: actor.event for actor in chosen}
            async with Events(*events.values()).connect(connected) as registering:
                await registering.register()
            await connected.register()
        return await _Drain(chosen, connected).run(timeout, listen_options)


class _Drain:
    def __init__(self, actors: Actors, connected: ConnectedActors) -> None:
        self._connected = connected
        self._link: Link = link_of(connected)
        prefixes = self._link.prefixes
        self._backlog = Backlog(self._link, [on_server(actor, prefixes) for actor in actors])
        self._consumers = {
            (actor.event.stream_name, actor.consumer_name) for actor in self._backlog.actors
        }
        self._mocked = self._link.backend.move_clock is not None
        self._summary: Summary
        self._news = anyio.Event()
        self._failures = _LastFailures()
        self._attempts = 0
        """Deliveries of the event that was delivered most often."""
        self._patient = False
        """Whether somebody has said how long it may take."""
        self._checked = _Progress(0, inf, 0.0)

    async def run(self, timeout: float | None, listen_options: dict[str, Any]) -> Summary:
        self._patient = timeout is not None
        if timeout is None:
            timeout = MOCK_PATIENCE if self._mocked else PATIENCE
        # Whatever is settled is news, and so is whatever follows.
        subjects = {actor.event.subject_name for actor in self._backlog.actors}
        subscriptions = [self._link.subscribe_to(each, self._on_news) for each in subjects]
        subscriptions.append(self._link.subscribe_to("$JS.ACK.>", self._on_ack))
        logger = logging.getLogger("walnats_anyio.actors")
        logger.addHandler(self._failures)
        try:
            return await self._listen(timeout, listen_options)
        except BaseExceptionGroup as group:
            raise one_or_group("draining failed", failures_of(group) or [group]) from None
        finally:
            logger.removeHandler(self._failures)
            for subscription in subscriptions:
                self._link.forget(subscription)

    async def _listen(self, timeout: float, listen_options: dict[str, Any]) -> Summary:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_listening, listen_options, tasks.cancel_scope)
            with anyio.move_on_after(timeout) as scope:
                await self._until_idle()
            if scope.cancelled_caught:
                within = f"within {timeout:g} s of the event loop's clock"
                raise NotDrainedError(await self._explain(within))
            self._connected.shutdown()
        return self._summary

    async def _keep_listening(self, options: dict[str, Any], scope: anyio.CancelScope) -> None:
        self._summary = await self._connected.listen(**options)
        scope.cancel()  # it may end by itself: somebody called `shutdown`

    def _on_news(self, _: Message) -> None:
        self._news.set()

    def _on_ack(self, message: Message) -> None:
        if message.data.startswith(PROGRESS):
            return  # a job runs on: no news, and a mock clock may stand for hours of it
        self._news.set()
        try:
            metadata = Metadata.of(message.subject)
        except ValueError:
            return  # somebody else has published there
        if (metadata.stream, metadata.consumer) in self._consumers:
            self._attempts = max(self._attempts, metadata.num_delivered)

    async def _until_idle(self) -> None:
        """Wait until two looks in a row find nothing to do, and nothing done in between.

        One look is not enough: it asks for one consumer after the other, and meanwhile a job of the
        last one may emit what the first one handles.
        """
        before: list[Left] | None = None
        since = 0.0
        pause = FIRST_PAUSE
        while True:
            self._news = anyio.Event()
            ends = {} if before is None else await self._ends()
            now = await self._look()
            await self._check_end()
            if now is not None and now != before:
                before, since = now, anyio.current_time()
                await self._link.flush()
                continue
            if now is None:
                before = None
            elif self._has_seen_all(now, ends) or anyio.current_time() - since >= LAG:
                return
            with anyio.move_on_after(pause):
                await self._news.wait()
            longest = LONGEST_MOCK_PAUSE if self._mocked else LONGEST_PAUSE
            pause = FIRST_PAUSE if self._news.is_set() else min(2 * pause, longest)

    async def _look(self) -> list[Left] | None:
        """What the server has; None while something is to be done, or it did not answer."""
        if self._is_busy():
            return None
        with _no_trouble():
            return await self._backlog.left()
        return None

    async def _ends(self) -> dict[str, int]:
        """Where each stream ends; it is asked before the consumers are."""
        with _no_trouble():
            return await self._backlog.ends()
        return {actor.event.stream_name: maxsize for actor in self._backlog.actors}

    def _has_seen_all(self, left: list[Left], ends: dict[str, int]) -> bool:
        """Whether the consumers know of all that their streams have stored."""
        return all(
            each.delivered_up_to >= ends.get(actor.event.stream_name, 0)
            for actor, each in zip(self._backlog.actors, left, strict=True)
        )

    def _is_busy(self) -> bool:
        return any(each.running or each.waiting for each in self._connected.statistics().actors)

    async def _check_end(self) -> None:
        """See whether it goes on for ever, where no time passes meanwhile.

        Raises:
            NotDrainedError: it does, as far as one can tell.
        """
        if not self._mocked:
            return
        if self._attempts >= MOCK_ATTEMPTS and not self._patient:
            raise NotDrainedError(
                await self._explain(f"with {self._attempts} attempts of one event")
            )
        jobs = sum(
            each.handled + each.failed + each.handed_back
            for each in self._connected.statistics().actors
        )
        before = self._checked
        if jobs - before.jobs < MOCK_DELIVERIES:
            return
        with _no_trouble():
            left = await self._backlog.count()
            self._checked = _Progress(jobs, left, anyio.current_time())
            stands_still = self._checked.at == before.at or not self._patient
            if left >= before.left and stands_still:
                within = (
                    f"with {jobs} deliveries, the last {jobs - before.jobs} of which left no less"
                )
                raise NotDrainedError(await self._explain(f"{within} to do"))

    async def _explain(self, within: str) -> str:
        lines = [f"not drained {within}:"]
        with suppress(ServerError):
            await self._backlog.read_schedules()
        for number, actor in enumerate(self._backlog.actors):
            lines += await self._explain_one(number, actor)
        if len(lines) == 1:
            lines.append("  the actors were still at work, and had just finished")
        return "\n".join(lines)

    async def _explain_one(self, number: int, actor: Actor[Any, Any]) -> list[str]:
        before = self._connected.statistics().actors[number]
        try:
            left: Left | ServerError = await self._backlog.left_for(actor)
        except ServerError as error:
            left = error
        now = self._connected.statistics().actors[number]
        said = str(left) if isinstance(left, ServerError) else _described(actor, before, now, left)
        if not said and not now.handled and not now.failed:
            return []
        done = f"(handled {now.handled}, failed {now.failed})"
        this = f"  actor {now.actor!r} of event {now.event!r}"
        lines = [f"{this}: {said or 'nothing at this moment'} {done}"]
        if said and (failure := self._failures.last.get((now.actor, now.event))):
            lines.append(f"    last failure: {failure}")
        return lines


@dataclass(frozen=True)
class _Progress:
    """What was done and left at one time."""

    jobs: int
    left: float
    at: float


@contextmanager
def _no_trouble() -> Iterator[None]:
    """That the server does not answer is no trouble: a test may want that.

    Nor is it that it knows a consumer no more: then `listen` says so, and what to do.
    """
    try:
        yield
    except ServerError as error:
        if error.code not in (None, STREAM_NOT_FOUND, CONSUMER_NOT_FOUND):
            raise


def _described(
    actor: Actor[Any, Any], before: ActorStatistics, now: ActorStatistics, left: Left
) -> str:
    """What is left for an actor, with what it was doing before and after the server was asked."""
    later = now.parked + left.copies
    held = max(each.running + each.waiting + each.parked for each in (before, now))
    parts = [
        f"{now.running} running" if now.running else "",
        f"{later} waiting for the next attempt or until due" if later else "",
        f"{left.delayed} delayed and not due" if left.delayed else "",
        f"{left.pending} not delivered" if left.pending else "",
        "its consumer is paused" if left.paused else "",
    ]
    if left.unsettled > held:
        parts.append(
            f"{left.unsettled - held} delivered and not settled, to another process or before, or "
            f"with a lost acknowledgement: again after ack_wait={actor.ack_wait:g} s"
        )
    return "; ".join(filter(None, parts))


class _LastFailures(logging.Handler):
    """Keeps what the log says of failures: the last of each actor."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[tuple[str, str], str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "outcome"):
            of = str(getattr(record, "actor", "")), str(getattr(record, "event", ""))
            self.last[of] = record.getMessage()
