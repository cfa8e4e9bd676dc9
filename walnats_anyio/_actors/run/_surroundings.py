"""What the handlers of a worker process share, and what one must not change for the next."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import signal
import sys
from types import FrameType

SHELTERED = (signal.SIGINT, signal.SIGTERM)
"""Signals that are the parent's to answer: a service manager sends them to all processes."""


def shelter() -> None:
    """Go on through the signals that ask a service to stop; the parent says what becomes of jobs.

    They are caught, not ignored: what is ignored would be so in every program that a handler
    starts.
    """
    for number in SHELTERED:
        signal.signal(number, _go_on)


def default_signals() -> None:
    """Have Python's own settings, in a forked child."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Surroundings:
    """The directory, the file mode mask and the standard streams of a worker process."""

    def __init__(self) -> None:
        self._directory = os.open(".", os.O_RDONLY)
        self._mask = os.umask(0)
        os.umask(self._mask)
        self._streams = [_saved(number) for number in range(3)]
        self._stdin, self._stdout, self._stderr = sys.stdin, sys.stdout, sys.stderr
        _by_line(self._stdout)

    def restore(self) -> None:
        """Undo what a handler changed."""
        os.fchdir(self._directory)
        os.umask(self._mask)
        shelter()
        signal.setitimer(signal.ITIMER_REAL, 0)  # a `signal.alarm` would hit the next handler
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # it is the handler's, or closed
                stream.flush()
        for number, saved in enumerate(self._streams):
            if saved is not None and not _same(number, saved):
                os.dup2(saved, number)
        sys.stdin, sys.stdout, sys.stderr = self._stdin, self._stdout, self._stderr
        if sys.stdout is None or sys.stdout.closed:
            self._stdout = sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 - for as long as the process lives
        if sys.stderr is None or sys.stderr.closed:
            self._stderr = sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - as above


def _go_on(number: int, frame: FrameType | None) -> None:
    """Do nothing."""


def _saved(number: int) -> int | None:
    try:
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        return None  # the parent had it closed


def _same(number: int, saved: int) -> bool:
    try:
        return os.path.sameopenfile(number, saved)
    except OSError:
        return False


def _by_line(stream: object) -> None:
    # Also into a file: what is printed must not be lost with a process that is killed.
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(line_buffering=True)
