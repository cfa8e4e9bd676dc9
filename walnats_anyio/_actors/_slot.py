"""A job slot: a task that runs jobs of one actor."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import checkpoint

from walnats_anyio._actors._job import Ending
from walnats_anyio._actors._verdict import Outcome
from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._link import Message

if TYPE_CHECKING:
    from walnats_anyio._actors._listener import Listener

YIELD_EVERY = 0.001
"""Seconds after which a slot whose handler never waits lets others run."""

KEEP_PARKED = 1024
"""Slots that wait for their next event instead of ending; waking one costs a fifth of a new one."""


class Slot:
    """A task that runs jobs of one actor, one after another."""

    __slots__ = ("_since", "_spot", "active", "called", "current", "listener")

    def __init__(self, listener: Listener, event: Message | None) -> None:
        self.listener = listener
        self.active = True
        """Whether it holds its tokens."""
        self.called = True
        """Whether it is on its way to its first event since it was called."""
        self.current: Message | None = event
        """The event whose job runs, or is to run next."""
        self._since = monotonic()
        self._spot = listener.new_spot()

    def wake(self, event: Message | None) -> None:
        """Go on with this event."""
        self.active = self.called = True
        self.current = event
        self._spot.wake()

    async def run(self) -> None:
        """Run jobs until there is no more use for this slot."""
        listener = self.listener
        try:
            while (ending := await self._until_ending()) is not None:
                received = self.current
                if received is not None:
                    await listener.endings.conclude(received, ending)
                    self.current = None
                await self._let_others_run()
        finally:
            if self.current is not None:
                # Cut short, so all is: first the requests end, or one might take what comes back.
                listener.stop()
                listener.hand_back(self.current.reply)
            if self.active:
                listener.release(self)

    async def _until_ending(self) -> Ending | None:
        """Run jobs in one scope until one needs more than an ack; None when there is no more use.

        The scope of a job that timed out is cancelled, and is left before anything else is done.
        """
        listener = self.listener
        jobs, attempts = listener.jobs, listener.attempts
        with anyio.CancelScope() as scope:
            while True:
                received = listener.next_for(self)
                if received is None:
                    if not await self._park():
                        return None
                    self._since = monotonic()
                    continue
                self.current = received
                ending = None
                # Compared with its beginning, as to take apart every reply subject would cost
                # 0.3 us of the 6 us that an event takes.
                if not received.reply.startswith(attempts.first) and not attempts.is_first(
                    received.reply
                ):
                    ending = await listener.endings.look_up(received)
                if ending is None:
                    ending = await jobs.run(received, scope)
                if ending is None:
                    listener.handled(received)
                elif ending.outcome is Outcome.RETURNED and not scope.cancel_called:
                    await listener.endings.conclude(received, ending)
                else:
                    return ending
                self.current = None
                if monotonic() - self._since > YIELD_EVERY:
                    await self._let_others_run()
        return _timed_out(listener.actor)

    async def _let_others_run(self) -> None:
        if monotonic() - self._since > YIELD_EVERY:
            await checkpoint()
            self._since = monotonic()

    async def _park(self) -> bool:
        parked = self.listener.parked
        if len(parked) >= KEEP_PARKED:
            return False
        parked.append(self)
        try:
            await self._spot.wait()
        except BaseException:
            if self in parked:
                parked.remove(self)
            raise
        return True


def _timed_out(actor: Actor[Any, Any]) -> Ending:
    error = TimeoutError(f"the job took longer than job_timeout={actor.job_timeout} s")
    return Ending(Outcome.TIMED_OUT, error)
