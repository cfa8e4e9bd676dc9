"""Workers that are killed in the middle of a retry that is postponed: one process, forked for each.

`python -m tests.actors.settle._killed URL NAME NOTES BACKEND`
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from tests.actors._elsewhere import note
from walnats_anyio import Actor, Actors, Event, Retry, current_context
from walnats_anyio._actors.settle import _conclusion
from walnats_anyio._actors.settle._delivery import Deliveries
from walnats_anyio._actors.settle._notes import Notes
from walnats_anyio._actors.settle._postponing import Postponing

DELAY = 0.3
"""Seconds until the retry."""

LONG = 0.2
"""Seconds from which on a retry is postponed here."""

ACK_WAIT = 1.0


def actor_of(event: Event[int], notes: str) -> Actor[int, None]:
    """An actor whose first attempt of everything fails, and that notes each attempt."""

    async def handle(message: int) -> None:
        context = current_context()
        note(f"{context.attempts} {context.idempotency_key}", notes)
        if context.attempts == 1:
            raise Retry(DELAY)

    return Actor("a", event, handle, ack_wait=ACK_WAIT)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def put(owner: type, name: str, call: object) -> None:
    setattr(owner, name, call)


def dying(call: Callable[..., Awaitable[Any]], *, before: bool) -> Callable[..., Awaitable[Any]]:
    """The same call, before or after which the process dies."""

    async def call_and_die(*args: Any) -> None:
        if not before:
            await call(*args)
        die()

    return call_and_die


def before_the_note() -> None:
    put(Notes, "swap", dying(Notes.swap, before=True))


def after_the_note() -> None:
    put(Postponing, "_write", dying(Postponing._write, before=True))


def after_the_copy() -> None:
    put(Postponing, "_write", dying(Postponing._write, before=False))


def before_the_acknowledgement_is_out() -> None:
    put(Deliveries, "on_settled", lambda *_: die())


def at_the_arrival_of_the_copy() -> None:
    put(Postponing, "_take", dying(Postponing._take, before=True))


def after_it_was_taken() -> None:
    put(Postponing, "_take", dying(Postponing._take, before=False))


STEPS = {
    before_the_note: [1, 2],
    after_the_note: [1, 2],
    after_the_copy: [1, 2],
    before_the_acknowledgement_is_out: [1, 2],
    # The copy was delivered, and its process died: an attempt, as nobody knows how far it came.
    at_the_arrival_of_the_copy: [1, 3],
    after_it_was_taken: [1, 3],
}
"""Where the worker is killed, and the attempts that are run in all."""


def event_of(name: str, number: int) -> Event[int]:
    """The event of a step; on disk, as any event of a program."""
    return Event(f"{name}-{number}", int)


async def work(url: str, event: Event[int], notes: str) -> None:
    async with Actors(actor_of(event, notes)).connect(url) as conn:
        await conn.listen()


def main(url: str, name: str, notes: str, backend: str) -> None:
    _conclusion.LONG_DELAY = LONG
    for number, step in enumerate(STEPS):
        child = os.fork()
        if not child:
            step()
            anyio.run(work, url, event_of(name, number), f"{notes}.{number}", backend=backend)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, f"{step.__name__}: {status}"


if __name__ == "__main__":
    main(*sys.argv[1:])
