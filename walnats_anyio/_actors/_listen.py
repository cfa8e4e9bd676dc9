"""One run of `listen`: the tasks of all its actors, from the first request to the last ack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import anyio
from anyio.abc import TaskStatus

from walnats_anyio._actors._consumer_rules import Terms
from walnats_anyio._actors._consumers import check_again
from walnats_anyio._actors._listener import Listener
from walnats_anyio._actors._polls import Polls
from walnats_anyio._actors._requests import Options
from walnats_anyio._actors._slot import Slot
from walnats_anyio._actors._slots import Slots
from walnats_anyio._actors._summary import ActorSummary, Summary
from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.run import Executors
from walnats_anyio._link import (
    ConnectionLostError,
    ConsumerConfigError,
    Link,
    ServerError,
    WalnatsError,
)

CLOSE_WITHIN = 2.0
"""Seconds that the last words to the server may take; clean-up is shielded, so it is bounded."""

LOOK_EVERY = 60.0
"""Seconds between looks at each consumer, which others may change while it is listened to."""

LONGEST_TICK = 2.5
"""Seconds between looks at what is held and asked for, at most."""

SHORTEST_TICK = 0.02
"""The same, at least: others may set any `ack_wait`, and the loop has to do something else too."""


class Listening:
    """One run of `listen`.

    Every actor has a `Listener`, which receives in nats-py's loop and never waits, and a task that
    keeps its clock. Slots, the tasks that run jobs, are started by one task, the foreman, as
    nats-py's loop on trio cannot start tasks of the application. The body waits for a reason to
    end.
    """

    def __init__(
        self,
        link: Link,
        actors: Iterable[Actor[Any, Any]],
        *,
        options: Options,
        slots: Slots,
        polls: Polls,
        executors: Executors,
    ) -> None:
        self.link = link
        self.slots = slots
        self.polls = polls
        self.executors = executors
        self.options = options
        self._to_spawn: list[Slot] = []
        self._spawn_wanted = anyio.Event()
        self._changed = anyio.Event()
        self._new_terms = anyio.Event()
        self._stopping = False
        self._failure: Exception | None = None
        self._started_at = anyio.current_time()
        actors = list(actors)
        self._listeners = [Listener(actor, self, alone=len(actors) == 1) for actor in actors]

    def work_with(self, terms: Mapping[tuple[str, str], Terms]) -> None:
        """Take what the server has for each consumer; before `run`."""
        for listener in self._listeners:
            listener.doubts.terms = terms[listener.actor.event.name, listener.actor.name]

    async def run(self, shutdown_timeout: float | None, task_status: TaskStatus[None]) -> None:
        """Listen until stopped, until the burst is over, or until something breaks."""
        if self._stopping:
            task_status.started()
            return
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._foreman, tasks, name="walnats/foreman")
                for listener in self._listeners:
                    await listener.start()
                    name = f"walnats/{listener.actor.name}/deadlines"
                    tasks.start_soon(listener.jobs.deadlines.watch, name=name)
                tasks.start_soon(self._keep_time, tasks, name="walnats/clock")
                await self.link.flush()
                task_status.started()
                await self._until_over()
                await self._drain(shutdown_timeout)
                tasks.cancel_scope.cancel()
        finally:
            await self._close()

    def stop(self) -> None:
        """Take no more events and end when the running jobs have."""
        self._stopping = True
        self._changed.set()

    def summary(self) -> Summary:
        """What has been done so far."""
        return Summary(
            anyio.current_time() - self._started_at,
            tuple(
                ActorSummary(
                    listener.actor.name,
                    listener.actor.event.name,
                    listener.done,
                    counts.failed,
                    counts.buried,
                    counts.handed_back,
                )
                for listener in self._listeners
                for counts in (listener.counts,)
            ),
        )

    # what listeners call

    def spawn(self, slot: Slot) -> None:
        self._to_spawn.append(slot)
        self._spawn_wanted.set()

    def settled(self) -> None:
        self._changed.set()

    def failed(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        self._changed.set()

    # tasks

    async def _foreman(self, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            await self._spawn_wanted.wait()
            self._spawn_wanted = anyio.Event()
            starting, self._to_spawn = self._to_spawn, []
            for slot in starting:
                tasks.start_soon(slot.run, name=f"walnats/{slot.listener.actor.name}/slot")

    async def _keep_time(self, tasks: anyio.abc.TaskGroup) -> None:
        """Pulses for what is held, and an ear for a silent server: one clock for all actors.

        A task for each actor would wake up 400 times a second for 1,000 actors that are idle.
        """
        now = anyio.current_time()
        ticked = dict.fromkeys(self._listeners, now)
        looked = dict.fromkeys(self._listeners, now)
        while True:
            with anyio.move_on_after(min(map(_period, self._listeners))):
                await self._new_terms.wait()
                self._new_terms = anyio.Event()
            now = anyio.current_time()
            for listener in self._listeners:
                # Rather a little early than a whole round late.
                if now < ticked[listener] + _period(listener) * 0.9:
                    continue
                listener.tick(now - ticked[listener])
                ticked[listener] = now
                if listener.doubts.look or now >= looked[listener] + LOOK_EVERY:
                    looked[listener] = now
                    tasks.start_soon(self._look_after, listener)

    async def _look_after(self, listener: Listener) -> None:
        """End `listen` when a consumer is gone, or is not what it was; take its new terms."""
        doubts = listener.doubts
        in_doubt, doubts.look = doubts.look, False
        period = _period(listener)
        try:
            doubts.looked(await check_again(self.link, listener.actor, doubts.terms))
        except ConsumerConfigError as error:
            self.failed(error)
        except ServerError:
            doubts.look = in_doubt  # nobody answers at all: ask again
        except ConnectionLostError:
            return  # each listener hears of that from the link
        if _period(listener) < period:
            self._new_terms.set()

    async def _until_over(self) -> None:
        while not (self._stopping or self._burst_is_over()):
            self._raise_failure()
            await self._change()
        self._raise_failure()

    async def _drain(self, shutdown_timeout: float | None) -> None:
        """Let running jobs finish; those that do not in time are cancelled by the caller."""
        for listener in self._listeners:
            listener.stop()
        with anyio.move_on_after(shutdown_timeout):
            while self.slots.limiter.borrowed_tokens:
                await self._change()
                self._raise_failure()

    async def _change(self) -> None:
        await self._changed.wait()
        self._changed = anyio.Event()

    def _burst_is_over(self) -> bool:
        idle = not self.slots.limiter.borrowed_tokens
        return idle and all(each.finished and not each.held for each in self._listeners)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _close(self) -> None:
        """Stop the server's deliveries, hand back what still comes, and say the last words."""
        with anyio.move_on_after(CLOSE_WITHIN, shield=True):
            for listener in self._listeners:
                listener.stop()
                listener.hand_back_all()
            try:
                await self.link.flush(CLOSE_WITHIN)
            except WalnatsError as error:
                if not isinstance(error, ServerError) and self.link.closed is None:
                    raise
            for listener in self._listeners:
                await listener.close()


def _period(listener: Listener) -> float:
    """Seconds between the ticks of an actor: a few of them within its `ack_wait`."""
    return min(max(listener.doubts.terms.ack_wait / 4, SHORTEST_TICK), LONGEST_TICK)
