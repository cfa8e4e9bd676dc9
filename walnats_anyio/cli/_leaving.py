"""The end of the process: it must not wait for ever for what the actors' program has left running.

Theory of operation. When this begins, all jobs are settled and the connection is closed. What may
still run are threads that a handler or a library has started, a job in `asyncio.to_thread`, a
handler that was abandoned in its thread, processes of `multiprocessing`, functions of `atexit`.
Python waits for all of these before it ends, without a limit; asyncio waits even before that. So a
daemon thread counts the time, names what is left, and ends the process as it is.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from signal import Signals
from types import FrameType
from typing import Any

from walnats_anyio.cli._endings import code_of_signal
from walnats_anyio.cli._logs import logger
from walnats_anyio.cli._signals import INSISTING

SHORTEST = 1.0
"""Seconds that what is left has at least."""

UNLIMITED = 5.0
"""Seconds that it has where jobs may take as long as they like."""


def leave_within(seconds: float, exit_code: int, prefix: str) -> None:
    """End this process after so many seconds if it does not end by itself.

    Called in the main thread. A signal that insists ends it at once.
    """

    def at_once(number: int, frame: FrameType | None) -> None:
        _end(code_of_signal(Signals(number)), f"{prefix}{Signals(number).name}: ending at once")

    for number in INSISTING:
        signal.signal(number, at_once)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    what = f"{prefix}not ended {seconds:g} s after the last job: ending the process as it is"
    timer = threading.Timer(seconds, _end, [exit_code, what])
    timer.name, timer.daemon = "leaving", True
    timer.start()


def _end(exit_code: int, what: str) -> None:
    left = ", ".join(_left_running())
    logger.warning("%s%s", what, f" and leaving behind {left}" if left else "")
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # nobody reads it any more
    os._exit(exit_code)


def _left_running() -> Iterator[str]:
    """The threads and processes that Python would wait for, in words."""
    frames = sys._current_frames()  # noqa: SLF001 - it has no other name
    for thread in threading.enumerate():
        if thread is threading.main_thread() or thread.daemon or thread.ident is None:
            continue
        yield f"thread {thread.name!r}{_place(frames.get(thread.ident))}"
    # Not imported for this: without it there are no processes of it.
    multiprocessing: Any = sys.modules.get("multiprocessing")
    if multiprocessing is not None:
        for process in multiprocessing.active_children():
            yield f"process {process.name!r} ({process.pid})"


def _place(frame: FrameType | None) -> str:
    if frame is None:
        return ""
    last = traceback.extract_stack(frame)[-1]
    return f", in {last.name}, {last.filename}:{last.lineno}"
