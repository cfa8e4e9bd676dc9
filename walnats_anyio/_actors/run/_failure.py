"""What a handler raised elsewhere, as plain data, and as an exception again.

An exception does not travel well: its traceback and cause cannot be pickled, an `__init__` of its
own breaks the copy, and its class may not exist in this process. So a worker process describes it
in words (`Failure.of`), and the event loop raises an exception of ours that says the same.
"""

from __future__ import annotations

import functools
import traceback as tracebacks
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Literal, cast

from walnats_anyio._actors.declare._choices import BatchError, Reject, Retry, Snooze
from walnats_anyio._actors.settle._verdict import SNOOZE_DELAY, wish_of
from walnats_anyio._letters import class_of, frames_of, message_of
from walnats_anyio._link import WalnatsError

MAX_TEXT = 50_000
"""Characters of a message that are kept; and of a traceback, its end."""

MAIN_NAMES = ("__main__", "__mp_main__")
"""Names of the main program: the second one in a worker process, as for `multiprocessing`."""

Kind = Literal["raised", "retry", "reject", "snooze", "batch"]


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception, in plain data."""

    kind: Kind
    """What it asks for: subclasses of `Retry`, `Reject` and `Snooze` count as these."""

    module: str
    """The module of its class."""

    qualname: str
    """The name of its class in that module."""

    text: str
    """What it says."""

    traceback: str
    """Where it was raised, with causes and contexts, as Python prints it."""

    delay: float | None = None
    """Seconds, of a `Retry` or a `Snooze`."""

    reason: str = ""
    """Why, of a `Reject`."""

    errors: list[tuple[int, dict[str, Any]]] | None = None
    """Of a `BatchError`: the places of messages, and the fields of a failure for each."""

    @classmethod
    def of(cls, error: BaseException, since: TracebackType | None) -> Failure:
        """Describe an exception; never raises.

        Args:
            error: the exception.
            since: where its traceback is to begin, so that it shows no frames of ours.
        """
        errors = _errors_of(error)
        kind, delay, reason = _meaning_of(error) if errors is None else ("batch", None, "")
        module, qualname = class_of(error)
        return cls(
            kind=kind,
            module="__main__" if module in MAIN_NAMES else module,
            qualname=qualname,
            text=message_of(error)[:MAX_TEXT],
            traceback=_traceback_of(error, since)[-MAX_TEXT:],
            delay=delay,
            reason=reason,
            errors=errors,
        )

    @property
    def type_name(self) -> str:
        """The class, with its module unless it is built in."""
        return self.qualname if self.module == "builtins" else f"{self.module}.{self.qualname}"

    def as_error(self) -> HandlerError:
        """An exception that means the same in this process."""
        return _class_for(self.kind, self.module, self.qualname)(self)


class HandlerError(WalnatsError):
    """What a handler raised in a worker process; or in a thread, where it is no `Exception`.

    Its class has the name of what was raised, but it is never that class. A `Retry`, `Reject` or
    `Snooze` is one here as well. The traceback of the other side is a note of it, so logs show it.
    """

    type_name: str
    """The class of what was raised, with its module unless it is built in."""

    text: str
    """What it said."""

    traceback: str
    """Where it was raised, with causes and contexts, as Python prints it."""

    def __init__(self, failure: Failure) -> None:
        # Not `super()`: that of a subclass leads to `Retry`, which takes a delay.
        Exception.__init__(self, failure.text)
        self.type_name = failure.type_name
        self.text = failure.text
        self.traceback = failure.traceback
        if failure.traceback:
            self.add_note(f"\nWhere the handler raised it:\n{failure.traceback.rstrip()}")

    def __str__(self) -> str:
        return self.text


class HandlerRetry(HandlerError, Retry):
    """A `Retry` that was raised in a worker process."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.delay = failure.delay


class HandlerReject(HandlerError, Reject):
    """A `Reject` that was raised in a worker process."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.reason = failure.reason


class HandlerSnooze(HandlerError, Snooze):
    """A `Snooze` that was raised in a worker process."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.delay = failure.delay or SNOOZE_DELAY


class HandlerBatchError(HandlerError, BatchError):
    """A `BatchError` that was raised in a worker process."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.errors = {at: Failure(**fields).as_error() for at, fields in failure.errors or ()}


class WorkerProcessError(WalnatsError):
    """A worker process died in the middle of a job, or could not be started."""


_BASES: dict[Kind, type[HandlerError]] = {
    "raised": HandlerError,
    "retry": HandlerRetry,
    "reject": HandlerReject,
    "snooze": HandlerSnooze,
    "batch": HandlerBatchError,
}


@functools.lru_cache(maxsize=256)
def _class_for(kind: Kind, module: str, qualname: str) -> type[HandlerError]:
    # Named after what was raised, so that logs, dead letters and error trackers, which all ask the
    # class for its name, tell one failure from another.
    name = qualname.rpartition(".")[2]
    return type(name, (_BASES[kind],), {"__module__": module, "__qualname__": qualname})


def _meaning_of(error: BaseException) -> tuple[Kind, float | None, str]:
    """Whether it counts as `Retry`, `Reject` or `Snooze`."""
    match wish_of(error):
        case Reject(reason=reason):
            return "reject", None, reason
        case Retry(delay=delay):
            return "retry", delay, ""
        case Snooze(delay=delay):
            return "snooze", delay, ""
        case None:
            return "raised", None, ""


def _errors_of(error: BaseException) -> list[tuple[int, dict[str, Any]]] | None:
    """Those of a `BatchError`, if it is one that can be read."""
    # Not `isinstance`, which asks the exception for its class.
    if not issubclass(type(error), BatchError):
        return None
    try:
        each_of = dict(cast("BatchError", error).errors).items()
        return [(int(at), asdict(Failure.of(each, frames_of(each)))) for at, each in each_of]
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a subclass may have anything there
        return None


def _traceback_of(error: BaseException, since: TracebackType | None) -> str:
    try:
        return "".join(tracebacks.format_exception(type(error), error, since))
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # noqa: BLE001 - notes and causes of a user's raise anything
        frames = "".join(tracebacks.format_tb(since))
        return f"{frames}(the rest could not be made: {class_of(failure)[1]})\n"
