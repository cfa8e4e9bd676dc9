"""A job: one run of a handler, in a context of its own, with hooks around it."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from contextvars import Context as ContextVars
from contextvars import copy_context
from functools import partial
from inspect import CO_COROUTINE
from time import monotonic
from types import CoroutineType, FunctionType
from typing import Any, Protocol, TypeAlias

import anyio

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.declare._choices import ExecuteIn
from walnats_anyio._actors.declare._handler import check_result
from walnats_anyio._actors.declare._middleware import Middleware
from walnats_anyio._actors.run import _forks
from walnats_anyio._actors.run._answering import Answering
from walnats_anyio._actors.run._executors import Executors
from walnats_anyio._actors.run._pace import Pace
from walnats_anyio._actors.settle import Callers, Delivery, Hooks, JobResult, Outcome
from walnats_anyio._actors.settle._reports import report_late
from walnats_anyio._actors.settle._steps import BLOCKING, Steps
from walnats_anyio._actors.settle._verdict import leaves_of
from walnats_anyio._events import (
    as_answered,
    current_job,
    data_of,
    decode_message,
    fill_in_tick,
)
from walnats_anyio._link import Backend, HeaderError, Scope

logger = logging.getLogger("walnats_anyio.actors")

REMEDY = (
    "it holds up every other job and the pulses: await something instead, or declare the actor "
    "with execute_in=ExecuteIn.THREAD or ExecuteIn.PROCESS"
)

COROUTINE: Any = CoroutineType
"""Without its type: a type checker would know less of what is of it, not more."""

Begun: TypeAlias = tuple[Coroutine[Any, Any, Any], Any]
"""What is left of a handler that waits: its coroutine, and what it has yielded."""


class Running(Protocol):
    """What a job leaves with its worker while it waits, for the case that it is cut short."""

    message: Any
    context: ContextVars | None
    began: float
    is_first: bool
    cancels: Callable[[], int] | None
    """See `Backend.cancels`: that of the task of the worker."""


WAITED = JobResult(Outcome.RETURNED)
"""The result of a job that has waited and returned, where nobody is told, and nothing is to be sent
first: what is left to do is to acknowledge it. A coroutine to conclude it would take longer."""


class Stopped(Exception):
    """The task of a job was cancelled from outside of any scope (asyncio only)."""


def is_cancelled(cancels: Callable[[], int] | None) -> bool:
    """Whether just one task is cancelled, natively (asyncio only)."""
    return cancels is not None and cancels() > 0


class Jobs:
    """Runs the jobs of one actor."""

    def __init__(
        self,
        actor: Actor[Any, Any],
        executors: Executors,
        hooks: Hooks,
        backend: Backend,
        suspending: Callable[[], None],
        pace: Pace,
        callers: Callers | None = None,
    ) -> None:
        self.actor = actor
        self._callers = callers
        self._pace = pace
        self._cancelled = anyio.get_cancelled_exc_class()
        self._executors = executors
        self._hooks = hooks
        self._backend = backend
        self.uninterrupted = backend.uninterrupted
        """Makes a task that Ctrl-C interrupts only inside of handlers."""
        self._is_told = hooks.any or actor.ack == "confirmed"
        self._around = [
            middleware
            for middleware in actor.middlewares
            if type(middleware).around is not Middleware.around
        ]
        self._suspending = suspending
        self._decode = actor.event.codec.decode
        self._handler = actor.handler
        self._in_main = actor.execute_in is ExecuteIn.MAIN
        self._answered = as_answered(actor.event)
        self._is_plain = self._in_main and not self._is_told and self._answered is None
        self.runs_here = self._is_plain
        """Whether what `begin` does is the first step of the handler, and nothing else."""
        self._timeout = actor.job_timeout
        self._has_warned = False
        self.longest_step = 0.0
        """Seconds for which the handler has kept the event loop from anything else, at most."""
        of_coroutine = _makes_coroutines(actor.handler) and self._answered is None
        first_step = _step_of_coroutine if of_coroutine else _first_step
        # The rest of the worker is not interrupted in the middle, but a handler is.
        self._first_step = backend.interrupted_in(first_step)
        self._forked = _forks.mark()

    def begin(
        self, running: Running, delivery: Delivery, scope: Scope
    ) -> JobResult | Coroutine[Any, Any, JobResult] | None:
        """Begin a job: run the handler up to where it waits for the first time.

        There is no coroutine where it does not wait: to make and await one costs 0.1 us of the 5 us
        of an event.

        Args:
            running: where message and context are kept while the handler waits.
            delivery: what is handled.
            scope: the innermost scope around the call. It has `job_timeout` as its deadline from
                the moment at which the handler starts.

        Returns:
            How it ended. None: it returned without ever having waited, nobody is to be told, and
            it has emitted nothing.
            A coroutine: what is left to await. It gives how the job ended, and raises what `begin`
            does.

        Raises:
            Stopped: the task was cancelled natively.
            BaseException: a cancellation, also the one of the deadline; and `KeyboardInterrupt`.
        """
        received = delivery.message
        try:
            if received.header:
                # A malformed header block spoils its message.
                message = self._decode(data_of(received.header, received.data))
            else:
                message = self._decode(received.data)
        except Exception as error:  # noqa: BLE001 - a payload can fail in any way
            if not received.data and fill_in_tick(received):
                return self.begin(running, delivery, scope)
            return self._undecodable(delivery, error)
        delivery.decoded = message
        if not self._is_plain:
            context = copy_context()
            context.run(current_job.set, delivery)
            if self._callers is not None:
                refusal = self._callers.refusal_of(delivery)
                if refusal is not None:
                    return JobResult(refusal, None, message, context=context)
            return self._run(running, delivery, scope, message, context)
        # Set in the context of the worker, and copied: in that of the job it takes 0.1 us more.
        current_job.set(delivery)
        context = copy_context()
        try:
            begun = self._first_step(context.run, self._handler, message)
        except BaseException as error:  # noqa: BLE001 - what is not the handler's is raised again
            return self._raised(error, scope, message, context)
        if self._forked:
            _forks.end_child()
        if begun is not None:
            return self._go_on(running, delivery, scope, message, context, begun)
        # What it has emitted is to be sent first.
        return JobResult(Outcome.RETURNED, None, message) if delivery.emits else None

    def _undecodable(self, delivery: Delivery, error: Exception) -> JobResult:
        context = copy_context()
        context.run(current_job.set, delivery)
        if not isinstance(error, HeaderError):
            # The serializer does not know the event, which is the better part of the error.
            try:
                received = delivery.message
                decode_message(self.actor.event, received.data, received.headers)
            except Exception as named:  # noqa: BLE001 - see above
                error = named
        return JobResult(Outcome.UNDECODABLE, error, context=context)

    async def _run(
        self,
        running: Running,
        delivery: Delivery,
        scope: Scope,
        message: Any,
        context: ContextVars,
    ) -> JobResult:
        """Run a handler elsewhere, or one of whose end somebody is told."""
        running.message, running.context = message, context
        handler, answering = self._handler, None
        if self._answered is not None:
            handler = answering = Answering(handler, self._answered)
        try:
            if self._hooks.any:
                scope.deadline = math.inf  # hooks have a time of their own
                await self._hooks.start(delivery, context)
                scope.deadline = anyio.current_time() + self._timeout
            if self._callers is not None:
                self._end_in_time(delivery, scope, self._timeout)
            running.began = monotonic()
            if not self._in_main and not self._around:
                self._suspending()
                await self._elsewhere(delivery, handler, message, scope, context)
            else:
                if self._around:
                    handler = partial(self._surrounded, delivery, scope, context, handler)
                begun = self._first_step(context.run, handler, message)
                if self._forked:
                    _forks.end_child()
                if begun is not None:
                    await self._wait_for(begun, running, context)
        except BaseException as error:  # noqa: BLE001 - what is not the handler's is raised again
            result = self._raised(error, scope, message, context)
            if delivery.ends is Outcome.OVERDUE and scope.cancel_called:
                # Its caller waits no more: what its clean-up raised is no attempt.
                result.outcome = Outcome.OVERDUE
            result.duration = _since(running)
            return result
        response = None if answering is None else answering.response
        return JobResult(Outcome.RETURNED, None, message, _since(running), context, response)

    def _end_in_time(self, delivery: Delivery, scope: Scope, timeout: float) -> None:
        """Have a job end in `timeout` seconds, or when the caller of its request waits no more."""
        if self._callers is not None and delivery.ends is not Outcome.CANCELLED:
            left = self._callers.seconds_left(delivery)
            delivery.ends = Outcome.OVERDUE if left < timeout else None
            timeout = min(timeout, left)
        scope.deadline = anyio.current_time() + timeout

    async def _surrounded(
        self,
        delivery: Delivery,
        scope: Scope,
        context: ContextVars,
        handler: Callable[[Any], Any],
        message: Any,
    ) -> None:
        """Run a handler inside of what its middlewares put around it, as a part of the job."""
        async with AsyncExitStack() as stack:
            told = delivery.context()
            for middleware in self._around:
                await stack.enter_async_context(middleware.around(told))
            if not self._in_main:
                await self._elsewhere(delivery, handler, message, scope, context)
                return
            result: Any = handler(message)
            if isinstance(result, Awaitable):
                result = await _await(result)
            if result is not None:
                check_result(result)

    async def _go_on(
        self,
        running: Running,
        delivery: Delivery,
        scope: Scope,
        message: Any,
        context: ContextVars,
        begun: Begun,
    ) -> JobResult:
        """Await the rest of a handler."""
        running.message, running.context = message, context
        steps = self._rest_of(begun, running, context)
        try:
            # Not in `_wait_for`: a coroutine more is 3 % of the memory of a job that waits.
            result = await steps
            if result is not None:
                check_result(result)
        except BaseException as error:  # noqa: BLE001 - what is not the handler's is raised again
            return self._raised(self._as_raised(error, steps), scope, message, context)
        finally:
            self.stepped(steps.longest)
        if type(delivery) is Delivery and not delivery.emits:
            return WAITED
        return JobResult(Outcome.RETURNED, None, message, context=context)

    def _raised(
        self, error: BaseException, scope: Scope, message: Any, context: ContextVars
    ) -> JobResult:
        """The result of a handler that raised; what is not its own is raised again."""
        if self._forked:
            _forks.end_child()
        if not isinstance(error, Exception):
            self._reraise(error, scope)
            # It came out of the handler by itself: a future that somebody cancelled, a
            # `sys.exit`, a panic of an extension.
        return JobResult(Outcome.RAISED, error, message, context=context)

    async def _wait_for(self, begun: Begun, running: Running, context: ContextVars) -> None:
        steps = self._rest_of(begun, running, context)
        try:
            result = await steps
        except BaseException as error:
            taken = self._as_raised(error, steps)
            if taken is error:
                raise
            raise taken from taken.__cause__
        finally:
            self.stepped(steps.longest)
        if result is not None:
            check_result(result)

    def _rest_of(self, begun: Begun, running: Running, context: ContextVars) -> Steps:
        self._suspending()
        coroutine, yielded = begun
        run: Callable[..., Any] = context.run
        if self._backend.interruptible is not None:
            run = partial(self._backend.interruptible, run)
        steps = Steps(coroutine, run, yielded, running.cancels, self._pace)
        # Its first step may have cancelled the task, unless another job can have done so.
        steps.cancelled_itself = running.is_first and is_cancelled(running.cancels)
        return steps

    def _as_raised(self, error: BaseException, steps: Steps) -> BaseException:
        """What a handler raised that had to wait: what looks like the end of it all may be its."""
        taken, kind = error, type(error)  # to ask the error itself may raise anything
        if issubclass(kind, GeneratorExit):
            if not steps.closed:  # else it is us that are closed
                taken = RuntimeError("the handler raised GeneratorExit")
                taken.__cause__ = error
        elif steps.cancelled_itself and issubclass(kind, self._cancelled):
            self._backend.forget_cancellation()
            taken = RuntimeError("the handler cancelled its own task")
            taken.__suppress_context__ = True
        return taken

    async def _elsewhere(
        self,
        delivery: Delivery,
        handler: Callable[[Any], Any],
        message: Any,
        scope: Scope,
        context: ContextVars,
    ) -> None:
        """Run a handler in a thread, in a copy of the job's context, or in a process."""
        actor = self.actor
        self._end_in_time(delivery, scope, math.inf)
        if actor.execute_in is ExecuteIn.THREAD:
            # A copy: a thread that is given up may go on, and a context runs in one thread only.
            handler = _run_in(context.copy(), handler)

        def started() -> None:
            # Not before: what waits for a place must not use up its time.
            self._end_in_time(delivery, scope, self._timeout)

        await self._executors.run(
            actor.execute_in, handler, message, actor=actor.name, event=actor.event.name,
            started=started,
        )  # fmt: skip

    def _reraise(self, error: BaseException, scope: Scope) -> None:
        """Raise again what is not the handler's own.

        Raises:
            Stopped: the task was cancelled natively.
            BaseException: what interrupts the program, or a cancellation of a scope around.
        """
        if isinstance(error, KeyboardInterrupt | GeneratorExit):
            raise error
        leaves = list(leaves_of(error))
        natively = is_cancelled(self._backend.cancels)
        if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
            if natively:
                # A child task's: asyncio has raised it out of its event loop already, and whoever
                # runs that has cancelled all tasks. Once more, it would not wait for them.
                raise Stopped from error
            raise KeyboardInterrupt from error
        cancelled = next((leaf for leaf in leaves if isinstance(leaf, self._cancelled)), None)
        if cancelled is None:
            return
        if scope.cancel_called or anyio.current_effective_deadline() == -math.inf:
            if cancelled is not error:
                # A task group that was cancelled, and where a clean-up failed on top of it.
                logger.error(
                    "actor %r: cancelled, and its clean-up failed",
                    self.actor.name, exc_info=error,
                )  # fmt: skip
                raise cancelled
            raise error
        if natively:
            raise Stopped from error

    def warn_of_blocking(self, seconds: float) -> None:
        """Say once that the handler keeps the event loop from running."""
        if not self._has_warned and seconds > BLOCKING:
            self._has_warned = True
            logger.warning(
                "actor %r: its handler blocked the event loop for %.1f s: %s",
                self.actor.name, seconds, REMEDY,
            )  # fmt: skip

    def stepped(self, seconds: float) -> None:
        """The handler kept the event loop from anything else for so long."""
        if seconds > self.longest_step:
            self.longest_step = seconds
            self.warn_of_blocking(seconds)

    def say_took(self, delivery: Delivery, seconds: float) -> None:
        """Say what is to be said of a job that never waited, and took so long."""
        if seconds > self._timeout:
            report_late(self.actor, delivery, seconds)

    def say_if_late(self, delivery: Delivery, result: JobResult, seconds: float) -> None:
        """Say that a job took longer than it may: nothing ends a handler that does not wait."""
        if seconds > self._timeout and self._in_main and result.outcome is Outcome.RETURNED:
            report_late(self.actor, delivery, seconds)


