"""The heartbeat pipe between a worker process and its supervisor.

Theory of operation. It is a pair of sockets, and one end is the worker process's standard input
when it starts. The supervisor writes the plan, one line of JSON: so no option, and no password, is
on the command line of the worker process. To one that is to wait for its turn it writes another
line when that has come, and never anything else. The worker process writes an empty line about once
a second, from its event loop, so that a loop which is blocked falls silent like a process which is
stopped; news are lines of JSON. When the supervisor is gone, however hard, the worker process reads
the end of the stream.
"""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import threading
import time
from typing import Any

import anyio

SHOW_STACKS = signal.SIGUSR1
"""The signal by which the supervisor asks a worker process to show where it hangs."""

SLOWEST_BEAT = 1.0
"""Seconds between two heartbeats at most."""

BEATS = 4
"""Heartbeats in a hang timeout at least."""

GO = b"go\n"
"""What the supervisor writes to a worker process whose turn has come."""

STANDARD_INPUT = 0


def beat_of(hang_timeout: float) -> float:
    """Seconds between two heartbeats."""
    return min(SLOWEST_BEAT, hang_timeout / BEATS)


class HeartbeatPipe:
    """The worker process's end.

    It is made before the actors' module is loaded: what that starts does not inherit the pipe as
    its standard input, and what it arranges for crashes and signals takes precedence.
    """

    def __init__(self) -> None:
        # A worker process shows the stacks of its threads when it crashes or when it is asked to.
        faulthandler.enable()
        faulthandler.register(SHOW_STACKS, all_threads=True)
        self._hang_timeout: float | None = None
        self._beats = 0
        self._unsent = bytearray()
        self.told_to_go = anyio.Event()
        """Set when its turn has come, if it is to wait for that."""
        # Whatever handlers start inherits the standard input.
        self._pipe = os.dup(STANDARD_INPUT)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, STANDARD_INPUT)
        os.close(nothing)

    def read_plan(self) -> bytes:
        """Read what the supervisor writes at the start: one line. Blocks until it is there.

        Returns what there was when the stream ends before the line does.
        """
        read = b""
        while b"\n" not in read:
            try:
                more = os.read(self._pipe, 1 << 16)
            except OSError:
                more = b""
            if not more:
                break
            read += more
        os.set_blocking(self._pipe, False)
        line, end, early = read.partition(b"\n")
        if early:  # its turn has come while the interpreter started
            self.told_to_go.set()
        return line + end

    async def beat(self, hang_timeout: float | None) -> None:
        """Send heartbeats until cancelled, if anybody misses them."""
        if hang_timeout is None:
            return
        self._hang_timeout = hang_timeout
        threading.Thread(target=self._end_if_orphaned, name="heartbeat", daemon=True).start()
        while True:
            self._beats += 1
            self._send(b"" if self._unsent else b"\n")
            await anyio.sleep(beat_of(hang_timeout))

    def tell(self, news: dict[str, Any]) -> None:
        """Tell the supervisor something."""
        self._send(json.dumps(news).encode() + b"\n")

    @property
    def behind(self) -> bool:
        """Whether the supervisor has not read all that it was told."""
        return bool(self._unsent)

    async def until_supervisor_is_gone(self) -> None:
        """Wait until there is nobody at the other end."""
        while True:
            await anyio.wait_readable(self._pipe)
            try:
                read = os.read(self._pipe, 1024)
                if not read:
                    return
                if b"\n" in read:
                    self.told_to_go.set()
            except BlockingIOError:
                continue
            except OSError:
                return

    def _send(self, data: bytes) -> None:
        self._unsent += data
        try:
            sent = os.write(self._pipe, self._unsent)
        except OSError:
            # The supervisor is gone, or stopped for so long that the pipe is full.
            return
        del self._unsent[:sent]

    def _end_if_orphaned(self) -> None:
        """Do in a thread what the supervisor would do about a loop that is blocked."""
        poll = select.poll()
        poll.register(self._pipe, 0)  # asks for nothing, and so hears of the other end's end only
        poll.poll()
        assert self._hang_timeout is not None
        seen = -1
        while self._beats != seen:
            seen = self._beats
            time.sleep(self._hang_timeout)
        faulthandler.dump_traceback()
        if os.getpgrp() == os.getpid():  # else it was not `WorkerProcess` that started it
            os.killpg(0, signal.SIGKILL)  # also the processes that it has for handlers
        os.kill(os.getpid(), signal.SIGKILL)
