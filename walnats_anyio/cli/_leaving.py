"""The end of the process: it must not wait for ever for what the actors' program has left running.

Theory of operation. When all jobs are settled and the connection is closed, there may still be
threads that a handler or a library has started, a job in `asyncio.to_thread`, a handler that was
abandoned in its thread, processes of `multiprocessing`, functions of `atexit`. Python waits for all
of these before it ends, without a limit; asyncio waits even before that. So a daemon thread counts
the time, names what is left, and ends the process as it is.
"""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from signal import Signals
from types import FrameType
from typing import Any

from walnats_anyio.cli._endings import code_of_signal
from walnats_anyio.cli._logs import logger

SHORTEST = 1.0
"""Seconds that what is left has at least."""

UNLIMITED = 5.0
"""Seconds that it has where jobs may take as long as they like."""

SAY_WITHIN = 1.0
"""Seconds for the last words: whoever reads them may be what everything waits for."""

STANDARD_LIBRARY = sysconfig.get_path("stdlib")


def end_at_next_signal(prefix: str) -> None:
    """See to it that SIGINT and SIGTERM end this process at once. Called in the main thread."""
    last_words = _LastWords()

    def at_once(number: int, frame: FrameType | None) -> None:
        what = f"{prefix}{Signals(number).name}: ending at once"
        last_words.end(code_of_signal(Signals(number)), what)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, at_once)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def leave_within(seconds: float, exit_code: int, prefix: str) -> None:
    """End this process after so many seconds if it does not end by itself.

    Called in the main thread. SIGINT and SIGTERM end it at once.
    """
    end_at_next_signal(prefix)
    what = f"{prefix}the process has not ended {seconds:.1f} s after its last job: it ends as it is"
    _end_after(seconds, exit_code, what, _LastWords())


def end_after(
    seconds: float, exit_code: int, what: str, left: Callable[[], Iterable[str]]
) -> threading.Timer:
    """End this process after so many seconds, unless the timer is cancelled.

    It also names what `left` gives, called in a thread, and daemon threads: those of jobs are
    daemons on trio, and may not let go.
    """
    return _end_after(seconds, exit_code, what, _LastWords(with_daemons=True, left=left))


def _end_after(
    seconds: float, exit_code: int, what: str, last_words: _LastWords
) -> threading.Timer:
    timer = threading.Timer(seconds, last_words.end, [exit_code, what])
    timer.daemon = True
    timer.start()
    return timer


class _LastWords:
    """Ends this process as it is, and says what it leaves behind.

    The words are said by a thread, because the one that is stuck may hold the lock of the log. That
    thread is started here and waits: since Python 3.12 no thread can be started once the main
    thread waits for the others at its end.
    """

    def __init__(
        self, *, with_daemons: bool = False, left: Callable[[], Iterable[str]] = tuple
    ) -> None:
        # A `SimpleQueue` may be used in a signal handler.
        self._words: SimpleQueue[str] = SimpleQueue()
        self._said: SimpleQueue[None] = SimpleQueue()
        self._with_daemons = with_daemons
        self._left = left
        threading.Thread(target=self._say, name="last words", daemon=True).start()

    def end(self, exit_code: int, what: str) -> None:
        """End this process; it does not return."""
        self._words.put(what)
        with suppress(Empty):
            self._said.get(timeout=SAY_WITHIN)
        os._exit(exit_code)

    def _say(self) -> None:
        what = self._words.get()
        try:
            _say(what, [*self._left(), *_left_running(self._with_daemons)])
        finally:
            self._said.put(None)


def _say(what: str, left: list[str]) -> None:
    logger.warning("%s%s", what, f" and leaves behind {', '.join(left)}" if left else "")
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()


def _left_running(with_daemons: bool) -> Iterator[str]:
    """The threads and processes that still run, in words."""
    name = "_current_frames"  # which is what it is called, and documented as
    frames: dict[int, FrameType] = getattr(sys, name)()
    for thread in threading.enumerate():
        place = _place(frames.get(thread.ident or 0))
        # Of those for which Python does not wait only what the actors' program does is of interest.
        waited_for = not thread.daemon and thread is not threading.main_thread()
        if not waited_for and not (place and (with_daemons or not thread.daemon)):
            continue
        yield f"thread {thread.name!r}{place}"
    # Not imported for this: without it there are no processes of it.
    multiprocessing: Any = sys.modules.get("multiprocessing")
    if multiprocessing is not None:
        for process in multiprocessing.active_children():
            yield f"process {process.name!r} ({process.pid})"


def _place(frame: FrameType | None) -> str:
    """Where in the actors' program, or in what it uses, a thread is."""
    for each in reversed(traceback.extract_stack(frame) if frame else []):
        parts = Path(each.filename).parts
        if "site-packages" in parts or not each.filename.startswith(STANDARD_LIBRARY):
            ours = {"anyio", "trio", "walnats_anyio", "typer"} & set(parts)
            return (
                "" if ours or each.filename.startswith("<") else f" ({each.filename}:{each.lineno})"
            )
    return ""
