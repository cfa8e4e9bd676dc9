"""Take some exceptions of a handler for a success."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from walnats_anyio._actors.declare import BatchError, Reject, Retry, Snooze
from walnats_anyio._events import current_job
from walnats_anyio._events._arguments import check_type
from walnats_anyio.decorators._wrapping import (
    Handler,
    check_handler,
    finish,
    is_coroutine_function,
)

Logger = logging.Logger | logging.LoggerAdapter[Any]

DEFAULT_LOGGER = logging.getLogger("walnats_anyio.decorators")

ASKING = (Retry, Reject, Snooze, BatchError)
"""What a handler raises to say what is to become of its events."""


def suppress(
    *exceptions: type[Exception], logger: Logger | None = DEFAULT_LOGGER
) -> Callable[[Handler], Handler]:
    """Ignore exceptions of the handler: its event is done with, as if it had returned.

        @suppress(NoSuchParcel)
        async def update_parcel(change: Change) -> None: ...

    For errors that no further attempt would mend. `Retry`, `Reject`, `Snooze` and `BatchError` are
    not ignored unless they are named themselves, so `suppress(Exception)` leaves them to mean what
    they mean. Of a group of exceptions the ones that match are ignored, and the others are raised.
    Never blocks; works wherever the handler runs.

    Args:
        exceptions: what is ignored, subclasses included.
        logger: where each is logged, at level WARNING with its traceback. None: nowhere.

    Raises:
        TypeError: no exception is given, or something else than a subclass of `Exception`:
            cancellations and `KeyboardInterrupt` must not be ignored.
    """
    _check_exceptions(exceptions)
    check_type("suppress: logger", logger, (logging.Logger, logging.LoggerAdapter, type(None)))
    ignored = _Ignored(exceptions, logger)

    def decorate(handler: Handler) -> Handler:
        check_handler("suppress", handler)
        name = getattr(handler, "__qualname__", type(handler).__qualname__)

        async def finish_it(result: Awaitable[Any]) -> Any:
            with ignored.around(name):
                return await result

        async def suppressed(*args: Any, **kwargs: Any) -> Any:
            with ignored.around(name):
                return await handler(*args, **kwargs)

        def suppressed_plainly(*args: Any, **kwargs: Any) -> Any:
            with ignored.around(name):
                result = handler(*args, **kwargs)
                # A plain function may well give back a coroutine, which the job awaits.
                return finish_it(result) if inspect.iscoroutine(result) else result

        wrapper = suppressed if is_coroutine_function(handler) else suppressed_plainly
        return finish(wrapper, handler)

    return decorate


def _check_exceptions(exceptions: tuple[object, ...]) -> None:
    if not exceptions:
        raise TypeError("suppress: no exception is given: name those to ignore")
    for each in exceptions:
        if isinstance(each, type) and issubclass(each, ExceptionGroup):
            raise TypeError(f"suppress: name what a group holds instead of {each.__name__}")
        if isinstance(each, type) and issubclass(each, Exception):
            continue
        if isinstance(each, type) and issubclass(each, BaseException):
            raise TypeError(
                f"suppress: {each.__name__} must not be ignored, as it stops a job or the program: "
                "name subclasses of Exception"
            )
        raise TypeError(
            f"suppress: {each!r} is no class of exceptions: name those to ignore, as in "
            "@suppress(KeyError)"
        )


class _Ignored:
    """What is ignored, and where that is logged."""

    def __init__(self, exceptions: tuple[type[Exception], ...], logger: Logger | None) -> None:
        self._exceptions = exceptions
        self._asking = tuple(kind for kind in exceptions if issubclass(kind, ASKING))
        self._logger = logger

    @contextmanager
    def around(self, handler: str) -> Iterator[None]:
        """Ignore what the body raises."""
        try:
            yield
        except BaseExceptionGroup as error:
            # Python 3.11 takes functions only, and no methods.
            matched, others = error.split(lambda leaf: self._matches(leaf))  # noqa: PLW0108 - as said
            if matched is None:
                raise
            self._log(handler, matched)
            if others is not None:
                raise others from None
        except Exception as error:
            if not self._matches(error):
                raise
            self._log(handler, error)

    def _matches(self, error: BaseException) -> bool:
        if isinstance(error, BaseExceptionGroup):
            return False  # what it holds is asked about
        if isinstance(error, ASKING):
            return isinstance(error, self._asking)
        return isinstance(error, self._exceptions)

    def _log(self, handler: str, error: BaseException) -> None:
        if self._logger is None:
            return
        fields: dict[str, Any] = {"handler": handler}
        job: Any = current_job.get()
        if job is not None:
            context = job.context()
            fields |= {"actor": context.actor.name, "event": context.event.name}
        self._logger.warning(
            "handler %s: its exception is ignored", handler, exc_info=error, extra=fields
        )