def _run_in(context: ContextVars, handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda message: context.run(handler, message)


def _since(running: Running) -> float:
    """Seconds since the handler began; 0 if it has not."""
    return monotonic() - running.began if running.began else 0.0


def _first_step(
    run: Callable[..., Any], handler: Callable[[Any], Any], message: Any
) -> Begun | None:
    """Call a handler, and run it up to where it waits; None if it has returned."""
    coroutine: Coroutine[Any, Any, Any] | None = None
    begun: Coroutine[Any, Any, Any]
    try:
        result: Any = run(handler, message)
        if result is None:
            return None
        if type(result) is COROUTINE:
            coroutine = begun = result
        elif isinstance(result, Awaitable):
            coroutine = begun = _await(result)
        else:
            check_result(result)
            return None
        return begun, run(begun.send, None)
    except GeneratorExit as error:
        raise RuntimeError("the handler raised GeneratorExit") from error
    except StopIteration as stop:
        if coroutine is None:
            raise RuntimeError("the handler raised StopIteration") from stop
        # It never had to wait, so there is nothing that a deadline could end.
        if stop.value is not None:
            check_result(stop.value)
        return None


def _makes_coroutines(handler: Callable[[Any], Any]) -> bool:
    """Whether to call it runs nothing of it, and makes a coroutine."""
    function = getattr(handler, "__func__", handler)
    return type(function) is FunctionType and bool(function.__code__.co_flags & CO_COROUTINE)


def _step_of_coroutine(
    run: Callable[..., Any], handler: Callable[[Any], Any], message: Any
) -> Begun | None:
    """The same for a coroutine function, with a third of the calls."""
    coroutine = handler(message)
    try:
        return coroutine, run(coroutine.send, None)
    except StopIteration as stop:
        if stop.value is not None:
            check_result(stop.value)
        return None
    except GeneratorExit as error:
        raise RuntimeError("the handler raised GeneratorExit") from error


async def _await(awaitable: Any) -> Any:
    return await awaitable
