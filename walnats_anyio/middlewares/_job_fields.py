"""What the middlewares say about a job, and how they name an error."""

from __future__ import annotations

import math
from contextvars import ContextVar
from typing import Any

import anyio

from walnats_anyio._actors import HandlerError
from walnats_anyio._actors.declare import Actor, BaseContext, Context, ErrorContext, Snooze
from walnats_anyio._actors.settle import wish_of
from walnats_anyio._events import uid_in
from walnats_anyio._letters import message_of

CLOCK_RESOLUTION = 0.001
"""Seconds by which an event loop may be early."""

_started: ContextVar[tuple[object, ...] | None] = ContextVar("walnats_anyio.started", default=None)
"""The job in whose context this is, once the hooks for its start were called."""


def note_start(ctx: Context) -> None:
    """Note that the hooks for the start of this job were called."""
    _started.set(identity_of(ctx))


def has_started(ctx: ErrorContext) -> bool:
    """Whether this job came as far as its start; one whose message cannot be decoded does not."""
    return _started.get() == identity_of(ctx)


def identity_of(ctx: BaseContext) -> tuple[object, ...]:
    """What tells a job from all others of this process."""
    return ctx.actor.name, ctx.actor.event.name, ctx.seq_number, ctx.attempts


def fields_of(ctx: BaseContext) -> dict[str, object]:
    """What identifies a job, under the names that the log records of the library have."""
    return {
        "actor": ctx.actor.name,
        "event": ctx.actor.event.name,
        "sequence": ctx.seq_number,
        "attempt": ctx.attempts,
        "trace_id": ctx.trace_id,
        "uid": uid_in(ctx.headers),
    }


def error_type(error: BaseException) -> str:
    """The class of an error, with its module unless it is built in."""
    if isinstance(error, HandlerError):
        return error.type_name  # that of the other process
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def error_text(error: BaseException) -> str:
    """What an error says."""
    return message_of(error)


class JobClock:
    """Tells a handler that ran out of time from one that was stopped: both are cancelled."""

    def __init__(self, actor: Actor[Any, Any]) -> None:
        self._timeout = actor.job_timeout
        now, deadline = anyio.current_time(), anyio.current_effective_deadline()
        # The deadline of the job, unless the program itself ends sooner.
        is_of_job = deadline - now > self._timeout / 2
        self._deadline = deadline if is_of_job else math.inf

    def failure(self, error: BaseException) -> BaseException | None:
        """The failure that an exception out of the handler is; None where the job goes back.

        So it does when it was stopped, and when it asked for that by `Snooze`.
        """
        if isinstance(wish_of(error), Snooze):
            return None
        if not isinstance(error, anyio.get_cancelled_exc_class()):
            return error
        if anyio.current_time() >= self._deadline - CLOCK_RESOLUTION:
            return TimeoutError(f"the job took longer than job_timeout={self._timeout:g} s")
        return None
