"""Running actors until nothing is left to do."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Any

import anyio

from walnats_anyio._actors import Actors, ConnectedActors, Summary
from walnats_anyio._actors.declare._actor import Actor, on_server
from walnats_anyio._events import Events
from walnats_anyio._events._arguments import check_seconds
from walnats_anyio._events._schedules import STREAM as SCHEDULES
from walnats_anyio._events._schedules import schedule_subject
from walnats_anyio._link import Link, Message, Server, ServerError, api, failures_of, one_or_group
from walnats_anyio._link._sharing import link_of

PATIENCE = 30.0
"""Seconds after which it is stuck, unless told otherwise."""

MOCK_PATIENCE = 86400.0
"""The same on a mock clock, where a day takes a moment."""

MOCK_ATTEMPTS = 1000
"""Attempts of one event after which it is stuck on a mock clock: more than an hour of retries by
default. A day of them would take minutes, and such a test only has a handler that always fails."""

FIRST_PAUSE = 0.001
"""Seconds until the first look without news; each further one comes after twice as long."""

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

    They handle what waits for them, all that follows from it among them, and every retry, also
    those that are delayed: under a mock clock (`mock_clock`) an hour of retries takes a moment.
    What is emitted without `sync=True` may come too late: `flush` first.

    Args:
        actors: the actors. Those that another program runs are not waited for.
        server: as of `Actors.connect`, such as the URL of a `MemoryServer`.
        timeout: seconds on the clock of the event loop until it is stuck. None: 30; or under a mock
            clock a day, or 1000 attempts of one event.
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
        NotDrainedError: something was left to do at the end of `timeout`, or an event was tried
            1000 times. It says what, and is an `AssertionError`.
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


@dataclass(frozen=True)
class _Left:
    """What the server says of one consumer."""

    pending: int
    """Events that it has not delivered yet."""
    unsettled: int
    """Events that it has delivered, and that nobody has settled; retries that wait among them."""
    delivered: int
    """Deliveries so far."""
    paused: bool
    copies: int
    """Events whose copies wait in the server for their next attempt."""


class _Drain:
    def __init__(self, actors: Actors, connected: ConnectedActors) -> None:
        self._connected = connected
        self._link: Link = link_of(connected)
        self._actors: list[Actor[Any, Any]] = [
            on_server(actor, self._link.prefixes) for actor in actors
        ]
        self._mocked = self._link.backend.move_clock is not None
        self._summary: Summary
        self._news = anyio.Event()
        self._failures = _LastFailures()
        self._most_attempts = inf

    async def run(self, timeout: float | None, listen_options: dict[str, Any]) -> Summary:
        if timeout is None:
            timeout = MOCK_PATIENCE if self._mocked else PATIENCE
            self._most_attempts = MOCK_ATTEMPTS if self._mocked else inf
        # Whatever is settled is news, and so is whatever follows.
        subjects = {actor.event.subject_name for actor in self._actors} | {"$JS.ACK.>"}
        subscriptions = [self._link.subscribe_to(subject, self._on_news) for subject in subjects]
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

    async def _until_idle(self) -> None:
        """Wait until two looks in a row find nothing to do, and nothing done in between.

        One look is not enough: it asks for one consumer after the other, and meanwhile a job of the
        last one may emit what the first one handles.
        """
        before: list[_Left] | None = None
        pause = FIRST_PAUSE
        while True:
            self._news = anyio.Event()
            now = await self._look()
            if self._failures.attempts >= self._most_attempts:
                within = f"with {self._failures.attempts} attempts of one event"
                raise NotDrainedError(await self._explain(within))
            if now is not None and now == before:
                return
            before = now
            if now is not None:
                await self._link.flush()
                continue
            with anyio.move_on_after(pause):
                await self._news.wait()
            longest = LONGEST_MOCK_PAUSE if self._mocked else LONGEST_PAUSE
            pause = FIRST_PAUSE if self._news.is_set() else min(2 * pause, longest)

    async def _look(self) -> list[_Left] | None:
        """What the server has; None while something is to be done."""
        statistics = self._connected.statistics()
        if any(actor.running or actor.waiting for actor in statistics.actors):
            return None
        left: list[_Left] = []
        for actor in self._actors:
            try:
                left.append(await self._left_for(actor))
            except ServerError as error:
                if error.code is not None:
                    raise
                return None  # it did not answer, which a test may want: look again
            if left[-1].pending or left[-1].unsettled or left[-1].copies:
                return None
        return left

    async def _left_for(self, actor: Actor[Any, Any]) -> _Left:
        answer = await api(
            self._link, f"CONSUMER.INFO.{actor.event.stream_name}.{actor.consumer_name}"
        )
        return _Left(
            pending=int(answer.get("num_pending", 0)),
            unsettled=int(answer.get("num_ack_pending", 0)),
            delivered=int(answer["delivered"]["consumer_seq"]),
            paused=bool(answer.get("paused")),
            copies=await self._copies_of(actor),
        )

    async def _copies_of(self, actor: Actor[Any, Any]) -> int:
        """How many copies of an actor's events wait for their next attempt, on 2.14 and later."""
        if not any(each.postponed for each in self._connected.statistics().actors):
            return 0
        prefixes = self._link.prefixes
        stream = actor.event.stream_name
        wanted = schedule_subject(prefixes, "retry", stream, actor.consumer_name, ">")
        subject = f"STREAM.INFO.{prefixes.stream(SCHEDULES)}"
        answer = await api(self._link, subject, {"subjects_filter": wanted})
        return len(answer["state"].get("subjects") or ())

    async def _explain(self, within: str) -> str:
        lines = [f"not drained {within}:"]
        for actor, doing in zip(self._actors, self._connected.statistics().actors, strict=True):
            try:
                left = await self._left_for(actor)
            except ServerError as error:
                lines.append(f"  actor {doing.actor!r} of event {doing.event!r}: {error}")
                continue
            later = doing.parked + left.copies
            parts = [
                f"{doing.running} running" if doing.running else "",
                f"{later} waiting for the next attempt" if later else "",
                f"{left.pending} not delivered" if left.pending else "",
                "its consumer is paused" if left.paused else "",
            ]
            elsewhere = left.unsettled - doing.running - doing.waiting - doing.parked
            if elsewhere > 0:
                parts.append(
                    f"{elsewhere} delivered and not settled, to another process or before: again "
                    f"after ack_wait={actor.ack_wait:g} s"
                )
            if said := "; ".join(filter(None, parts)):
                done = f"handled {doing.handled}, failed {doing.failed}"
                lines.append(f"  actor {doing.actor!r} of event {doing.event!r}: {said} ({done})")
                if failure := self._failures.last.get(doing.actor):
                    lines.append(f"    last failure: {failure}")
        if len(lines) == 1:
            lines.append("  the actors were still at work, and had just finished")
        return "\n".join(lines)


class _LastFailures(logging.Handler):
    """Keeps what the log says of failures: the last of each actor, and the most attempts."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, str] = {}
        self.attempts = 0

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "outcome"):
            self.last[str(getattr(record, "actor", ""))] = record.getMessage()
            self.attempts = max(self.attempts, getattr(record, "attempt", 0))
