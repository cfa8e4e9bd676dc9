"""A job: one run of a handler, in a context of its own, with hooks around it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context as ContextVars
from contextvars import copy_context
from dataclasses import dataclass
from time import monotonic
from types import CoroutineType
from typing import Any, cast

import anyio

from walnats_anyio._actors._attempts import Attempts
from walnats_anyio._actors._deadlines import Deadlines
from walnats_anyio._actors._verdict import Outcome
from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.declare._choices import ExecuteIn, Reject, Retry
from walnats_anyio._actors.declare._contexts import (
    BaseContext,
    Context,
    ErrorContext,
    OkContext,
)
from walnats_anyio._actors.declare._handler import check_result
from walnats_anyio._actors.run import Executors
from walnats_anyio._link import Message, cancelled_from_outside, parse_headers

logger = logging.getLogger("walnats_anyio.actors")


class Resumed:
    """Awaits the rest of a coroutine that was started in a context of its own.

    Every step of it runs in that context, so what one job sets in a context variable is not seen
    by the next job of the same task.
    """

    __slots__ = ("_context", "_coroutine", "_yielded")

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], context: ContextVars, yielded: Any
    ) -> None:
        self._coroutine = coroutine
        self._context = context
        self._yielded = yielded

    def __await__(self) -> Generator[Any, Any, Any]:
        run, send, throw = self._context.run, self._coroutine.send, self._coroutine.throw
        yielded = self._yielded
        try:
            while True:
                try:
                    sent = yield yielded
                except BaseException as error:  # noqa: BLE001 - every one belongs to the coroutine
                    yielded = run(throw, error)
                else:
                    yielded = run(send, sent)
        except StopIteration as stop:
            return stop.value


@dataclass(slots=True)
class Ending:
    """How a job ended."""

    outcome: Outcome
    error: BaseException | None = None
    message: Any = None
    duration: float = 0.0


class Jobs:
    """Runs the jobs of one actor."""

    def __init__(
        self,
        actor: Actor[Any, Any],
        executors: Executors,
        attempts: Attempts,
        suspending: Callable[[], None],
    ) -> None:
        self.actor = actor
        self.deadlines = Deadlines(actor.job_timeout)
        self.cancelled = anyio.get_cancelled_exc_class()
        self._executors = executors
        self._attempts = attempts
        self._tells_of_returning = bool(actor.middlewares) or actor.ack == "confirmed"
        self._suspending = suspending
        self._decode = actor.event.decode
        self._handler = actor.handler
        self._in_main = actor.execute_in is ExecuteIn.MAIN

    async def run(self, received: Message, scope: anyio.CancelScope) -> Ending | None:
        """Run the handler once. None: it returned, and nobody is to be told.

        `scope` is the innermost scope around the call, which is cancelled at the deadline. A
        handler that never suspends has none, as nothing could interrupt it. A cancellation is
        raised, also the one of the deadline.
        """
        started = monotonic()
        try:
            if received.header:
                # A malformed header block spoils its message.
                parse_headers(received.header)
            message = self._decode(received.data)
        except Exception as error:  # noqa: BLE001 - a payload can fail in any way; it is an ending
            return Ending(Outcome.UNDECODABLE, error)
        try:
            if self.actor.middlewares:
                attempt = self._attempts.of(received.reply)
                await self.tell("on_start", Context(self.actor, received, attempt, message))
            await self._handle(message, scope, started)
        except Exception as error:  # noqa: BLE001 - a handler can raise anything; it is an ending
            return Ending(Outcome.RAISED, error, message)
        except self.cancelled as error:
            if cancelled_from_outside():
                raise
            # It came out of the handler by itself, such as from a future that somebody cancelled.
            return Ending(Outcome.RAISED, error, message)
        except BaseExceptionGroup as group:
            cancelled, _ = group.split(self.cancelled)
            if cancelled is None:
                raise
            # A task group that was cancelled, and where a clean-up failed on top of it.
            logger.exception("actor %r: cancelled, and its clean-up failed", self.actor.name)
            raise cancelled from None
        finally:
            self.deadlines.end(scope)
        if self._tells_of_returning or scope.cancel_called:
            return Ending(Outcome.RETURNED, None, message, monotonic() - started)
        return None

    async def _handle(self, message: Any, scope: anyio.CancelScope, started: float) -> None:
        if not self._in_main:
            self._suspending()
            actor = self.actor
            await self._executors.run(
                actor.execute_in, self._handler, message, actor=actor.name, event=actor.event.name,
                # Not before: what waits for a place must not use up its time.
                started=lambda: self.deadlines.start(scope, monotonic()),
            )  # fmt: skip
            return
        context = copy_context()
        coroutine = _call(context, self._handler, message)
        if coroutine is None:
            return
        try:
            yielded = context.run(coroutine.send, None)
        except StopIteration as stop:
            # It never had to wait, so there is nothing that a deadline could end.
            if stop.value is not None:
                check_result(stop.value)
            return
        self.deadlines.start(scope, started)
        self._suspending()
        result = await Resumed(coroutine, context, yielded)
        if result is not None:
            check_result(result)

    async def told(self, received: Message, ending: Ending, attempt: int) -> None:
        """Tell the middlewares and the log how a job ended."""
        actor = self.actor
        match ending.outcome:
            case Outcome.RETURNED:
                context = OkContext(actor, received, attempt, ending.message, ending.duration)
                await self.tell("on_success", context)
            case Outcome.STOPPED:
                pass
            case _:
                self._log(received, ending, attempt)
                error = ending.error or RuntimeError(ending.outcome.value)
                message = ending.message
                if ending.outcome is Outcome.TIMED_OUT:
                    message = self._decode(received.data)
                await self.tell(
                    "on_failure", ErrorContext(actor, received, attempt, message, error)
                )

    async def tell(self, hook: str, context: BaseContext) -> None:
        """Call a hook of every middleware; what one raises is logged."""
        name = self.actor.name
        for middleware in self.actor.middlewares:
            try:
                pending: Awaitable[None] | None = getattr(middleware, hook)(context)
                if pending is None:
                    continue
                self._suspending()
                with anyio.move_on_after(self.actor.job_timeout) as scope:
                    await pending
                if scope.cancelled_caught:
                    logger.error("actor %r: %s took longer than job_timeout", name, hook)
            except Exception:
                logger.exception("actor %r: %s of %r raised", name, hook, type(middleware).__name__)
            except self.cancelled:
                if cancelled_from_outside():
                    raise
                logger.exception("actor %r: %s cancelled itself", name, hook)

    def _log(self, received: Message, ending: Ending, attempt: int) -> None:
        error = ending.error
        sequence = received.metadata.sequence.stream
        if isinstance(error, Retry | Reject):
            logger.info(
                "actor %r: event %d, attempt %d: %s: %s",
                self.actor.name, sequence, attempt, type(error).__name__, error,
            )  # fmt: skip
            return
        logger.error(
            "actor %r: event %d, attempt %d %s",
            self.actor.name, sequence, attempt, ending.outcome.value, exc_info=error,
        )  # fmt: skip


def _call(
    context: ContextVars, handler: Callable[[Any], Any], message: Any
) -> Coroutine[Any, Any, Any] | None:
    """Call a handler in a context; gives what is left to await."""
    result: Any = context.run(handler, message)
    if result is None:
        return None
    if type(result) is CoroutineType:
        return cast("Coroutine[Any, Any, Any]", result)
    if isinstance(result, Awaitable):
        return _await(result)
    check_result(result)
    return None


async def _await(awaitable: Any) -> Any:
    return await awaitable
