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
    ErrorContext,
    OkContext,
)
from walnats_anyio._actors.declare._middleware import Middleware
from walnats_anyio._actors.settle._delivery import Delivery
from walnats_anyio._actors.settle._steps import Steps
from walnats_anyio._actors.settle._verdict import JobResult, Outcome
from walnats_anyio._link import cancelled_from_outside

logger = logging.getLogger("walnats_anyio.actors")


class Hooks:
    """Calls the hooks of one actor's middlewares. What one raises is logged, and changes nothing.

    They run in the context of the job, so what one of them sets in a context variable is seen by
    the handler and by the later hooks, and by no other job. Those of the end run in reverse order.
    """

    def __init__(self, actor: Actor[Any, Any], suspending: Callable[[], None]) -> None:
        self.any = bool(actor.middlewares)
        """Whether there are middlewares."""
        self._actor = actor
        self._suspending = suspending
        self._cancelled = anyio.get_cancelled_exc_class()

    async def start(self, delivery: Delivery, context: ContextVars) -> None:
        """A job starts."""
        await self._run("on_start", delivery.context(), context)

    async def end(self, delivery: Delivery, result: JobResult) -> None:
        """A job has come to its end."""
        if not self.any:
            return
        actor, message, attempt = self._actor, delivery.message, delivery.attempt
        context = result.context or ContextVars()
        if result.outcome is Outcome.RETURNED:
            told = OkContext(
                actor, message, attempt, result.message, result.duration, _job=delivery
            )
            await self._run("on_success", told, context)
        else:
            error = result.error or RuntimeError(result.outcome.value)
            failed = ErrorContext(
                actor, message, attempt, result.message, error, result.duration, _job=delivery
            )
            await self._run("on_failure", failed, context)

    async def _run(self, hook: str, told: BaseContext, context: ContextVars) -> None:
        middlewares = self._actor.middlewares
        for middleware in middlewares if hook == "on_start" else reversed(middlewares):
            try:
                pending = context.run(getattr(middleware, hook), told)
                if pending is None:
                    continue
                self._suspending()
                with anyio.move_on_after(self._actor.job_timeout) as scope:
                    await _in_context(pending, context)
                if scope.cancelled_caught:
                    self._log(middleware, hook, "took longer than job_timeout")
            except Exception as error:  # noqa: BLE001 - a hook can raise anything
                self._log(middleware, hook, "raised", error)
            except self._cancelled as error:
                if cancelled_from_outside():
                    raise
                self._log(middleware, hook, "cancelled itself", error)
            except BaseException as error:
                # What is left: a `sys.exit`, a panic of an extension. A group may hold a
                # cancellation.
                if isinstance(error, KeyboardInterrupt | GeneratorExit | BaseExceptionGroup):
                    raise
                self._log(middleware, hook, "raised", error)

    def _log(
        self, middleware: Middleware, hook: str, what: str, error: BaseException | None = None
    ) -> None:
        logger.error(
            "actor %r: event %r: %s: %s %s",
            self._actor.name, self._actor.event.name, type(middleware).__name__, hook, what,
            exc_info=error,
        )  # fmt: skip


async def _in_context(awaitable: Any, context: ContextVars) -> None:
    async def run() -> None:
        await awaitable

    coroutine = run()
    try:
        yielded = context.run(coroutine.send, None)
    except StopIteration:
        return
    await Steps(coroutine, context.run, yielded, None)
