"""The pipes between a worker process and its parent, as the worker process sees them.

No worker process outlives its parent. The end of the parent is the end of a pipe that only it can
write to, and never does. The end is noticed in three ways:

- An idle process waits for requests, whose pipe ends at the same time: the process ends.
- A thread that polls for the end kills the process half a second later, whatever keeps it.
- A handler that computes in C may hold the interpreter's lock, so that no thread ever runs. So
  while a job runs, Linux itself is asked to kill the process and what it started (`O_ASYNC` with
  SIGKILL). It sends that signal for anything that happens to the pipe. This cannot be the pipe of
  requests: the kernel sends the signal of a request after it has woken the reader, so it hits a
  process that has begun in between (one job of 5,000 on a busy machine).

`PR_SET_PDEATHSIG` is no choice: it follows the thread that started the process, and on trio that
thread ends long before the program.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
import threading
import time
from typing import Any

READY = b"\0walnats: ready\n"
"""The first thing that a worker process says; what comes before it was printed by others."""

HEAD = 4
"""Bytes that hold the length of a request."""

END_WITHIN = 0.5
"""Seconds that a process has to end by itself once its parent is gone."""


class Channel:
    """The pipes of a worker process, moved out of the way of handlers.

    Args:
        stdout: the number of the file that is to be standard output.
        parent: the number of the pipe that ends with the parent.
    """

    def __init__(self, stdout: int, parent: int) -> None:
        self._requests = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
        self._answers = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
        self._parent = fcntl.fcntl(parent, fcntl.F_DUPFD_CLOEXEC, 3)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(stdout, 1)
        os.close(nothing)
        os.close(stdout)
        os.close(parent)
        self._lock = threading.Lock()
        self._is_busy = False
        self._watch()

    def receive(self) -> bytes | None:
        """Wait for the next request. None: there will be no more."""
        head = self._read(HEAD)
        return None if head is None else self._read(int.from_bytes(head))

    def send(self, answer: dict[str, Any]) -> None:
        """Send an answer, from any thread."""
        self.write(json.dumps(answer).encode() + b"\n")

    def write(self, line: bytes) -> None:
        """Write a whole line, from any thread."""
        with self._lock:
            left = memoryview(line)
            while left:
                left = left[os.write(self._answers, left) :]

    def busy(self) -> None:
        """A job begins: be killed if the parent dies."""
        self._is_busy = True
        self._ask_for_kill(True)
        if _ended(self._parent, timeout=0):
            _kill_group()  # it died just before

    def idle(self) -> None:
        """The job has ended."""
        self._is_busy = False
        self._ask_for_kill(False)

    def close(self) -> None:
        """Let go of the pipes, in a forked child: they are its parent's."""
        for pipe in (self._requests, self._answers, self._parent):
            os.close(pipe)

    def _read(self, size: int) -> bytes | None:
        data = bytearray()
        while len(data) < size:
            part = os.read(self._requests, size - len(data))
            if not part:
                return None
            data += part
        return bytes(data)

    def _watch(self) -> None:
        if sys.platform == "linux":
            fcntl.fcntl(self._parent, fcntl.F_SETOWN, -os.getpgrp())
            fcntl.fcntl(self._parent, fcntl.F_SETSIG, signal.SIGKILL)
        threading.Thread(target=self._end_with_parent, name="walnats/parent", daemon=True).start()

    def _end_with_parent(self) -> None:
        _ended(self._parent, timeout=None)
        if not self._is_busy:
            time.sleep(END_WITHIN)
            if not self._is_busy:
                os.kill(os.getpid(), signal.SIGKILL)
        _kill_group()

    def _ask_for_kill(self, wanted: bool) -> None:
        if sys.platform == "linux":
            flags = fcntl.fcntl(self._parent, fcntl.F_GETFL)
            flags = flags | os.O_ASYNC if wanted else flags & ~os.O_ASYNC
            fcntl.fcntl(self._parent, fcntl.F_SETFL, flags)


def _ended(pipe: int, timeout: int | None) -> bool:
    """Whether the other end of a pipe is closed; blocks until then, or for a time."""
    poll = select.poll()
    poll.register(pipe, 0)  # asks for nothing: the end is told always
    return bool(poll.poll(timeout))


def _kill_group() -> None:
    os.killpg(0, signal.SIGKILL)
