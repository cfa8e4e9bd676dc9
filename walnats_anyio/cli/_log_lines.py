"""The lines of the log: whole ones, also from several processes at once, and as JSON."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

LOCK_WITHIN = 0.2
"""Seconds that a line waits for another process: one that was stopped must not stop the others."""

TRY_EVERY = 0.002

OF_EVERY_RECORD = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"}
)
"""What a record has of itself: all else was given by `extra`."""


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes each record whole: lines of several processes are not mixed.

    A pipe takes no more than 4 KiB at once, which a traceback exceeds. So the processes of one
    `run` share the descriptor of an empty file, and lock it while they write.
    """

    def __init__(self, stream: TextIO, lock: int | None) -> None:
        super().__init__(stream)
        self._shared = lock

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        with _locked(self._shared):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - `logging` calls it so
        """Say that a record cannot be written, if there is somebody to tell."""
        with suppress(ValueError):  # an actor's program has closed the standard error as well
            super().handleError(record)


def make_lock() -> int | None:
    """The descriptor of an empty file without a name, to share with other processes.

    None where there cannot be one; then lines may be mixed.
    """
    try:
        if hasattr(os, "memfd_create"):
            return os.memfd_create("walnats-anyio log")
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    except OSError:
        return None


@contextmanager
def _locked(file: int | None) -> Iterator[None]:
    if file is None or not _lock(file):
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.lockf(file, fcntl.LOCK_UN)


def _lock(file: int) -> bool:
    """Whether the lock was had in time; a line that comes too late is better than none."""
    give_up_at = time.monotonic() + LOCK_WITHIN
    while True:
        try:
            # By process, not by open file: all of them have inherited the same one.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                return False
            time.sleep(TRY_EVERY)
        except OSError:  # the program has closed a descriptor that is not its own
            return False
        else:
            return True


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON.

    It has `time` (ISO 8601, UTC), `level`, `logger`, `process`, `message`, and every field that was
    given by `extra`; `exception` is the traceback, where there is one, and `stack` what
    `stack_info` gave. A field of `extra` that has one of these names gets a `_` behind it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": _message_of(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            fields["exception"] = record.exc_text
        if record.stack_info:
            fields["stack"] = record.stack_info
        for name, value in vars(record).items():
            if name not in OF_EVERY_RECORD:
                fields[f"{name}_" if name in fields else name] = value
        return in_one_line(fields)


def _message_of(record: logging.LogRecord) -> str:
    """The message; what was logged, where its arguments do not fit: a line is never lost."""
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - whatever `%` does with a `__str__` of the user's
        return (
            f"{_shown(record.msg)} % {_shown(record.args)} (cannot be formatted: "
            f"{type(error).__name__})"
        )


def in_one_line(fields: dict[str, Any]) -> str:
    """Fields as a line of JSON; what JSON has no word for is shown as `repr` shows it."""
    try:
        return json.dumps(fields, default=_shown, allow_nan=False, skipkeys=True)
    except (TypeError, ValueError, RecursionError):
        # NaN, a loop, or a mapping of its own: the line is worth more than the form of the field.
        plain = (str, int, bool, type(None))
        return json.dumps(
            {
                name: each if isinstance(each, plain) else _shown(each)
                for name, each in fields.items()
            }
        )


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - whatever a `__repr__` of the user's does
        return f"(cannot be shown: {type(error).__name__})"


def report_uncaught(logger: logging.Logger) -> None:
    """Have what nobody catches logged, in the main thread and in others."""

    def in_main(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        logger.critical("uncaught %s", kind.__name__, exc_info=(kind, error, trace))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        error = args.exc_value
        if error is not None and not isinstance(error, SystemExit):
            name = args.thread.name if args.thread is not None else "?"
            logger.critical("uncaught in thread %r", name, exc_info=error)

    sys.excepthook = in_main
    threading.excepthook = in_thread
