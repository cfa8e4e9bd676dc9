"""The line between a worker process and its parent: signs of life and news, and who is gone.

Theory of operation. It is a pair of sockets, and one end is the worker's standard input when it
starts. The worker writes an empty line about once a second, from its event loop, so that a loop
which is blocked falls silent like a process which is stopped; news are lines of JSON. The parent
writes nothing. That it is gone, however hard, the worker sees by the end of what it can read.
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
"""What the parent asks a worker by to show where it hangs."""

SLOWEST_BEAT = 1.0
"""Seconds between two signs of life at most."""

BEATS = 4
"""Signs of life in a hang timeout at least."""

STANDARD_INPUT = 0


def beat_of(hang_timeout: float) -> float:
    """Seconds between two signs of life."""
    return min(SLOWEST_BEAT, hang_timeout / BEATS)


class Lifeline:
    """The worker's end.

    It is made before the actors' module is loaded: what that starts does not inherit the line, and
    what it arranges for crashes and signals goes first.
    """

    def __init__(self, hang_timeout: float | None) -> None:
        # A worker shows the stacks of its threads when it crashes or when its parent asks for it.
        faulthandler.enable()
        faulthandler.register(SHOW_STACKS, all_threads=True)
        self._hang_timeout = hang_timeout
        self._beats = 0
        self._unsent = bytearray()
        # Whatever handlers start inherits the standard input.
        self._line = os.dup(STANDARD_INPUT)
        os.set_blocking(self._line, False)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, STANDARD_INPUT)
        os.close(nothing)

    async def beat(self) -> None:
        """Give signs of life until cancelled, if anybody misses them."""
        if self._hang_timeout is None:
            return
        threading.Thread(target=self._end_if_orphaned, daemon=True).start()
        while True:
            self._beats += 1
            self._send(b"" if self._unsent else b"\n")
            await anyio.sleep(beat_of(self._hang_timeout))

    def tell(self, news: dict[str, Any]) -> None:
        """Tell the parent something."""
        self._send(json.dumps(news).encode() + b"\n")

    async def until_parent_is_gone(self) -> None:
        """Wait until there is nobody at the other end."""
        while True:
            await anyio.wait_readable(self._line)
            try:
                if not os.read(self._line, 1024):
                    return
            except BlockingIOError:
                continue
            except OSError:
                return

    def _send(self, data: bytes) -> None:
        self._unsent += data
        try:
            sent = os.write(self._line, self._unsent)
        except OSError:
            # The parent is gone, or stopped for so long that the line is full, or does not listen:
            # it gave a pipe, of which this is the reading end.
            return
        del self._unsent[:sent]

    def _end_if_orphaned(self) -> None:
        """Do in a thread what the parent would do about a loop that is blocked."""
        poll = select.poll()
        poll.register(self._line, 0)  # asks for nothing, and so hears of the other end's end only
        poll.poll()
        assert self._hang_timeout is not None
        seen = -1
        while self._beats != seen:
            seen = self._beats
            time.sleep(self._hang_timeout)
        faulthandler.dump_traceback()
        if os.getpgrp() == os.getpid():  # else it was started by something else than `Member`
            os.killpg(0, signal.SIGKILL)  # also the processes that it has for handlers
        os.kill(os.getpid(), signal.SIGKILL)
