"""What a handler may set for its whole process: undone after each job, as others come after it.

Undone is what would end or slow down a job that has done nothing: timers that send a signal, lower
limits, blocked signals, other ways to meet a broken pipe or the end of a child. What a program sets
once, on purpose, in the first job that needs it stays: the environment, imported modules, other
signal handlers, hooks, warning filters, the locale; and limits that were raised.
"""

from __future__ import annotations

import gc
import resource
import signal
import sys

SIGNALS = (signal.SIGCHLD, signal.SIGPIPE)
"""Signals that Python and its `subprocess` need to have as they are."""

TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)

LIMITS = (
    resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC,
)  # fmt: skip
"""What a job may need more of; to ask for one takes half a microsecond."""


class ProcessState:
    """The settings of this process, as they are now."""

    def __init__(self) -> None:
        self._timers = [signal.getitimer(timer) for timer in TIMERS]
        self._handlers = [(number, signal.getsignal(number)) for number in SIGNALS]
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._limits = [resource.getrlimit(limit) for limit in LIMITS]
        self._recursion_limit = sys.getrecursionlimit()
        self._collects_garbage = gc.isenabled()
        self._switch_interval = sys.getswitchinterval()

    def restore(self) -> None:
        """Undo what was changed since.

        Raises:
            Exception: something cannot be undone. The process is of no more use then.
        """
        for timer, before in zip(TIMERS, self._timers, strict=True):
            if signal.getitimer(timer) != before == (0.0, 0.0):
                signal.setitimer(timer, 0.0)
        for number, handler in self._handlers:
            # None: it was not set by Python, and cannot be set again.
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)
        for limit, (soft, _) in zip(LIMITS, self._limits, strict=True):
            now, hard = resource.getrlimit(limit)
            if _is_less(now, soft):
                resource.setrlimit(limit, (soft, hard))
        if sys.getrecursionlimit() < self._recursion_limit:
            sys.setrecursionlimit(self._recursion_limit)
        if self._collects_garbage:
            gc.enable()
        sys.setswitchinterval(self._switch_interval)


def _is_less(limit: int, other: int) -> bool:
    """Whether a limit of the system is lower than another one."""
    if limit == resource.RLIM_INFINITY:
        return False
    return other == resource.RLIM_INFINITY or limit < other
