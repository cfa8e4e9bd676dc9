"""Listening: the actors of a registry over one connection."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from walnats_anyio._actors._consumers import check_consumers, plan_consumers, register_consumers
from walnats_anyio._actors._controls import Controls
from walnats_anyio._actors._helpers import plan_helpers, register_helpers
from walnats_anyio._actors._lifespan import LifespanRun
from walnats_anyio._actors._listen import Listening
from walnats_anyio._actors._pausing import pause_consumer, resume_consumer
from walnats_anyio._actors._statistics import ActorStatistics, ListenStatistics
from walnats_anyio._actors.declare._actor import Actor, on_server
from walnats_anyio._actors.pull import Options, Polls
from walnats_anyio._actors.run import Executors
from walnats_anyio._actors.settle import Summary
from walnats_anyio._events import CancelResult, PlanEntry, RegisterOptions, raise_failures
from walnats_anyio._events._arguments import check_count, check_seconds, check_type
from walnats_anyio._events._cancelling import cancel_event
from walnats_anyio._events._delays import check_cancelled_event
from walnats_anyio._link import (
    Connected,
    ConnectionLostError,
    Link,
    Prefixes,
    Server,
    open_link,
)
from walnats_anyio._link._again import refuse_again

if TYPE_CHECKING:
    from walnats_anyio._actors._registry import Actors


logger = logging.getLogger("walnats_anyio.actors")

LEAVE_WITHIN = 5.0
"""Seconds that `listen` has to end when its connection is left; its own clean-up may take 2."""

LEFT = (
    "the connection was left while `listen` ran on in another task: leave it after `listen` has "
    "ended, such as with a task group inside of `async with`, or call `shutdown` first"
)


class ConnectedActors(Connected):
    """The actors of a registry, connected to NATS. Made by `Actors.connect`."""

    __slots__ = ("_actors", "_controls", "_last", "_listening", "_stop_first")

    def __init__(self, actors: Actors, link: Link) -> None:
        super().__init__(link)
        self._actors = actors
        self._listening: Listening | None = None
        self._controls = Controls()
        self._stop_first = False
        self._last = ListenStatistics(
            connection=link.statistics(),
            listening=False,
            seconds=0.0,
            slots=0,
            running=0,
            actors=tuple(
                ActorStatistics(actor.name, actor.event.name, 0, 0, 0, 0) for actor in actors
            ),
        )
        """What the last run of `listen` did."""

    def __repr__(self) -> str:
        listening = ", listening" if self._listening is not None else ""
        return f"<ConnectedActors of {self._actors!r}, {self._link.state}{listening}>"

    async def register(
        self, actors: Iterable[str] | None = None, *, create: bool = True, update: bool = True
    ) -> tuple[PlanEntry, ...]:
        """Make the consumers of the actors on the server what the actors declare.

        From then on the actors' events are kept for them. What it changes of a consumer that
        exists is logged as a warning, and so is an event whose registered schema an actor cannot
        read. It also creates the stream of dead letters, and one for
        notes of what actors hand back, unless they are there. Blocks for two or three requests to
        the server for each actor. Can be called any number of times, by any number of processes;
        of two that declare one actor differently, the last one wins. `plan` says beforehand what
        it does.

        Args:
            actors: the names of those to register. None: all of them.
            create: create consumers, and streams of the library's own, that are missing.
            update: update those whose configuration differs.

        Returns:
            What was done: one entry for each actor, in the order of the registry, and then one for
            each stream of the library's own.

        Raises:
            ValueError: there is no actor of such a name, or none is named.
            TypeError: `actors` is not a list of names.
            StreamConfigError: there is no stream for an actor's event: register the event first.
                Or the stream of that name belongs to another event, or a stream of the library's
                own is missing and `create` is False.
            ConsumerConfigError: a consumer of an actor's name is of another kind, which NATS cannot
                change, or the server refuses the configuration; one is missing and `create` is
                False, or differs and `update` is False; or a name has a `%` and nats-server is
                older than 2.14.3.
            ServerError: the server does not answer within 5 seconds (20 for what has replicas), or
                has no JetStream.
            ExceptionGroup: more than one actor failed; holds these errors.
        """
        chosen = self._actors.only(actors)
        options = RegisterOptions(create, update)
        entries = await register_consumers(self._link, self._named_on_server(chosen), options)
        raise_failures("actors failed", entries)
        helpers = await register_helpers(self._link, chosen, options)
        raise_failures("streams failed", helpers)
        return (*entries, *helpers)

    async def plan(
        self, actors: Iterable[str] | None = None, *, create: bool = True, update: bool = True
    ) -> tuple[PlanEntry, ...]:
        """Say what `register` would do, and do nothing.

        Sends only requests that read: a user who may publish to `$JS.API.STREAM.INFO.*` and
        `$JS.API.CONSUMER.INFO.*.*` can call it. What `register` would refuse is an entry with its
        `error`, and is not raised. Blocks for two requests to the server for each actor.

        Args:
            actors: see `register`.
            create: see `register`.
            update: see `register`.

        Returns:
            One entry for each actor, in the order of the registry, and then one for each stream of
            the library's own.

        Raises:
            ValueError: there is no actor of such a name, or none is named.
            TypeError: `actors` is not a list of names.
            ServerError: the server does not answer within 5 seconds (20 for what has replicas), or
                has no JetStream, or this user may not ask it.
            ExceptionGroup: more than one request failed; holds these errors.
        """
        chosen = self._actors.only(actors)
        options = RegisterOptions(create, update)
        entries = await plan_consumers(self._link, self._named_on_server(chosen), options)
        return (*entries, *await plan_helpers(self._link, chosen, options))

    async def listen(
        self,
        *,
        burst: bool = False,
        max_polls: int | None = None,
        poll_delay: float | None = None,
        batch: int | None = None,
        max_jobs: int = 16,
        max_processes: int | None = None,
        max_threads: int | None = None,
        shutdown_timeout: float | None = None,
        actors: Iterable[str] | None = None,
        task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> Summary:
        """Handle events, until it is cancelled or `shutdown` is called.

        `await task_group.start(conn.listen)` returns once every actor is receiving. Cancelling is
        the hard stop: running jobs are cancelled. However it ends, events that were not finished
        are handed back to the server at once, and the last acknowledgements have reached it;
        that clean-up takes 2 seconds at most.

        Args:
            burst: handle what is there and return. It waits up to `poll_delay` for the first event
                and goes on until the server has no more. An event that fails comes again after a
                second at the earliest, so that it does not keep the burst from ending. An actor
                that is paused has nothing to do.
            max_polls: how many actors may have a pull request outstanding at once; they take
                turns, of `poll_delay` each where no events come. None: all of them.
            poll_delay: seconds that a pull request waits at the server. None: 2 with `burst`,
                else 30. At least 0.05; with `burst` also 0, not to wait.
            batch: the most events that one pull request asks for. None: as many as slots are free.
            max_jobs: jobs running at once, over all actors. Where the actors compete,
                `Actor.priority` and the time they have waited decide.
            max_processes: worker processes at once, for `ExecuteIn.PROCESS`. None: one for each
                core.
            max_threads: worker threads at once, for `ExecuteIn.THREAD`. None: 4 more than there are
                cores, at most 32.
            shutdown_timeout: seconds that running jobs have after `shutdown`; then they are
                cancelled. None: as long as they take. Entering and leaving the `lifespan` is cut
                short by then as well; leaving it has 2 seconds at least, if the timeout is no
                shorter.
            actors: the names of those to run. None: all of them.
            task_status: for `task_group.start`.

        Returns:
            Why it ended, and how many jobs were handled, failed, were dead-lettered and handed
            back. The log has it as well, at level INFO, however `listen` ends.

        Raises:
            ValueError: an argument is out of its range, or there is no actor of such a name.
            TypeError: an argument is of a wrong type.
            ConsumerConfigError: an actor is not registered, or with the consumer on the server its
                events would not come as they should. What differs and breaks no promise is logged
                as a warning, and the actor works with what the server has.
            StreamConfigError: the stream of an actor's event belongs to another event.
            RuntimeError: this connection is listening already; or the main program has no guard,
                and runs again in a worker process.
            ConnectionLostError: the connection is closed for good, or was left while it listened.
            Exception: what the `lifespan` raised.
            ExceptionGroup: more than one thing broke while listening; holds these errors.
        """
        refuse_again("listen()")
        check_count("max_polls", max_polls, optional=True)
        check_count("batch", batch, optional=True)
        check_count("max_jobs", max_jobs)
        check_count("max_processes", max_processes, optional=True)
        check_count("max_threads", max_threads, optional=True)
        if shutdown_timeout is not None:
            check_seconds("shutdown_timeout", shutdown_timeout, 0.0)
        if poll_delay is None:
            poll_delay = 2.0 if burst else 30.0
        # A request that never waits makes sense only where nothing there means the end.
        check_seconds("poll_delay", poll_delay, 0.0 if burst else 0.05)
        chosen = self._actors.only(actors)
        if self._listening is not None:
            raise RuntimeError("this connection is listening already: connect once more")
        self._listening = listening = Listening(
            self._link,
            chosen,
            options=Options(burst, batch, poll_delay, heartbeats=not self._link.in_process),
            max_jobs=max_jobs,
            polls=Polls(max_polls),
            executors=Executors(max_threads, max_processes),
            controls=self._controls,
            lifespan=LifespanRun(chosen.lifespan, shutdown_timeout, self._link.backend.clock),
        )
        try:
            return await self._listen(listening, chosen, shutdown_timeout, task_status)
        finally:
            self._end(listening)

    async def _listen(
        self,
        listening: Listening,
        chosen: Actors,
        shutdown_timeout: float | None,
        task_status: TaskStatus[None],
    ) -> Summary:
        on_server = self._named_on_server(chosen)
        with listening.starting():
            listening.work_with(await check_consumers(self._link, on_server))
            await self._look_for_streams(chosen)
        if self._stop_first:
            listening.stop()

        async def work() -> None:
            async with listening.executors:
                await listening.run(shutdown_timeout, task_status)

        try:
            await listening.lifespan.around(self, listening.keep_state, work)
            listening.raise_failure()  # the lifespan may have been cut short for it
        finally:
            summary = listening.summary()
            logger.info("listened: %s", summary)
        return summary

    def _named_on_server(self, actors: Actors) -> list[Actor[Any, Any]]:
        return [on_server(actor, self._link.prefixes) for actor in actors]

    def _end(self, listening: Listening) -> None:
        listening.over.set()
        self._last = listening.total()
        self._listening = None
        listening.release()
        self._stop_first = False

    async def _look_for_streams(self, actors: Actors) -> None:
        for entry in await register_helpers(self._link, actors, RegisterOptions()):
            if entry.error is not None:
                # A worker's user may not be allowed to look. Nothing is lost without them.
                logger.warning(
                    "the streams for dead letters and notes of attempts may be missing: %s",
                    entry.error,
                )

    async def leave(self) -> None:
        """Stop `listen`, if it runs on in another task, as nothing can be settled afterwards."""
        listening = self._listening
        if listening is None:
            return
        over = listening.over  # all else of it is released then
        listening.failed(ConnectionLostError(LEFT))
        with anyio.move_on_after(LEAVE_WITHIN, shield=True):
            await over.wait()
        if not over.is_set():
            logger.error(
                "a connection was left, and `listen` did not end within %g s: what its jobs hold "
                "comes again after ack_wait", LEAVE_WITHIN,
            )  # fmt: skip

    def statistics(self) -> ListenStatistics:
        """What the actors are doing, what they have done, and the state of the connection.

        It counts the run of `listen` that is going on; between two, it shows what the last one did.
        Never blocks, sends nothing, and costs some microseconds for each actor. Call it in the
        thread of the event loop.
        """
        if self._listening is None:
            return replace(self._last, connection=self._link.statistics())
        return self._listening.statistics()

    def shutdown(self) -> None:
        """Stop gracefully: take no more events, finish the running jobs, then `listen` returns.

        Never blocks. Events that are not started go back to the server at once. Before `listen`
        it makes the next `listen` return at once.
        """
        if self._listening is None:
            self._stop_first = True
        else:
            self._listening.stop()

    async def pause(
        self, actor: str, seconds: float | None = None, *, everywhere: bool = False
    ) -> None:
        """Have an actor take no events, until `resume` or for some time.

        Jobs that run go on. Events that are here and not started go back to the server at once.

        In this process it holds from now on, in this run of `listen` and the next, for actors of
        this connection. With `everywhere` the server keeps it for all processes, from nats-server
        2.11 on: it survives restarts of the server and of all processes, and its end needs nobody.
        Then this waits for the server's answer, and other processes get no more events from then
        on.

        Args:
            actor: its name; if several have it, on several events, all of them.
            seconds: how long; at least 0.001. None: until `resume`.
            everywhere: in all processes rather than in this one.

        Raises:
            ValueError: there is no such actor, or `seconds` is out of range.
            TypeError: an argument is of a wrong type.
            ServerError: with `everywhere`: the server is too old, or there is no consumer, or the
                user may not pause it, or the server does not answer.
            ConnectionLostError: the connection is closed for good.
        """
        chosen = self._only(actor)
        if seconds is not None:
            check_seconds("pause: seconds", seconds)
        if everywhere:
            for each in self._named_on_server(chosen):
                await pause_consumer(
                    self._link,
                    each.event.stream_name,
                    each.consumer_name,
                    seconds,
                    replicas=each.event.replicas,
                )
            return
        await checkpoint()
        until = math.inf if seconds is None else anyio.current_time() + seconds
        self._controls.pause(chosen, until)
        self._controlled()

    async def cancel(
        self, uid: str | None = None, *, actor: str | None = None, sequence: int | None = None
    ) -> CancelResult:
        """Cancel an event of these actors, wherever it is: waiting or running.

        As `ConnectedEvents.cancel`, for the events of the actors; what is not due yet is only found
        by that.

        Args:
            uid: what it was emitted with.
            actor: the event of this actor is meant. None: those of all actors of the registry.
            sequence: its number in the stream of that event, in place of a `uid`.

        Returns:
            What it was: `CancelResult.WAITING`, `RUNNING`, or `NOT_FOUND`.

        Raises:
            ValueError: there is no such actor, `uid` is empty, both or none of `uid` and `sequence`
                are given, or a `sequence` without `actor`.
            TypeError: an argument is of a wrong type.
            ServerError: the server does not answer, or this user may not do it.
            ConnectionLostError: the connection is closed for good.
        """
        check_cancelled_event(uid, actor, sequence)
        chosen = self._actors if actor is None else self._actors.only([actor])
        events = {each.event.name: each.event for each in self._named_on_server(chosen)}
        return await cancel_event(self._link, events.values(), uid, sequence)

    async def resume(self, actor: str, *, everywhere: bool = False) -> None:
        """Have an actor take events again, in this process or, with `everywhere`, in all.

        The two are apart: what was paused everywhere is not resumed in this process alone, and an
        actor that is paused here stays so. Resuming what is not paused does nothing.

        Args:
            actor: its name; if several have it, on several events, all of them.
            everywhere: end the pause that the server keeps.

        Raises:
            ValueError: there is no such actor.
            ServerError: as of `pause`.
            ConnectionLostError: the connection is closed for good.
        """
        chosen = self._only(actor)
        if everywhere:
            for each in self._named_on_server(chosen):
                await resume_consumer(
                    self._link,
                    each.event.stream_name,
                    each.consumer_name,
                    replicas=each.event.replicas,
                )
            return
        await checkpoint()
        self._controls.resume(chosen)
        self._controlled()

    def set_max_jobs(self, actor: str, max_jobs: int | None) -> None:
        """Have another number of jobs of an actor run at once in this process, from now on.

        It holds in this run of `listen` and the next. Jobs that run already go on; events that wait
        here for a slot are run as slots become free. `max_jobs` of `listen` is the limit still.
        Never blocks.

        Args:
            actor: its name; if several have it, on several events, each of them.
            max_jobs: at least 1. None: as many as it declares, again.

        Raises:
            ValueError: there is no such actor, or `max_jobs` is below 1.
            TypeError: an argument is of a wrong type.
        """
        check_count("set_max_jobs: max_jobs", max_jobs, optional=True)
        self._controls.limit(self._only(actor), max_jobs)
        self._controlled()

    def _only(self, actor: str) -> Actors:
        check_type("the name of an actor", actor, str)
        return self._actors.only([actor])

    def _controlled(self) -> None:
        if self._listening is not None:
            self._listening.controlled()


@asynccontextmanager
async def connect_actors(
    actors: Actors,
    server: Server | None,
    close: bool,
    prefixes: Prefixes,
    options: dict[str, Any],
) -> AsyncIterator[ConnectedActors]:
    """What `Actors.connect` documents."""
    refuse_again("Actors.connect()")
    async with open_link(server, close=close, options=options, prefixes=prefixes) as link:
        connected = ConnectedActors(actors, link)
        try:
            yield connected
        finally:
            await connected.leave()
