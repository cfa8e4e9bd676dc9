"""The hooks of middlewares around a job."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import Context as ContextVars
from typing import Any

import anyio

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.declare._contexts import (
    BaseContext,
    Context,
    ErrorContext,
    OkContext,
)
from walnats_anyio._actors.settle._delivery import Delivery
from walnats_anyio._actors.settle._steps import Steps
from walnats_anyio._actors.settle._verdict import JobResult, Outcome
from walnats_anyio._link import cancelled_from_outside

logger = logging.getLogger("walnats_anyio.actors")


class Hooks:
    """Calls the hooks of one actor's middlewares. What one raises is logged, and changes nothing.

    They run in the context of the job, so what one of them sets in a context variable is seen by
    the handler and by the later hooks, and by no other job.
    """

    def __init__(self, actor: Actor[Any, Any], suspending: Callable[[], None]) -> None:
        self.any = bool(actor.middlewares)
        """Whether there are middlewares."""
        self._actor = actor
        self._suspending = suspending
        self._cancelled = anyio.get_cancelled_exc_class()

    async def start(self, delivery: Delivery, message: Any, context: ContextVars) -> None:
        """A job starts."""
        told = Context(self._actor, delivery.message, delivery.attempt, message)
        await self._run("on_start", told, context)

    async def end(self, delivery: Delivery, result: JobResult) -> None:
        """A job has come to its end."""
        if not self.any:
            return
        actor, message, attempt = self._actor, delivery.message, delivery.attempt
        context = result.context or ContextVars()
        if result.outcome is Outcome.RETURNED:
            told = OkContext(actor, message, attempt, result.message, result.duration)
            await self._run("on_success", told, context)
        else:
            error = result.error or RuntimeError(result.outcome.value)
            failed = ErrorContext(actor, message, attempt, result.message, error)
            await self._run("on_failure", failed, context)

    async def _run(self, hook: str, told: BaseContext, context: ContextVars) -> None:
        name = self._actor.name
        for middleware in self._actor.middlewares:
            try:
                pending = context.run(getattr(middleware, hook), told)
                if pending is None:
                    continue
                self._suspending()
                with anyio.move_on_after(self._actor.job_timeout) as scope:
                    await _in_context(pending, context)
                if scope.cancelled_caught:
                    logger.error("actor %r: %s took longer than job_timeout", name, hook)
            except Exception:
                logger.exception("actor %r: %s of %r raised", name, hook, type(middleware).__name__)
            except self._cancelled:
                if cancelled_from_outside():
                    raise
                logger.exception("actor %r: %s cancelled itself", name, hook)


async def _in_context(awaitable: Any, context: ContextVars) -> None:
    async def run() -> None:
        await awaitable

    coroutine = run()
    try:
        yielded = context.run(coroutine.send, None)
    except StopIteration:
        return
    await Steps(coroutine, context.run, yielded, None)
